import type { ChildProcess } from 'node:child_process'

/** A child process that answers questions by name. */
export class Child {
  /** `file` stands beside this one. Resolves once the child calls `answerQuestions`. */
  static start(file: string, options?: { args?: readonly string[]; nodeArgs?: readonly string[] }): Promise<Child>
  readonly process: ChildProcess
  /** The exit code, or the signal. */
  readonly exited: Promise<number | string | null>
  /** Why it runs no more; null while it does. */
  readonly ended: Error | null
  /** Rejects when the child throws, or has ended. */
  ask<T>(name: string, argument?: unknown): Promise<T>
  stop(): Promise<void>
}
