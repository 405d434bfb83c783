import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createWhole } from '../../../src/persistence/lmdb/private-files'
import { openStore, scratchFolder, session } from './store-fixture'
import { runWithStore } from './store-process'

const rightsOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

describe.skipIf(process.platform === 'win32')('the rights of a store', () => {
  it('are those of its owner alone: folders, files, and a backup', async () => {
    const folder = join(scratchFolder(), 'a', 'b')
    const store = await openStore(folder)
    await store.commit([session('c')])
    const backup = join(scratchFolder(), 'x', 'y')
    await store.backup(backup)
    for (const made of [join(folder, '..'), folder, join(backup, '..'), backup]) expect(rightsOf(made)).toBe('700')
    for (const name of readdirSync(folder)) expect(`${name} ${rightsOf(join(folder, name))}`).toBe(`${name} 600`)
    expect(readdirSync(folder).sort()).toEqual(['data.mdb', 'gnatmq.lock', 'lock.mdb'])
    expect(rightsOf(join(backup, 'data.mdb'))).toBe('600')
  })

  it('are taken from others where an earlier version gave them, in a folder that keeps its own', async () => {
    const folder = join(scratchFolder(), 'shared')
    mkdirSync(folder)
    chmodSync(folder, 0o755)
    const store = await openStore(folder)
    await store.close()
    for (const name of ['data.mdb', 'lock.mdb']) chmodSync(join(folder, name), 0o644)
    await openStore(folder)
    expect(rightsOf(folder)).toBe('755')
    for (const name of ['data.mdb', 'lock.mdb']) expect(rightsOf(join(folder, name))).toBe('600')
  })

  it('are the same whatever the umask of the process', async () => {
    const folder = join(scratchFolder(), 'a')
    const child = await runWithStore(
      `process.umask(0)
      const store = lmdbStore(argument)
      await store.open()
      await store.close()`,
      folder,
    )
    expect(await child.ended).toBe(0)
    expect([folder, join(folder, 'data.mdb')].map(rightsOf)).toEqual(['700', '600'])
  })
})

describe('a new store folder', () => {
  const hasStrace = spawnSync('strace', ['-V']).status === 0

  it('is on the disk with the names of all the folders that were made for it', async (context) => {
    if (!hasStrace) return context.skip('strace is not installed')
    const home = scratchFolder()
    const trace = join(scratchFolder(), 'trace')
    const child = await runWithStore(
      `const store = lmdbStore(argument)
      await store.open()
      await store.close()`,
      join(home, 'a', 'b', 'c'),
      ['strace', '-f', '-y', '-qq', '-e', 'trace=fsync', '-o', trace],
    )
    expect(await child.ended).toBe(0)
    const flushed = new Set(Array.from(readFileSync(trace, 'utf8').matchAll(/fsync\(\d+<(.*?)>/g), ([, path]) => path))
    for (const folder of [home, join(home, 'a'), join(home, 'a', 'b'), join(home, 'a', 'b', 'c')]) {
      expect(flushed).toContain(folder)
    }
  })
})

describe('a file that is made whole', () => {
  it('is left alone when it is there, and leaves no draft', () => {
    const folder = scratchFolder()
    const [file, draft] = [join(folder, 'file'), join(folder, 'draft')]
    expect(createWhole(file, 'first', draft)).toBe(true)
    expect(createWhole(file, 'second', draft)).toBe(false)
    expect(readFileSync(file, 'utf8')).toBe('first')
    expect(existsSync(draft)).toBe(false)
    rmSync(file)
  })
})
