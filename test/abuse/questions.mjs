// Questions and answers between a process and a child of it, over IPC.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A child process that answers questions by name. */
export class Child {
  #questions = new Map()
  #last = 0
  #ended = null
  #complaint = ''

  /** `file` stands beside this one. Resolves once the child calls `answerQuestions`. */
  static async start(file, { args = [], nodeArgs = [] } = {}) {
    const child = new Child(file, args, nodeArgs)
    await child.ask('ready')
    return child
  }

  constructor(file, args, nodeArgs) {
    const path = fileURLToPath(new URL(file, import.meta.url))
    this.process = spawn(process.execPath, [...nodeArgs, path, ...args], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.process.stderr.setEncoding('utf8').on('data', (text) => {
      this.#complaint = (this.#complaint + text).slice(-4000)
    })
    this.process.on('message', ({ id, result, error }) => {
      const question = this.#questions.get(id)
      this.#questions.delete(id)
      if (error === undefined) question?.resolve(result)
      else question?.reject(new Error(`${file}: ${error}`))
    })
    this.exited = new Promise((resolve) =>
      this.process.on('close', (code, signal) => {
        this.#ended = new Error(`${file} ended (${signal ?? code}) ${this.#complaint}`)
        for (const { reject } of this.#questions.values()) reject(this.#ended)
        this.#questions.clear()
        resolve(signal ?? code)
      }),
    )
  }

  /** Why it runs no more; null while it does. */
  get ended() {
    return this.#ended
  }

  /** Rejects when the child throws, or has ended. */
  ask(name, argument) {
    if (this.#ended !== null) return Promise.reject(this.#ended)
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#questions.set(id, { resolve, reject })
      this.process.send({ id, name, argument }, (error) => error && reject(error))
    })
  }

  async stop() {
    if (this.#ended === null) this.process.kill('SIGKILL')
    await this.exited
  }
}

/** The child's end: `answers` has a function for each question. The child ends with its parent. */
export function answerQuestions(answers) {
  const known = { ready: () => true, ...answers }
  process.on('message', async ({ id, name, argument }) => {
    try {
      process.send({ id, result: await known[name](argument) })
    } catch (error) {
      process.send({ id, error: error?.stack ?? String(error) })
    }
  })
  process.on('disconnect', () => process.exit())
}
