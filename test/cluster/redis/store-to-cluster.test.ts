import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redisStore } from '../../../src/cluster/redis'
import { RedisEngine } from '../../../src/cluster/redis/redis-engine'
import { TestNode } from '../../../src/testing/engine-bench'
import { enqueue, message, session, subscription } from '../../../src/testing/store-bench'
import { RedisServer, whyNoRedis } from '../../support/redis-server'

const LARGEST = 16 * 1024 * 1024

describe.skipIf(whyNoRedis !== undefined)('one namespace', () => {
  let server: RedisServer
  let client: Redis

  beforeAll(async () => {
    server = await RedisServer.start()
    client = new Redis({ path: server.path })
  })

  afterAll(async () => {
    client.disconnect()
    await server.stop()
  })

  async function join(namespace: string, nodeId: string): Promise<TestNode> {
    const node = new TestNode()
    const joining = { nodeId, description: '', format: 1, leaseMs: 60_000 }
    node.member = await new RedisEngine({ client, namespace }).join(joining, node)
    return node
  }

  it('passes from a store to a cluster, which buries it as a node', async () => {
    const store = redisStore({ client, namespace: 'grown' })
    await store.open()
    await store.commit([session('a'), session('b'), enqueue('a', 1), { type: 'retain', message: message('t') }])
    await store.commit([{ type: 'subscribe', clientId: 'b', subscription: subscription('x/#') }])
    await expect(join('grown', 'one')).rejects.toThrow(/^the namespace is in use by the store of /)
    await store.close()
    const node = await join('grown', 'one')
    const { nodes } = await node.member.renew()
    const former = nodes.find(({ isAlive }) => !isAlive)!
    expect([nodes.length, former.nodeId]).toEqual([2, 'store'])
    expect(await node.member.bury(former.epoch)).toBe(true)
    expect([...(await node.member.sessionsOf(former.epoch, 9))].sort()).toEqual(['a', 'b'])
    for (const clientId of ['a', 'b']) {
      const claim = await node.member.inherit(clientId, former.epoch)
      const subscriptions = claim!.state!.subscriptions.map(({ filter }) => filter)
      expect([claim!.heldBy, claim!.state!.queuedMessages, subscriptions]).toEqual(
        clientId === 'a' ? [undefined, 1, []] : [undefined, 0, ['x/#']],
      )
      const epochs = new Map([[clientId, claim!.epoch]])
      await node.keep({ changes: [enqueue(clientId, 5)], epochs, adopted: [{ clientId, from: former.epoch }] })
    }
    expect(await node.member.endBurial(former.epoch)).toBe(true)
    expect((await node.member.queue('a', 0, 9)).map(({ position }) => position)).toEqual([1, 5])
    const retained: string[] = []
    for await (const page of (await node.member.retained()).rows) retained.push(...page.map(({ topic }) => topic))
    expect(retained).toEqual(['t'])
    await expect(redisStore({ client, namespace: 'grown' }).open()).rejects.toThrow(
      /^the namespace belongs to a cluster/,
    )
    await node.member.close()
  })

  it('carries messages of the largest size, and reads a few at a time', async () => {
    const a = await join('large', 'a')
    const b = await join('large', 'b')
    const { epoch } = await b.hold('c')
    for (let n = 0; n < 3; n++) {
      const payload = Buffer.alloc(LARGEST, n)
      await a.keep({ frames: [{ node: b.epoch, bytes: payload }], routedAt: 0 })
      await a.keep({ changes: [{ type: 'retain', message: message(`topic ${n}`, { payload }) }] })
    }
    const sizes: number[] = []
    while (sizes.reduce((sum, size) => sum + size, 0) < 3) {
      const { frames } = await b.next(LARGEST)
      if (frames.length > 0) sizes.push(frames.length)
      for (const { bytes, position } of frames) {
        expect(bytes.length).toBe(LARGEST)
        const entry = enqueue('c', 1 + bytes[0]!, { message: message('t', { payload: bytes }) })
        await b.keep({ changes: [session('c'), entry], epochs: new Map([['c', epoch]]), taken: [position] })
      }
    }
    expect(sizes).toEqual([1, 1, 1])
    const queue = await b.member.queue('c', 0, 2)
    expect(queue.map(({ message: one }) => one.payload.length)).toEqual([LARGEST, LARGEST])
    const topics: string[] = []
    for await (const page of (await b.member.retained()).rows) topics.push(...page.map(({ topic }) => topic))
    expect(topics.sort()).toEqual(Array.from({ length: 3 }, (_, n) => `topic ${n}`))
    await a.member.close()
    await b.member.close()
  }, 60_000)

  it('lets ten thousand clients move to another node at once', async () => {
    const a = await join('moving', 'a')
    const b = await join('moving', 'b')
    const clientIds = Array.from({ length: 10_000 }, (_, n) => `client ${n}`)
    const held = await Promise.all(clientIds.map((clientId) => a.hold(clientId)))
    const epochs = new Map(clientIds.map((clientId, n) => [clientId, held[n]!.epoch]))
    await a.keep({ changes: clientIds.map((clientId) => session(clientId)), epochs })
    const claims = await Promise.all(clientIds.map((clientId) => b.claim(clientId)))
    expect(new Set(claims.map(({ heldBy }) => heldBy))).toEqual(new Set([a.epoch]))
    const changes = [{ key: 'x', value: Buffer.from('1') }]
    const place = await a.member.pass(
      clientIds.map((clientId) => ({
        clientId,
        epoch: epochs.get(clientId)!,
        changes: changes.map((one) => ({ ...one, key: clientId })),
      })),
    )
    expect(place === 'lapsed' ? place : place.targets.size).toBe(10_000)
    await a.keep({ epochs, released: clientIds })
    const taken = await Promise.all(clientIds.map((clientId, n) => b.member.take(clientId, claims[n]!.epoch)))
    expect(taken.filter((claim) => claim?.heldBy === undefined && claim?.state !== undefined)).toHaveLength(10_000)
    expect(Object.keys(await b.tables())).toHaveLength(10_000)
    expect(await client.scard(`{moving}:own:${b.epoch}`)).toBe(10_000)
    await a.member.close()
    await b.member.close()
  }, 60_000)
})
