import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'

/** What a command has of the outer world. */
export interface Terminal {
  environment: NodeJS.ProcessEnv
  print(text: string): void
  complain(text: string): void
  /** Asks for a password twice on a terminal, without an echo; takes the first line of any other input. */
  readPassword(prompt: string): Promise<string>
  /** Resolves when the process is asked to end. Asked a second time, it ends at once. */
  stopRequested(): Promise<void>
  /** Calls `reload` at each SIGHUP, which does not end the process from then on. Answers what ends that. */
  onReload(reload: () => void): () => void
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  // `gnatmq | head`: the reader of the output may go, and the broker must not go with it
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosedPipe)
  return {
    environment: process.env,
    print: (text) => void process.stdout.write(`${text}\n`),
    complain: (text) => void process.stderr.write(`${text}\n`),
    readPassword: (prompt) => (process.stdin.isTTY ? askTwice(prompt) : firstLine()),
    stopRequested: () =>
      new Promise((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
      }),
    onReload: (reload) => {
      process.on('SIGHUP', reload)
      return () => process.off('SIGHUP', reload)
    },
  }
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}

async function firstLine(): Promise<string> {
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) return line
  return ''
}

async function askTwice(prompt: string): Promise<string> {
  const first = await askHidden(`${prompt}: `)
  const second = await askHidden(`${prompt} again: `)
  if (first === second) return first
  throw new Error('the two passwords differ')
}

async function askHidden(prompt: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  process.stderr.write(prompt)
  try {
    const closed = once(lines, 'close').then((): string => {
      throw new Error('no password was given')
    })
    const line = once(lines, 'line').then(([text]) => String(text))
    closed.catch(() => undefined)
    return await Promise.race([line, closed])
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}
