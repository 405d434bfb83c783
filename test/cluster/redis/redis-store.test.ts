import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redisStore } from '../../../src/cluster/redis'
import type { RedisClient } from '../../../src/cluster/redis/redis-client'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { Change, Store } from '../../../src/ports/store'
import { storeSuite } from '../../../src/testing/index'
import {
  enqueue,
  message,
  plainEntry,
  plainMessage,
  plainSession,
  plainSubscription,
  session,
  subscription,
} from '../../../src/testing/store-bench'
import { Random } from '../../model/random'
import { RedisServer, whyNoRedis } from '../../support/redis-server'

describe.skipIf(whyNoRedis !== undefined)('a store on a real redis-server', () => {
  let server: RedisServer
  let admin: Redis
  let places = 0

  beforeAll(async () => {
    server = await RedisServer.start()
    admin = new Redis({ path: server.path })
  })

  afterAll(async () => {
    admin.disconnect()
    await server.stop()
  })

  /** No memory for the next commit. */
  async function failNextCommit(store: Store): Promise<void> {
    await admin.config('SET', 'maxmemory', '1')
    const commit = store.commit.bind(store)
    store.commit = async (changes) => {
      store.commit = commit
      try {
        await commit(changes)
      } finally {
        await admin.config('SET', 'maxmemory', '0')
      }
    }
  }

  const clients: [string, () => RedisClient][] = [
    ['ioredis', () => new Redis({ path: server.path, lazyConnect: true })],
    ['node-redis', () => createClient({ socket: { path: server.path, tls: false } })],
  ]

  for (const [name, makeClient] of clients)
    storeSuite(
      `RedisStore by ${name}`,
      () => {
        const namespace = `suite-${++places}`
        return { store: () => redisStore({ client: makeClient(), namespace }) }
      },
      { describe, it, failNextCommit },
    )

  it('leaves no key behind once all has gone', async () => {
    const store = redisStore({ client: clients[0]![1](), namespace: 'churn' })
    await store.open()
    const churn = async (round: number) => {
      const large = { message: message('x', { payload: Buffer.alloc(10_000) }) }
      for (let n = 0; n < 20; n++) {
        const clientId = `client ${round} ${n}`
        await store.commit([session(clientId), { type: 'subscribe', clientId, subscription: subscription('x') }])
      }
      for (let position = 1; position <= 60; position++)
        await store.commit(
          Array.from({ length: 20 }, (_, n) => ({ ...enqueue(`client ${round} ${n}`, position, large) }) as Change),
        )
      await store.commit([{ type: 'retain', message: message('x') }])
      await store.commit([{ type: 'clear', topic: 'x' }])
      const clientId = `client ${round} 0`
      await store.commit(Array.from({ length: 2000 }, (_, n) => enqueue(clientId, 100 + n)))
      for (let n = 0; n < 20; n++) await store.commit([{ type: 'end', clientId: `client ${round} ${n}` }])
      await expect.poll(() => admin.keys('{churn}:x*')).toEqual([])
      return (await admin.keys('{churn}:*')).sort()
    }
    const before = await churn(0)
    const memory = await usedMemory()
    for (let round = 1; round < 4; round++) expect(await churn(round)).toEqual(before)
    expect(await usedMemory()).toBe(memory)
    await store.close()
    expect((await admin.keys('{churn}:*')).sort()).toEqual(['{churn}:e'])
  })

  /** Bytes of all keys of a namespace. */
  async function usedMemory(): Promise<number> {
    let bytes = 0
    for (const key of await admin.keys('{churn}:*')) bytes += (await admin.memory('USAGE', key)) ?? 0
    return bytes
  }

  it.each([1, 2, 3])('keeps what a store in memory keeps, whatever it refuses (seed %i)', async (seed) => {
    const namespace = `random-${seed}`
    const make = () => redisStore({ client: clients[seed % 2]![1](), namespace })
    let store = make()
    await store.open()
    const memory = new MemoryStore()
    const choices = new Random(seed)
    const below = (end: number): number => choices.below(end)
    let position = 0
    for (let step = 0; step < 150; step++) {
      const commits = Array.from({ length: 1 + below(4) }, () =>
        Array.from({ length: 1 + below(6) }, () => randomChange(below, () => ++position)),
      )
      const isRefused = below(8) === 0
      if (isRefused) await admin.config('SET', 'maxmemory', '1')
      const answers = await Promise.allSettled(commits.map(async (changes) => store.commit(changes)))
      if (isRefused) await admin.config('SET', 'maxmemory', '0')
      for (const [n, { status }] of answers.entries()) if (status === 'fulfilled') memory.commit(commits[n]!)
      expect(new Set(answers.map(({ status }) => status)).size).toBe(1)
      if (step % 10 === 9) {
        expect(await contentOf(store)).toEqual(await contentOf(memory))
        if (step % 50 === 49) {
          await store.close()
          store = make()
          await store.open()
        }
      }
    }
    await store.close()
  })
})

/** Everything that a store has, but what positions came and went. */
async function contentOf(store: Store): Promise<unknown> {
  const sessions: unknown[] = []
  for await (const { session: head, subscriptions, queuedMessages, queuedBytes } of store.sessions()) {
    const { clientId } = head
    sessions.push([
      clientId,
      plainSession(head),
      subscriptions.map(plainSubscription).sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
      (await store.queue(clientId, 0, 10_000)).map(plainEntry).sort(byPosition),
      [...(await store.held(clientId))].sort((a, b) => a - b),
      queuedMessages,
      queuedBytes,
    ])
  }
  const retained: unknown[] = []
  for await (const one of store.retained()) retained.push(plainMessage(one))
  const sort = (rows: unknown[]) => rows.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
  return [sort(sessions), sort(retained)]
}

function byPosition(a: object, b: object): number {
  return (a as { position: number }).position - (b as { position: number }).position
}

function randomChange(below: (end: number) => number, nextPosition: () => number): Change {
  const clientId = `client ${below(4)}`
  const packetIdentifier = 1 + below(5)
  const position = Math.max(1, nextPosition() - below(12))
  const content = Buffer.alloc([3, 300, 3000, 20_000][below(4)]!, below(256))
  switch (below(12)) {
    case 0:
    case 1:
      return session(clientId, { disconnectedAt: position })
    case 2:
      return below(4) === 0 ? { type: 'end', clientId } : session(clientId)
    case 3:
      return { type: 'subscribe', clientId, subscription: subscription(`filter ${below(3)}`, { qos: 1 }) }
    case 4:
      return { type: 'unsubscribe', clientId, filter: `filter ${below(3)}` }
    case 5:
    case 6:
      return enqueue(clientId, position, { message: message('t', { payload: content }), packetIdentifier: below(3) })
    case 7:
      return { type: 'assign', clientId, position, packetIdentifier }
    case 8:
      return below(2) === 0 ? { type: 'received', clientId, position } : { type: 'dequeue', clientId, position }
    case 9:
      return { type: 'hold', clientId, packetIdentifier }
    case 10:
      return { type: 'release', clientId, packetIdentifier }
    default:
      if (below(3) === 0) return { type: 'clear', topic: `topic ${below(3)}` }
      return { type: 'retain', message: message(`topic ${below(3)}`, { payload: content }) }
  }
}
