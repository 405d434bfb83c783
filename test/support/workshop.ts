import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { builtPackage, project } from './build'
import type { Snippet } from './snippet'

const movedPorts = pathToFileURL(fileURLToPath(new URL('./moved-ports.mjs', import.meta.url))).href

/** A process and what it has said so far. */
export interface Running {
  readonly child: ChildProcess
  output: string
  errors: string
  /** Exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>
}

/** A folder of a reader's own: the snippets of one document run in it, one after the other, with the built package. */
export class Workshop {
  readonly folder: string
  private readonly installed: string
  private readonly processes: Running[] = []

  private constructor(folder: string, installed: string) {
    this.folder = folder
    this.installed = installed
  }

  static async open(): Promise<Workshop> {
    const installed = await builtPackage()
    const workshop = new Workshop(await mkdtemp(join(tmpdir(), 'gnatmq-readme-')), installed)
    await workshop.install()
    return workshop
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Where a standard port has gone; throws while nobody listens on it. */
  port(standard: number): number {
    return Number(readFileSync(this.path(`ports/${standard}`), 'utf8'))
  }

  /** Starts a snippet as a reader would. */
  async start(snippet: Snippet): Promise<Running> {
    const { language, code } = snippet
    if (language === 'sh') return this.spawn('bash', ['-e', '-o', 'pipefail', '-c', this.withMovedPorts(code)])
    if (language !== 'js' && language !== 'ts') throw new Error(`no way is known to run "${language}"`)
    const file = snippet.name.endsWith('.cjs')
      ? snippet.name
      : `${snippet.name.replace(/\.\w+$/, '').replaceAll(' ', '-')}.mjs`
    await writeFile(this.path(file), language === 'ts' ? javaScriptOf(code) : code)
    return this.node(file)
  }

  node(...args: string[]): Running {
    return this.spawn(process.execPath, args)
  }

  /** Ends what still runs, as Ctrl-C or a service manager would. */
  async stop(): Promise<(number | string)[]> {
    const ends: (number | string)[] = []
    for (const { child, ended } of this.processes.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      ends.push(await ended)
    }
    await rm(this.path('ports'), { recursive: true, force: true })
    await mkdir(this.path('ports'))
    return ends
  }

  async close(): Promise<void> {
    await this.stop()
    await rm(this.folder, { recursive: true, force: true })
  }

  /** What `npm install` would have brought, and stand-ins for `npm` and `npx` that work without a network. */
  private async install(): Promise<void> {
    await mkdir(this.path('ports'))
    await mkdir(this.path('node_modules'))
    await symlink(this.installed, this.path('node_modules/gnatmq'))
    for (const name of ['mqtt', 'express', 'fastify', 'ioredis', 'redis', '@nestjs', 'reflect-metadata', 'vitest'])
      await symlink(join(project, 'node_modules', name), this.path(`node_modules/${name}`))
    await mkdir(this.path('bin'))
    await this.command(
      'npx',
      `[ "$1" = gnatmq ] || exit 1\nshift\nexec ${process.execPath} ${this.installed}/dist/cli/main.js "$@"`,
    )
    const { scripts, version } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
    // what a clone does with these is run by .ci/run
    const cases = [
      // a package file has to be the one that this version makes
      `install) for one; do case "$one" in *.tgz) [ "$one" = ./gnatmq-${version}.tgz ] ;; esac || exit 1; done ;;`,
      `pack) ;;`,
      `start) cd ${this.installed} && exec ${scripts.start} ;;`,
      `test) [ '${scripts.test}' = 'vitest run' ] ;;`,
    ]
    await this.command('npm', `case "$1" in\n${cases.join('\n')}\n*) exit 1 ;;\nesac`)
  }

  /** The command `gnatmq`. */
  gnatmq(...args: string[]): Running {
    return this.node(join(this.installed, 'dist/cli/main.js'), ...args)
  }

  private async command(name: string, script: string): Promise<void> {
    await writeFile(this.path(`bin/${name}`), `#!/bin/sh\n${script}\n`)
    await chmod(this.path(`bin/${name}`), 0o755)
  }

  /** For programs that are not Node's. */
  private withMovedPorts(code: string): string {
    return code.replace(/-p (1883|8883|8083|8084)\b/g, (option, port: string) =>
      existsSync(this.path(`ports/${port}`)) ? `-p ${this.port(Number(port))}` : option,
    )
  }

  private spawn(command: string, args: string[]): Running {
    const env = {
      ...process.env,
      PATH: [this.path('bin'), dirname(process.execPath), process.env['PATH']].join(delimiter),
      NODE_OPTIONS: `--import=${movedPorts}`,
      MOVED_PORTS: this.path('ports'),
      XDG_DATA_HOME: this.path('kept'),
      PFX_PASSWORD: 'pfx password',
    }
    const child = spawn(command, args, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = new Promise<number | string>((resolve) =>
      child.once('close', (code, signal) => resolve(code ?? signal ?? 'gone')),
    )
    const running: Running = { child, output: '', errors: '', ended }
    child.stdout.on('data', (chunk) => (running.output += chunk))
    child.stderr.on('data', (chunk) => (running.errors += chunk))
    this.processes.push(running)
    return running
  }
}

function javaScriptOf(code: string): string {
  const { ModuleKind, ScriptTarget } = ts
  const compilerOptions = {
    module: ModuleKind.ESNext,
    target: ScriptTarget.ES2022,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
  }
  const { outputText, diagnostics } = ts.transpileModule(code, { compilerOptions, reportDiagnostics: true })
  if (diagnostics !== undefined && diagnostics.length > 0)
    throw new Error(ts.flattenDiagnosticMessageText(diagnostics[0]!.messageText, '\n'))
  return outputText
}
