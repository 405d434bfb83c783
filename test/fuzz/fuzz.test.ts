import { spawn } from 'node:child_process'
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { builtPackage } from '../support/build'

const script = fileURLToPath(new URL('fuzz.mjs', import.meta.url))

/** Runs the fuzzer to its end: its exit code, what it has printed, and the report at its end. */
async function fuzz(...args: string[]) {
  const child = spawn(process.execPath, [script, '--package', await builtPackage(), ...args])
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  const at = output.indexOf('\n{')
  return { code, output, report: at < 0 ? undefined : JSON.parse(output.slice(at)) }
}

describe('the fuzzer', () => {
  it('finds nothing that breaks the broker in a short run on every transport', async () => {
    const { code, output, report } = await fuzz('--seconds', '8')
    expect(output).toMatch(/^seed \d+/)
    expect({ code, output }).toMatchObject({ code: 0 })
    expect(report).toMatchObject({ faults: [], pair: { lost: 0 } })
    expect(report.packets).toBeGreaterThan(1000)
    expect(report.refusalKinds).toBeGreaterThan(20)
  }, 60_000)

  it('still gets the same errors for all of its corpus', async () => {
    const { code, output } = await fuzz('--replay')
    expect({ code, output }).toMatchObject({ code: 0 })
  }, 60_000)

  it('adds to its corpus what made the broker refuse in a new way, named by what it is', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gnatmq-corpus-'))
    const { report } = await fuzz('--connections', '150', '--seconds', '5', '--corpus', folder, '--keep')
    const names = await readdir(folder)
    expect(names.length).toBeGreaterThan(3)
    expect(names.sort()).toEqual(report.kept.sort())
    for (const name of names) expect(name).toMatch(/^[a-z0-9-]+\.txt$/)
  }, 60_000)
})
