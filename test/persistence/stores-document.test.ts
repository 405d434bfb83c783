import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { builtPackage, project } from '../support/build'
import { snippetsOf } from '../support/snippet'

const document = join(project, 'docs', 'stores.md')

describe('docs/stores.md', () => {
  it('has a store that passes the suite, as the text says', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gnatmq-document-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(await builtPackage(), join(folder, 'node_modules', 'gnatmq'))
    const files = snippetsOf(document).filter(({ name }) => name.endsWith('.mjs'))
    for (const { name, code } of files) writeFileSync(join(folder, name), code)
    expect(files.map(({ name }) => name)).toEqual(['json-file-store.mjs', 'json-file-store.test.mjs'])
    // the outer runner's mark would make the inner one report to it
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const run = spawnSync(process.execPath, ['--test', '--test-reporter=tap'], { cwd: folder, encoding: 'utf8', env })
    expect(run.stdout + run.stderr).toMatch(/# pass [1-9]\d/)
    expect(run.stdout).toMatch(/# fail 0/)
    expect(run.status).toBe(0)
  }, 60_000)

  it('opens a durable store with the entry that it names', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gnatmq-document-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(await builtPackage(), join(folder, 'node_modules', 'gnatmq'))
    const snippet = snippetsOf(document)[0]!.code
    const started = snippet.replace('({ store', '({ port: 0, store')
    writeFileSync(
      join(folder, 'a.mjs'),
      `${started}\nawait broker.start()\nawait broker.stop()\nconsole.log('stopped')`,
    )
    const required = `const { lmdbStore } = require('gnatmq/lmdb')
      const store = lmdbStore('./data')
      store.open().then(() => store.close()).then(() => console.log('closed'))`
    writeFileSync(join(folder, 'b.cjs'), required)
    const outputs = ['a.mjs', 'b.cjs'].map((file) =>
      spawnSync(process.execPath, [file], { cwd: folder, encoding: 'utf8' }),
    )
    expect(outputs.map(({ stdout, stderr }) => stdout + stderr)).toEqual(['stopped\n', 'closed\n'])
  }, 60_000)
})
