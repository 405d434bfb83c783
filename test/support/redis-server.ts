import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Milliseconds that a server may take to begin or to end. */
const PATIENCE_MS = 15_000

/** Why tests with a real server do not run here; undefined if they do. */
export const whyNoRedis: string | undefined = (() => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'redis-server is not installed: install the Debian package redis-server for the tests with a real one'
  }
})()

if (whyNoRedis !== undefined) console.log(whyNoRedis)

/** A port of the loopback interface that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** A redis-server of one test file, on a unix socket in a folder of its own. */
export class RedisServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'gnatmq-redis-'))
  readonly path = join(this.folder, 'socket')
  private readonly settings: readonly string[]
  private child: ChildProcess | undefined

  /** Settings as on the command line, such as `--appendfsync`, `always`. */
  constructor(...settings: string[]) {
    this.settings = settings
  }

  /** A server that has begun. What it writes is on no disk that has to be waited for, unless it is said. */
  static async start(...settings: string[]): Promise<RedisServer> {
    const server = new RedisServer(...settings)
    await server.begin()
    return server
  }

  async begin(): Promise<void> {
    const fixed = ['--port', '0', '--unixsocket', this.path, '--dir', this.folder, '--save', '']
    const child = spawn('redis-server', [...fixed, ...this.settings], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child = child
    // a test that was cut short leaves no server behind
    const endWithTests = (): void => void child.kill('SIGKILL')
    process.once('exit', endWithTests)
    child.once('exit', () => process.removeListener('exit', endWithTests))
    let log = ''
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => (log += text))
    const end = Date.now() + PATIENCE_MS
    while (!(await this.answers())) {
      if (child.exitCode !== null || Date.now() > end)
        throw new Error(`redis-server has not begun: ${log.slice(-2000)}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** Ends at once, as by a failure of power for the process. */
  async kill(): Promise<void> {
    await this.end('SIGKILL')
    rmSync(this.path, { force: true })
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM')
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** It answers nothing until `thaw`. */
  freeze(): void {
    this.child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.child?.kill('SIGCONT')
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }

  /** Whether it has its data, and a password or none. */
  private answers(): Promise<boolean> {
    if (!existsSync(this.path)) return Promise.resolve(false)
    return new Promise((resolve) => {
      const socket = connect(this.path, () => socket.write('PING\r\n'))
      socket.once('data', (answer) => {
        resolve(!answer.toString().startsWith('-LOADING'))
        socket.destroy()
      })
      socket.once('error', () => resolve(false))
    })
  }
}
