import { readFile } from 'node:fs/promises'
import { UsageError } from './arguments'
import { certCa } from './cert-ca'
import { certClient } from './cert-client'
import { certServer } from './cert-server'
import type { Command, CommandContext } from './command'
import { passwd } from './passwd'
import { run } from './run'

/** `gnatmq` in full: runs one command and answers its exit code. */
export async function runCommandLine(args: readonly string[], context: CommandContext): Promise<number> {
  try {
    if (args[0] === '--version') {
      context.terminal.print(await version())
      return 0
    }
    const { command, rest } = commandOf([...args])
    if (rest.includes('--help') || rest.includes('-h')) context.terminal.print(command.help)
    else await command.run(rest, context)
    return 0
  } catch (error) {
    context.terminal.complain(`gnatmq: ${oneLine(error)}`)
    if (!(error instanceof UsageError)) return 1
    context.terminal.complain('Try "gnatmq --help".')
    return 2
  }
}

function commandOf(args: string[]): { command: Command; rest: string[] } {
  const [first, second] = args
  if (first === undefined || first.startsWith('-')) return { command: run, rest: args }
  if (first === 'passwd') return { command: passwd, rest: args.slice(1) }
  if (first !== 'cert') throw new UsageError(`"${first}" is no command`)
  if (second === undefined) throw new UsageError('cert makes one of three: ca, server, client')
  if (second.startsWith('-')) return { command: cert, rest: args.slice(1) }
  const made = new Map<string, Command>([
    ['ca', certCa],
    ['server', certServer],
    ['client', certClient],
  ]).get(second)
  if (made === undefined) throw new UsageError(`"cert ${second}" is no command: use cert ca, cert server, cert client`)
  return { command: made, rest: args.slice(2) }
}

const cert: Command = {
  help: [certCa, certServer, certClient].map((command) => command.help).join('\n\n'),
  async run() {
    throw new UsageError('cert makes one of three: ca, server, client')
  },
}

function oneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const message = error.message.replaceAll(/\s*\n\s*/g, ' ')
  return 'code' in error ? `${message} (${error.code})` : message
}

async function version(): Promise<string> {
  const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
