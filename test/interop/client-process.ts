import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'

/** A client that is a process of its own and says what it receives line by line. Ends with its test. */
export class ClientProcess {
  readonly lines: string[] = []
  errors = ''
  /** Its exit code; null when a signal ended it. */
  readonly exit: Promise<number | null>
  readonly #child: ChildProcess

  constructor(command: string, args: string[], onLine: (line: string) => void = () => undefined) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    onTestFinished(() => this.end('SIGKILL'))
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        this.lines.push(line)
        onLine(line)
      }
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.errors += text))
    this.exit = once(child, 'close').then(([code]) => code as number | null)
    this.exit.catch(() => undefined)
  }

  /** Rejects unless the process ends with success. */
  async succeeded(): Promise<void> {
    const code = await this.exit
    if (code !== 0) throw new Error(`${this.#child.spawnargs.join(' ')} ended with ${code}: ${this.errors}`)
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal)
    await this.exit.catch(() => undefined)
  }
}
