import { fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const questionMs = 60_000

/** Cores for brokers and for the load, so that neither takes the other's time; null where that cannot be had. */
export function splitCores() {
  let list
  try {
    list = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]
  } catch {
    return null
  }
  const cores = list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
  if (cores.length < 2 || spawnSync('taskset', ['--version']).status !== 0) return null
  return { broker: String(cores[0]), load: cores.slice(1).join(',') }
}

/** Prefixes a command with the cores that it may use. */
export function pinned(cores, command, args) {
  return cores === null ? [command, args] : ['taskset', ['-c', cores, command, ...args]]
}

/** Of a stack trace only the line that names the error. */
function endOf(module, reason, complaint) {
  const named = /^.*Error.*$/m.exec(complaint)?.[0] ?? ''
  return `${module} ended (${reason}) ${named}`.trim()
}

/** A Node process that answers questions: the other end is `answer` in answers.js. */
export class Child {
  #questions = new Map()
  #next = 0

  static async start(module, cores = null) {
    const child = new Child(module, cores)
    await child.ask('ready')
    return child
  }

  constructor(module, cores) {
    const path = fileURLToPath(new URL(module, import.meta.url))
    const [command, args] = pinned(cores, process.execPath, [path])
    this.name = module
    this.process =
      cores === null
        ? fork(path, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] })
        : spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    let complaint = ''
    this.process.stderr.on('data', (bytes) => {
      complaint = (complaint + bytes).slice(-2000)
    })
    this.process.on('message', (message) => this.#settle(message))
    this.process.on('error', (error) => this.#fail(error))
    this.process.on('exit', (code, signal) => this.#fail(new Error(endOf(module, signal ?? code, complaint))))
  }

  get pid() {
    return this.process.pid
  }

  /** `patience` is { what, seconds }: how long a step may take, and how the error names it. */
  ask(method, argument, patience) {
    if (this.ended) return Promise.reject(this.ended)
    const id = method === 'ready' ? 'ready' : this.#next++
    return new Promise((resolve, reject) => {
      const late = patience
        ? new Error(`${patience.what} took longer than ${patience.seconds} seconds`)
        : new Error(`${this.name} did not answer ${method}`)
      late.final = patience !== undefined
      const timer = setTimeout(() => reject(late), patience ? patience.seconds * 1000 : questionMs)
      this.#questions.set(id, { resolve, reject, timer })
      if (id !== 'ready') this.process.send({ id, method, argument }, (error) => error && this.#fail(error))
    })
  }

  #settle({ ready, id, result, error }) {
    const question = this.#questions.get(ready ? 'ready' : id)
    if (question === undefined) return
    this.#questions.delete(ready ? 'ready' : id)
    clearTimeout(question.timer)
    if (error === undefined) question.resolve(result)
    else question.reject(new Error(error))
  }

  #fail(error) {
    this.ended ??= error
    for (const { reject, timer } of this.#questions.values()) {
      clearTimeout(timer)
      reject(error)
    }
    this.#questions.clear()
  }

  async stop() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const exit = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await exit
  }
}
