import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  collect,
  dequeue,
  end,
  enqueue,
  entry,
  message,
  mounted,
  openStore,
  scratchFolder,
  session,
} from './store-fixture'

const MEBIBYTE = 1024 * 1024

describe('the space of a store', () => {
  it('stays bounded while messages come and go', async () => {
    const store = await openStore(scratchFolder(), { durability: 'none' })
    await store.commit([session('a'), session('b')])
    const window = 500
    let bytesAfterStart = 0
    for (let position = 1; position <= 20_000; position++) {
      const one = message('t', Buffer.alloc((position * 37) % 400, position))
      const changes = [enqueue('a', entry(position, one)), enqueue('b', entry(position, one))]
      if (position > window) changes.push(dequeue('a', position - window), dequeue('b', position - window))
      const answer = store.commit([
        ...changes,
        { type: 'retain', message: message(`r/${position % 50}`, 'x'.repeat(position % 300)) },
      ])
      if (position % 20 === 0) await answer
      if (position === 5000) bytesAfterStart = store.statistics().fileBytes
    }
    await store.commit([])
    expect(store.verify()).toEqual([])
    expect(store.statistics().fileBytes).toBeLessThan(bytesAfterStart * 1.5)
    expect(store.statistics()).toMatchObject({ queuedEntries: 2 * window, messages: window + 50 })
  }, 60_000)

  it('is used again after long queues have ended', async () => {
    const store = await openStore(scratchFolder(), { durability: 'none' })
    const sizes: number[] = []
    for (let round = 0; round < 6; round++) {
      await store.commit([session('c')])
      for (let i = 0; i < 10; i++) {
        await store.commit(
          Array.from({ length: 500 }, (_, at) =>
            enqueue('c', entry(i * 500 + at + 1, message('t', Buffer.alloc(500, at)))),
          ),
        )
      }
      await store.commit([end('c')])
      while (store.statistics().queuedEntries > 0) await new Promise((resolve) => setTimeout(resolve, 5))
      sizes.push(store.statistics().fileBytes)
    }
    expect(sizes[5]!).toBeLessThan(sizes[1]! * 1.3)
  }, 60_000)

  it('ends at maximumBytes: commits that add are refused until others have taken away', async () => {
    const maximumBytes = 2 * MEBIBYTE
    const store = await openStore(scratchFolder(), { durability: 'none', maximumBytes })
    await store.commit([session('c')])
    let position = 0
    let failure: unknown
    while (failure === undefined && position < 10_000) {
      position++
      failure = await Promise.resolve(
        store.commit([enqueue('c', entry(position, message('t', Buffer.alloc(1000, 1))))]),
      ).catch((error: unknown) => error)
    }
    expect(failure).toMatchObject({ code: 'GNATMQ_STORE_FAILED', reasonCode: 0x97, cause: { code: 'ENOSPC' } })
    expect(position).toBeGreaterThan(900)
    const statistics = store.statistics()
    expect(statistics.usedBytes).toBeLessThanOrEqual(maximumBytes)
    expect(statistics.fileBytes).toBeLessThan(maximumBytes * 1.5)
    expect(await store.queue('c', position - 1, 9)).toEqual([])
    await store.commit([{ type: 'hold', clientId: 'c', packetIdentifier: 1 }])
    // a client that comes back to take what is queued
    await store.commit([session('c', { disconnectedAt: 9 })])
    await store.commit(Array.from({ length: 500 }, (_, i) => dequeue('c', i + 1)))
    await store.commit([enqueue('c', entry(position, message('t', 'fits again')))])
    expect(store.verify()).toEqual([])
  })

  it('runs out with the disk: the commit fails as a whole, and the next one is tried anew', async (context) => {
    const { folder, problem } = mounted(['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs'])
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    const store = await openStore(folder)
    await store.commit([session('c'), enqueue('c', entry(1, message('t', 'first')))])
    // what is left of the disk goes to somebody else
    const { bavail, bsize } = statfsSync(folder)
    const other = join(folder, 'other')
    writeFileSync(other, Buffer.alloc(bavail * bsize - 16 * 4096))
    const big = message('t', Buffer.alloc(300_000, 7))
    const failing = [store.commit([enqueue('c', entry(2, big))]), store.commit([session('d')])]
    for (const commit of failing) {
      await expect(commit).rejects.toMatchObject({
        code: 'GNATMQ_STORE_FAILED',
        message: expect.stringMatching(/The disk has \d+ bytes left/),
      })
    }
    await expect(store.commit([enqueue('c', entry(2, big))])).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
    expect((await store.queue('c', 0, 9)).map((of) => of.position)).toEqual([1])
    expect(await collect(store.sessions())).toHaveLength(1)
    expect(store.verify()).toEqual([])
    rmSync(other)
    await store.commit([enqueue('c', entry(3, big)), session('d')])
    expect((await store.queue('c', 0, 9)).map((of) => of.position)).toEqual([1, 3])
    expect(store.statistics()).toMatchObject({ failedTransactions: 1, sessions: 2 })
    expect(store.verify()).toEqual([])
    await store.close()
    const again = await openStore(folder)
    expect((await again.queue('c', 0, 9)).map((of) => of.position)).toEqual([1, 3])
    await again.close()
  })
})
