import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { lmdbStore } from '../../../src/persistence/lmdb'
import { mounted, openStore, scratchFolder, session, until } from './store-fixture'
import { runWithStore } from './store-process'

describe('the lock of a store folder', () => {
  const holding = `
    const store = lmdbStore(argument)
    await store.open()
    console.log('open')
    setInterval(() => {}, 1000)
  `

  it('refuses a second store in the same process', async () => {
    const folder = scratchFolder()
    const store = await openStore(folder)
    await expect(lmdbStore(folder).open()).rejects.toThrow(`is in use by process ${process.pid}, which is this one`)
    await expect(store.open()).rejects.toThrow('is open already')
    await store.close()
    await openStore(folder)
  })

  it('names the process that has the folder, and is taken over when that was killed', async () => {
    const folder = scratchFolder()
    const holder = await runWithStore(holding, folder)
    await until(() => holder.output.includes('open'), 'the other process has opened the store')
    await expect(lmdbStore(folder).open()).rejects.toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      message: expect.stringContaining(`is in use by process ${holder.pid}:`),
    })
    await holder.kill()
    expect(existsSync(join(folder, 'gnatmq.lock'))).toBe(true)
    const store = await openStore(folder)
    await store.commit([session('c')])
  })

  it('is not fooled by another process with the number of the one that is gone', async () => {
    const folder = scratchFolder()
    const store = await openStore(folder)
    const lock = join(folder, 'gnatmq.lock')
    const text = readFileSync(lock, 'utf8')
    await store.close()
    expect(existsSync(lock)).toBe(false)
    writeFileSync(lock, JSON.stringify({ ...JSON.parse(text), startTime: '1' }))
    await openStore(folder)
  })

  it('is taken over when nobody touches it and its process cannot be seen', async () => {
    const texts = ['', 'not json', '{"pid":1,"place":"elsewhere"}']
    const folders = texts.map((text) => {
      const folder = scratchFolder()
      writeFileSync(join(folder, 'gnatmq.lock'), text)
      return folder
    })
    await Promise.all(folders.map((folder) => openStore(folder)))
  }, 30_000)

  it('is respected when its process cannot be seen but touches it', async () => {
    const folder = scratchFolder()
    const lock = join(folder, 'gnatmq.lock')
    writeFileSync(lock, '{"pid":77,"place":"elsewhere"}')
    const beat = setInterval(() => utimesSync(lock, new Date(), new Date()), 200)
    await expect(lmdbStore(folder).open()).rejects.toThrow('is in use by process 77')
    clearInterval(beat)
  })

  it('is let go when the store cannot be opened', async () => {
    const folder = scratchFolder()
    writeFileSync(join(folder, 'data.mdb'), '')
    await expect(lmdbStore(folder).open()).rejects.toThrow('is damaged')
    await expect(lmdbStore(folder).open()).rejects.toThrow('is damaged')
  })

  it('cannot be had in a read-only folder', async (context) => {
    const { folder, problem } = mounted(['-t', 'tmpfs', '-o', 'ro', 'tmpfs'])
    if (problem !== undefined) return context.skip(`a read-only folder cannot be mounted: ${problem}`)
    await expect(lmdbStore(folder).open()).rejects.toThrow(/cannot be written to: EROFS/)
  })
})
