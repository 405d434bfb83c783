import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Library } from '../../src/cli/command'
import { runCommandLine } from '../../src/cli/command-line'

export const temporaryFolder = () => mkdtemp(join(tmpdir(), 'gnatmq-cli-'))

export interface CliRun {
  code: number
  output: string
  errors: string
}

/** Runs a command line and keeps what it says. `library` is loaded only when the command needs it. */
export async function runCli(
  args: string[],
  setting: { password?: string; library?: () => Promise<Library>; stopRequested?: () => Promise<void> } = {},
): Promise<CliRun> {
  const output: string[] = []
  const errors: string[] = []
  const code = await runCommandLine(args, {
    library: setting.library ?? (() => import('../../src/index')),
    terminal: {
      environment: {},
      print: (text) => void output.push(text),
      complain: (text) => void errors.push(text),
      readPassword: async () => setting.password ?? '',
      stopRequested: setting.stopRequested ?? (async () => undefined),
      onReload: () => () => undefined,
    },
  })
  return { code, output: output.join('\n'), errors: errors.join('\n') }
}
