import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { builtPackage, project } from '../../support/build'

/** Runs a module in a process of its own, with `lmdbStore` and `argument` in scope. `command` runs Node, if given. */
export async function runWithStore(
  source: string,
  argument: string,
  command: readonly string[] = [],
): Promise<StoreProcess> {
  const url = pathToFileURL(join(await builtPackage(), 'dist/persistence/lmdb/index.js')).href
  const whole = `import { lmdbStore } from ${JSON.stringify(url)}\nconst argument = process.argv[1]\n${source}`
  const node = [process.execPath, '--input-type=module', '-e', whole, argument]
  const [program = '', ...rest] = [...command, ...node]
  return new StoreProcess(spawn(program, rest, { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] }))
}

export class StoreProcess {
  readonly pid: number
  /** What it wrote to its output up to now. */
  output = ''
  errors = ''
  readonly ended: Promise<number | null>
  private readonly child: ChildProcess

  constructor(child: ChildProcess) {
    this.child = child
    this.pid = child.pid ?? 0
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text
    })
    this.ended = new Promise((resolve) => child.on('close', (code) => resolve(code)))
  }

  /** Ends it without a chance to do anything more. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}
