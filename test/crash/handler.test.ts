import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { builtPackage } from '../support/build'

const script = fileURLToPath(new URL('handler-process.mjs', import.meta.url))

/** Runs until every line has come, then kills. */
async function until(lines: readonly string[], args: readonly string[]): Promise<string[]> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  let [said, complaint] = ['', '']
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  return new Promise((resolve, reject) => {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (lines.every((line) => said.split('\n').includes(line))) child.kill('SIGKILL')
    })
    child.on('close', (_, signal) => {
      if (signal === 'SIGKILL') resolve(said.trim().split('\n'))
      else reject(new Error(`it ended by itself: ${complaint}`))
    })
  })
}

it.each(['1', '2'])(
  'QoS %s: what a handler has not acknowledged comes again after kill -9',
  async (qos) => {
    const folder = mkdtempSync(join(tmpdir(), 'gnatmq-handler-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const built = await builtPackage()
    const first = await until(['0', '1', '2', '3', '4', 'published'], [built, folder, 'first', qos])
    expect(first.filter((line) => line !== 'published')).toEqual(['0', '1', '2', '3', '4'])
    const second = await until(['2', '3', '4', 'last'], [built, folder, 'second', qos])
    const got = second.filter((line) => line !== 'published')
    // what was acknowledged may come again where its commit was still under way
    expect(got.slice(-4)).toEqual(['2', '3', '4', 'last'])
    expect(['0', '1', '0 1', '']).toContain(got.slice(0, -4).join(' '))
  },
  120_000,
)
