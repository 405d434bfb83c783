import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { builtPackage } from '../support/build'

/** An example that runs. */
export interface Example {
  /** Where its broker listens. */
  readonly port: number
  readonly output: string
  /** Resolves as soon as the example has said this. */
  said(text: string): Promise<void>
  stop(signal: NodeJS.Signals): Promise<{ code: number | null; errors: string }>
}

/** A folder of the examples' own, with the built package installed in it. */
export class ExampleRunner {
  private readonly children: ChildProcess[] = []

  private constructor(private readonly folder: string) {}

  static async open(examples: string): Promise<ExampleRunner> {
    const folder = await mkdtemp(join(tmpdir(), 'gnatmq-examples-'))
    await mkdir(join(folder, 'node_modules'))
    await symlink(await builtPackage(), join(folder, 'node_modules/gnatmq'))
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
    await cp(examples, join(folder, 'examples'), { recursive: true })
    return new ExampleRunner(folder)
  }

  /** Starts an example on free ports of the loopback interface. Rejects when it ends instead of listening. */
  async start(name: string): Promise<Example> {
    const files = await mkdtemp(join(this.folder, 'files-'))
    const env = { ...process.env, PORT: '0', HTTP_PORT: '0', HOST: '127.0.0.1' }
    const program = [join(this.folder, 'examples', name), files]
    const child = spawn(process.execPath, program, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.children.push(child)
    const example = new RunningExample(child)
    await example.said('Now, in')
    return example
  }

  /** Certificate and key that an example has written for one of its clients. */
  identity(folder: string, name: string): { cert: Buffer; key: Buffer } {
    return { cert: readFileSync(join(folder, `${name}.pem`)), key: readFileSync(join(folder, `${name}.key`)) }
  }

  async close(): Promise<void> {
    for (const child of this.children) if (child.exitCode === null) child.kill('SIGKILL')
    await rm(this.folder, { recursive: true, force: true })
  }
}

class RunningExample implements Example {
  output = ''
  private errors = ''
  private readonly progress = new EventEmitter()
  private readonly closed: Promise<number | null>

  constructor(private readonly child: ChildProcess) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text
      this.progress.emit('change')
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.errors += text))
    this.closed = once(child, 'close').then(([code]) => {
      this.progress.emit('change')
      return code as number | null
    })
  }

  get port(): number {
    return Number(/listening on port (\d+)/.exec(this.output)?.[1])
  }

  async said(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`the example ended without "${text}": ${this.errors}`)
      await once(this.progress, 'change')
    }
  }

  async stop(signal: NodeJS.Signals): Promise<{ code: number | null; errors: string }> {
    this.child.kill(signal)
    return { code: await this.closed, errors: this.errors }
  }
}
