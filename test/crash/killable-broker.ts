import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtPackage } from '../support/build'
import type { History } from './history'

const script = fileURLToPath(new URL('broker-process.mjs', import.meta.url))

export interface BrokerProcessOptions {
  /** A type of change, and `before` or `after` its commit: there the process kills itself. */
  killAt?: string | undefined
  /** A mistake of `store-faults.mjs`. */
  fault?: string | undefined
}

/** A broker whose process is killed and started again on the same folder. */
export class KillableBroker {
  port = 0
  isRunning = false
  /** What it complained of. */
  errors = ''
  private child: ChildProcess | undefined
  private ended: Promise<void> = Promise.resolve()
  private readonly folder = mkdtempSync(join(tmpdir(), 'gnatmq-crash-'))
  /** The same package at every start, whatever becomes of the source meanwhile. */
  private readonly package = builtPackage()
  private readonly history: History

  constructor(history: History) {
    this.history = history
  }

  /** Rejects when the broker does not start. */
  async start(options: BrokerProcessOptions = {}): Promise<void> {
    const args = [script, await this.package, this.folder, JSON.stringify(options)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.child = child
    this.ended = new Promise((resolve) =>
      child.on('close', () => {
        this.isRunning = false
        resolve()
      }),
    )
    child.on('exit', (_, signal) => signal === 'SIGKILL' && this.isRunning && this.history.add({ type: 'killed' }))
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text
    })
    this.port = await new Promise((resolve, reject) => {
      child.stdout!.setEncoding('utf8').on('data', (text: string) => resolve(Number(text.split(' ')[1])))
      child.on('close', () => reject(new Error(`the broker did not start: ${this.errors}`)))
    })
    this.isRunning = true
  }

  /** Ends the process without a chance to do anything more. */
  async kill(): Promise<void> {
    this.child?.kill('SIGKILL')
    await this.ended
  }

  /** Resolves when the process has come to its end. */
  died(): Promise<void> {
    return this.ended
  }

  /** Ends the process, and removes what it kept. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
