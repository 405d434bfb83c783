import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { builtPackage } from '../support/build'

const script = fileURLToPath(new URL('contest.mjs', import.meta.url))

/** What must hold however busy the machine is; the times are for a run by hand on a quiet one. */
const lasting = [/^RSS below/, /^the pair stays connected$/, /^the pair loses nothing$/, /^the process lives$/]

describe('attackers of all kinds at once', () => {
  it('neither end nor fill the broker in a short contest, and cost an honest pair nothing', async () => {
    const child = spawn(process.execPath, [script, '--minutes', '0.2', '--json', '--package', await builtPackage()])
    onTestFinished(() => void child.kill('SIGKILL'))
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    await new Promise((resolve) => child.on('close', resolve))
    const line = output.split('\n').find((text) => text.startsWith('[{'))
    expect(line, output).toBeDefined()
    const rows = JSON.parse(line!) as { phase: string; what: string; kept: string; measured: string }[]
    const judged = rows.filter(({ what }) => lasting.some((pattern) => pattern.test(what)))
    expect(judged.map(({ phase }) => phase).sort()).toEqual(['both', 'inside', 'inside', 'outside', 'outside'])
    expect(judged.filter(({ kept }) => kept !== 'yes')).toEqual([])
  }, 90_000)
})
