import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readdirSync, rmSync, statfsSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { lmdbStore } from '../../../src/persistence/lmdb'
import type { Change } from '../../../src/ports/store'
import { dequeue, enqueue, entry, message, mounted, openStore, scratchFolder, session, until } from './store-fixture'
import { runWithStore } from './store-process'

/** How often a disk is filled and drained. GNATMQ_DISK_FULL_ROUNDS=20 takes some minutes. */
const ROUNDS = Number(process.env.GNATMQ_DISK_FULL_ROUNDS ?? 2)

/** An ext4 file system of its own in a file, or why there is none. */
function ext4(megabytes: number): { folder: string; problem: string | undefined } {
  const image = join(scratchFolder(), 'image')
  writeFileSync(image, '')
  truncateSync(image, megabytes * 1024 * 1024)
  const made = spawnSync('mkfs.ext4', ['-q', image], { encoding: 'utf8' })
  if (made.status !== 0) return { folder: '', problem: made.error?.message ?? made.stderr.trim() }
  return mounted(['-o', 'loop', image])
}

const tmpfs = (megabytes: number) => mounted(['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs'])

/** Takes all that is left of a disk, down to the last block. */
function fillUp(folder: string): void {
  const descriptor = openSync(join(folder, 'other'), 'a')
  for (const size of [1 << 20, 1 << 16, 4096]) {
    try {
      for (;;) writeSync(descriptor, Buffer.alloc(size, 1))
    } catch {
      // that much is not left
    }
  }
  closeSync(descriptor)
}

/**
 * Fills the disk with commits that add, goes on for a while with those, and takes everything away again, on a disk that
 * another file keeps full. Complains when something that was kept is not there, and when nothing can be taken away.
 */
const fillingAndDraining = `
  import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
  const [folder, rounds] = JSON.parse(argument)
  const store = lmdbStore(folder + '/store', { durability: 'none' })
  await store.open()
  const entry = (position, payload) => ({
    position, qos: 1, retain: false, subscriptionIdentifiers: [], packetIdentifier: 0, received: false, share: undefined,
    message: { topic: 't/' + position, payload, qos: 1, properties: undefined, expiresAt: undefined },
  })
  const clients = Array.from({ length: 7 }, (_, i) => 'c' + i)
  for (const clientId of clients) {
    const session = { clientId, username: undefined, expiryInterval: 1, disconnectedAt: 0, will: undefined }
    await store.commit([{ type: 'session', session }])
  }
  const fillUp = () => {
    const file = openSync(folder + '/other', 'a')
    for (const size of [65536, 4096]) try { for (;;) writeSync(file, Buffer.alloc(size, 1)) } catch {}
    closeSync(file)
  }
  let position = 0
  for (let round = 0; round < rounds; round++) {
    const kept = new Map(clients.map((clientId) => [clientId, []]))
    const size = [5000, 40_000, 1500, 100][round % 4]
    let refused = 0
    const publish = async (worker) => {
      while (refused < 400) {
        const clientId = clients[(position * 7919) % clients.length]
        const at = ++position
        const payload = Buffer.alloc((size * (1 + (at % 4))) >> 1, at % 251)
        try {
          await store.commit([{ type: 'enqueue', clientId, entry: entry(at, payload) }])
          kept.get(clientId).push(at)
        } catch (error) {
          if (error.code !== 'GNATMQ_STORE_FAILED' || error.reasonCode !== 0x97) throw error
          if (refused++ === 0 && round % 2) fillUp()
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
      }
    }
    await Promise.all(Array.from({ length: 1 + (round % 3) * 40 }, (_, worker) => publish(worker)))
    fillUp()
    const { failedTransactions } = store.statistics()
    for (const [clientId, positions] of kept) {
      positions.sort((a, b) => a - b)
      const found = await store.queue(clientId, 0, 1e6)
      if (found.map((of) => of.position).join() !== positions.join()) throw new Error('lost in round ' + round)
      for (const { position: at, message } of found) {
        if (message.payload[0] !== at % 251 || message.payload.at(-1) !== at % 251) throw new Error('changed: ' + at)
      }
    }
    if (store.verify().length > 0) throw new Error(store.verify().join())
    let count = 0
    for (const [clientId, positions] of kept) {
      for (let from = 0; from < positions.length; from += 20) {
        const changes = positions.slice(from, from + 20).map((at) => ({ type: 'dequeue', clientId, position: at }))
        await Promise.all(changes.map((change) => store.commit([change])))
        count += changes.length
      }
    }
    if (store.statistics().queuedEntries !== 0) throw new Error('not drained')
    rmSync(folder + '/other', { force: true })
    console.log('round ' + JSON.stringify({ round, count, failedTransactions, bytes: store.statistics().fileBytes }))
  }
  await store.close()
  const again = lmdbStore(folder + '/store')
  await again.open()
  if (again.verify().length > 0) throw new Error(again.verify().join())
  await again.close()
  console.log('done')
`

describe.each([
  ['ext4', ext4],
  ['tmpfs', tmpfs],
] as const)('a disk that is full, of the kind %s,', (_, make) => {
  it('refuses what adds, keeps what was kept, and is drained, without an end of the process', async (context) => {
    const { folder, problem } = make(48)
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    const child = await runWithStore(fillingAndDraining, JSON.stringify([folder, ROUNDS]))
    const status = await child.ended
    if (process.env.GNATMQ_DISK_FULL_ROUNDS !== undefined) console.log(child.output)
    expect({ status, errors: child.errors }).toEqual({ status: 0, errors: '' })
    expect(child.output.match(/^round/gm)).toHaveLength(ROUNDS)
  }, 900_000)
})

const big = (position: number) => enqueue('c', entry(position, message('t', Buffer.alloc(30_000, position))))

describe('a store on a full disk', () => {
  /** An open store on a disk without a free block, which refuses what adds. */
  async function full() {
    const { folder, problem } = tmpfs(6)
    if (problem !== undefined) return { problem }
    const other = join(folder, 'other')
    writeFileSync(other, Buffer.alloc(1024 * 1024))
    const store = await openStore(folder, { durability: 'none' })
    await store.commit([session('c')])
    let position = 0
    let failure: unknown
    while (failure === undefined) {
      failure = await Promise.resolve(store.commit([big(position + 1)])).catch((error: unknown) => error)
      if (failure === undefined) position++
    }
    fillUp(folder)
    return { problem: undefined, store, folder, other, position, failure }
  }

  it('says why, with the code and the Reason Code of the table', async (context) => {
    const { problem, failure } = await full()
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    expect(failure).toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      reasonCode: 0x97,
      message: expect.stringMatching(/no room for the \d+ bytes .* The disk has \d+ bytes left/),
      cause: { code: 'ENOSPC' },
    })
  })

  it('is not tried again for each commit, and is as soon as there is room', async (context) => {
    const { problem, store, other, position } = await full()
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    const { failedTransactions } = store.statistics()
    const started = performance.now()
    let refused = 0
    for (; refused < 300; refused++) await expect(store.commit([big(position + 1)])).rejects.toThrow('ENOSPC')
    const seconds = (performance.now() - started) / 1000
    expect(store.statistics().failedTransactions - failedTransactions).toBeLessThan(6 + 2 * seconds)
    rmSync(other)
    await store.commit([big(position + 1)])
    expect(store.verify()).toEqual([])
  })

  it('takes away what is delivered, lets a client come back, and forgets a session', async (context) => {
    const { problem, store, position } = await full()
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    await store.commit([session('c', { disconnectedAt: 5 })])
    await store.commit([{ type: 'assign', clientId: 'c', position: 1, packetIdentifier: 1 }, dequeue('c', 1)])
    await expect(store.commit([session('new')])).rejects.toThrow('ENOSPC')
    await store.commit([{ type: 'end', clientId: 'c' }])
    await until(() => store.statistics().queuedEntries === 0, 'the queue of the ended session is gone')
    expect(position).toBeGreaterThan(10)
    expect(store.verify()).toEqual([])
  })

  it('answers in the order of the calls when some are refused and others are not', async (context) => {
    const { problem, store, position } = await full()
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    const order: string[] = []
    const commit = (name: string, changes: Change[]) =>
      Promise.resolve(store.commit(changes)).then(
        () => order.push(`${name} kept`),
        () => order.push(`${name} refused`),
      )
    await Promise.all([
      commit('1', [dequeue('c', 1)]),
      commit('2', [big(position + 1)]),
      commit('3', [dequeue('c', 2)]),
      commit('4', [big(position + 2), dequeue('c', 3)]),
      commit('5', [big(position + 3)]),
      commit('6', []),
      commit('7', [dequeue('c', 4)]),
    ])
    expect(order).toEqual(['1 kept', '2 refused', '3 kept', '4 refused', '5 refused', '6 kept', '7 kept'])
    expect((await store.queue('c', 0, 3)).map((of) => of.position)).toEqual([3, 5, 6])
  })

  it('does not start by halves: no file is left where there is no room for a new store', async (context) => {
    const { folder, problem } = tmpfs(2)
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    const { bavail, bsize } = statfsSync(folder)
    const other = join(folder, 'other')
    for (const blocks of [3, 5, 8, 20, 60]) {
      writeFileSync(other, Buffer.alloc((bavail - blocks) * bsize))
      await expect(lmdbStore(join(folder, 'store')).open()).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
      rmSync(other)
    }
    const store = await openStore(join(folder, 'store'))
    await store.commit([session('c')])
    expect(readdirSync(join(folder, 'store')).sort()).toEqual(['data.mdb', 'gnatmq.lock', 'lock.mdb'])
    await store.close()
  })

  it('opens what is there on a disk with hardly a block left', async (context) => {
    const { problem, store, folder, other } = await full()
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    await store.close()
    truncateSync(other, 1)
    fillUp(folder)
    // for the lock
    truncateSync(other, Math.floor((statfsSync(folder).bsize * 3) / 2))
    fillUp(folder)
    const again = lmdbStore(folder)
    await again.open().catch((error: unknown) => expect(error).toMatchObject({ code: 'GNATMQ_STORE_FAILED' }))
    await again.close()
  })

  it('fails a backup that finds no room, and goes on', async (context) => {
    const { problem, store, folder } = await full()
    if (problem !== undefined) return context.skip(`a small file system cannot be mounted: ${problem}`)
    await expect(store.backup(join(folder, 'backup'))).rejects.toThrow(/the backup to .* failed/)
    await store.commit([dequeue('c', 1)])
    expect(store.verify()).toEqual([])
  })
})
