import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
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

  const dead = (token: string) => JSON.stringify({ ...holderHere(), startTime: '1', token })
  const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 32)

  /** What a lock of this process says. */
  function holderHere(): object {
    return JSON.parse(lockText)
  }
  let lockText = ''
  beforeEach(async () => {
    const folder = scratchFolder()
    const store = lmdbStore(folder)
    await store.open()
    lockText = readFileSync(join(folder, 'gnatmq.lock'), 'utf8')
    await store.close()
  })

  it('goes to one of many processes that find it stale at the same moment, and to no second one', async () => {
    const rounds = Array.from({ length: 12 }, (_, round) => {
      const folder = join(scratchFolder(), `${round}`)
      mkdirSync(folder)
      writeFileSync(join(folder, 'gnatmq.lock'), dead(`${round}`))
      return folder
    })
    const racing = `
      import { existsSync } from 'node:fs'
      console.log('ready')
      const stores = []
      for (const folder of JSON.parse(argument)) {
        while (!existsSync(folder + '/../go')) await new Promise((resolve) => setImmediate(resolve))
        const store = lmdbStore(folder)
        const won = await store.open().then(() => true, (error) => !/is in use by process/.test(error.message) && error.message)
        if (won === true) stores.push(store)
        console.log('round ' + won)
      }
      setInterval(() => {}, 1000)
    `
    const racers = await Promise.all([1, 2, 3, 4].map(() => runWithStore(racing, JSON.stringify(rounds))))
    await until(() => racers.every(({ output }) => output.includes('ready')), 'all processes are there')
    for (const [round, folder] of rounds.entries()) {
      writeFileSync(join(folder, '..', 'go'), '')
      const results = () =>
        racers.map(({ output }) => output.split('\n').filter((line) => line.startsWith('round'))[round])
      await until(() => results().every((result) => result !== undefined), 'all have tried')
      expect(results().sort()).toEqual(['round false', 'round false', 'round false', 'round true'])
      expect(readdirSync(folder).filter((name) => name.startsWith('gnatmq.lock'))).toEqual(['gnatmq.lock'])
    }
    await Promise.all(racers.map((racer) => racer.kill()))
  }, 60_000)

  it('is taken over when the process that was taking it over has ended as well', async () => {
    const folder = scratchFolder()
    const lock = join(folder, 'gnatmq.lock')
    const [former, first, second] = [dead('former'), dead('first'), dead('second')]
    writeFileSync(lock, former)
    writeFileSync(`${lock}.${digest(former)}`, first)
    writeFileSync(`${lock}.${digest(first)}`, second)
    const store = await openStore(folder)
    expect(readdirSync(folder).filter((name) => name.startsWith('gnatmq.lock'))).toEqual(['gnatmq.lock'])
    await store.close()
  })

  it('is not taken over while another process is doing that', async () => {
    const folder = scratchFolder()
    const lock = join(folder, 'gnatmq.lock')
    const former = dead('former')
    writeFileSync(lock, former)
    writeFileSync(`${lock}.${digest(former)}`, lockText)
    await expect(lmdbStore(folder).open()).rejects.toThrow(`is in use by process ${process.pid}`)
    expect(readFileSync(lock, 'utf8')).toBe(former)
  })

  it('of a process that has lost it is left to the one that has it now', async () => {
    const folder = scratchFolder()
    const lock = join(folder, 'gnatmq.lock')
    const store = await openStore(folder)
    writeFileSync(lock, dead('of another process'))
    await store.close()
    expect(readFileSync(lock, 'utf8')).toBe(dead('of another process'))
  })

  it('leaves nothing behind on a full disk, so that the next start waits for nobody', async (context) => {
    const { folder, problem } = mounted(['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs'])
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    const { bavail, bsize } = statfsSync(folder)
    const other = join(folder, 'other')
    writeFileSync(other, Buffer.alloc(bavail * bsize))
    await expect(lmdbStore(folder).open()).rejects.toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      message: expect.stringMatching(/cannot be written to: ENOSPC/),
    })
    expect(readdirSync(folder)).toEqual(['other'])
    // the lock of a process that is no more, and no room for the successor's
    rmSync(other)
    writeFileSync(join(folder, 'gnatmq.lock'), dead('former'))
    writeFileSync(other, Buffer.alloc(bavail * bsize - bsize))
    await expect(lmdbStore(folder).open()).rejects.toThrow(/cannot be written to: ENOSPC/)
    expect(readdirSync(folder).sort()).toEqual(['gnatmq.lock', 'other'])
    rmSync(other)
    const started = performance.now()
    await openStore(folder)
    expect(performance.now() - started).toBeLessThan(5000)
  })
})
