import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterEach, describe, expect, it } from 'vitest'
import { redisStore } from '../../../src/cluster/redis'
import type { RedisClient } from '../../../src/cluster/redis/redis-client'
import { RedisEngine } from '../../../src/cluster/redis/redis-engine'
import { eventually, TestNode, text } from '../../../src/testing/engine-bench'
import { enqueue, message, session } from '../../../src/testing/store-bench'
import { freePort, RedisServer, whyNoRedis } from '../../support/redis-server'

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

const clients: Record<string, (path: string) => RedisClient> = {
  ioredis: (path) => new Redis({ path, lazyConnect: true }),
  'node-redis': (path) => createClient({ socket: { path, tls: false } }),
}

const names = Object.keys(clients)

/** A node that remembers when the engine was away. */
class WatchingNode extends TestNode {
  readonly states: string[] = []

  override unavailable(): void {
    this.states.push('unavailable')
  }

  override available(): void {
    this.states.push('available')
  }
}

describe.skipIf(whyNoRedis !== undefined)('an engine on a Redis that goes and comes back', () => {
  const ends: (() => unknown)[] = []

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  async function start(...settings: string[]): Promise<RedisServer> {
    const server = await RedisServer.start(...settings)
    ends.push(() => server.stop())
    return server
  }

  async function join(server: RedisServer, name: string, nodeId: string, leaseMs = 60_000): Promise<WatchingNode> {
    const engine = new RedisEngine({ client: clients[name]!(server.path), namespace: 'lamps' })
    const node = new WatchingNode()
    node.member = await engine.join({ nodeId, description: '', format: 1, leaseMs }, node)
    ends.push(() => node.member.close())
    return node
  }

  it.each(names)(
    'does each call once and in its order (%s)',
    async (name) => {
      const server = await start(...DURABLE)
      const a = await join(server, name, 'a')
      const b = await join(server, name, 'b')
      const sent: string[] = []
      const epochs: number[] = []
      const seen: string[] = []
      for (let round = 0; round < 5; round++) {
        const calls: Promise<unknown>[] = []
        for (let n = 0; n < 200; n++) {
          const content = `${round} ${n}`
          sent.push(content)
          const frames = [{ node: b.epoch, bytes: Buffer.from(content) }]
          calls.push(a.keep({ frames, changes: [{ type: 'retain', message: message(content) }] }))
          calls.push(a.claim(`client ${n}`).then(({ epoch }) => epochs.push(epoch)))
          if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
          if (n === 100) await server.kill()
        }
        await server.begin()
        await Promise.all(calls)
        const frames = await b.nextFrames(200)
        seen.push(...frames.map(({ bytes }) => text(bytes)))
        await b.keep({ taken: frames.map(({ position }) => position) })
      }
      expect(seen).toEqual(sent)
      expect(new Set(epochs).size).toBe(1000)
      const topics: string[] = []
      for await (const page of (await b.member.retained()).rows) topics.push(...page.map(({ topic }) => topic))
      expect(topics.sort()).toEqual([...sent].sort())
      expect(a.states.join()).toMatch(/^unavailable,available(,unavailable,available){4}$/)
    },
    60_000,
  )

  it.each(names)(
    'hears what is sent once it is back (%s)',
    async (name) => {
      const server = await start(...DURABLE)
      const a = await join(server, name, 'a')
      const b = await join(server, name, 'b')
      const waiting = b.next()
      await server.kill()
      await server.begin()
      await eventually('frames arrive again', () => {
        a.member.send(b.epoch, Buffer.from('hello'))
        return b.frames.length > 0
      })
      await a.bind('x')
      expect((await waiting).routes).toHaveLength(1)
    },
    30_000,
  )

  it.each(names)(
    'lets nobody write whose lease has passed meanwhile (%s)',
    async (name) => {
      const server = await start(...DURABLE)
      const a = await join(server, name, 'a', 150)
      const { epoch } = await a.hold('c')
      await server.kill()
      const late = a.transact({ changes: [session('c')], epochs: new Map([['c', epoch]]) })
      const end = performance.now() + 200
      while (performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
      await server.begin()
      expect(await late).toEqual({ type: 'lapsed' })
      expect((await a.member.renew()).isHeld).toBe(false)
      const b = await join(server, name, 'b')
      expect((await b.claim('c')).state).toBeUndefined()
    },
    30_000,
  )

  it.each(names)('rejects what waits when it is closed (%s)', async (name) => {
    const server = await start()
    const a = await join(server, name, 'a')
    const reading = a.next()
    reading.catch(() => undefined)
    await server.kill()
    const call = a.transact({ changes: [{ type: 'clear', topic: 't' }] })
    call.catch(() => undefined)
    await eventually('it is told', () => a.states.length > 0)
    await a.member.close()
    const all = await Promise.allSettled([call, reading, a.member.claim('c'), a.member.renew()])
    for (const one of all) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'GNATMQ_NOT_RUNNING' } })
  })

  /** Options that suit an application's own commands, and no node. */
  const strange: Record<string, (path: string) => RedisClient> = {
    ioredis: (path) =>
      new Redis({
        path,
        lazyConnect: true,
        keyPrefix: 'mine:',
        commandTimeout: 1,
        socketTimeout: 30,
        autoResubscribe: false,
        enableOfflineQueue: false,
        enableAutoPipelining: true,
        maxRetriesPerRequest: 1,
        stringNumbers: true,
        retryStrategy: null,
        protocol: 3,
        replyMapping: 'resp3',
      }),
    'node-redis': (path) =>
      createClient({
        socket: { path, tls: false, reconnectStrategy: false, socketTimeout: 30 },
        RESP: 3,
        keyPrefix: 'mine:',
        disableOfflineQueue: true,
        commandsQueueMaxLength: 1,
        commandOptions: { typeMapping: { 36: Buffer }, timeout: 1 },
      }),
  }

  it.each(names)(
    'has connections of its own, whatever the options of the client are (%s)',
    async (name) => {
      const server = await start(...DURABLE)
      const [a, b] = [new WatchingNode(), new WatchingNode()]
      for (const [node, nodeId] of [
        [a, 'a'],
        [b, 'b'],
      ] as const) {
        const engine = new RedisEngine({ client: strange[name]!(server.path), namespace: 'lamps' })
        node.member = await engine.join({ nodeId, description: '', format: 1, leaseMs: 60_000 }, node)
        ends.push(() => node.member.close())
      }
      for (let round = 0; round < 2; round++) {
        const waiting = b.nextFrames(100)
        // longer than its time-outs would be
        const end = performance.now() + 100
        while (performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
        const frames = Array.from({ length: 100 }, (_, n) => ({ node: b.epoch, bytes: Buffer.from(`${round} ${n}`) }))
        await Promise.all(frames.map((frame) => a.keep({ frames: [frame] })))
        expect((await waiting).map(({ bytes }) => text(bytes))).toEqual(frames.map(({ bytes }) => bytes.toString()))
        const heard = b.frames.length
        await eventually('frames arrive', () => {
          a.member.send(b.epoch, Buffer.from('hello'))
          return b.frames.length > heard
        })
        expect(a.states).toHaveLength(round * 2)
        await server.kill()
        await server.begin()
        await a.member.renew()
      }
      const looker = new Redis({ path: server.path })
      ends.push(() => looker.disconnect())
      expect(await looker.keys('mine:*')).toEqual([])
    },
    30_000,
  )

  it('waits for replicas where it is told to', async () => {
    const port = await freePort()
    const server = await start('--port', String(port))
    const replica = await start('--replicaof', '127.0.0.1', String(port))
    const store = redisStore({ client: clients['ioredis']!(server.path), namespace: 'lamps', waitReplicas: 1 })
    ends.push(() => store.close())
    await store.open()
    await store.commit([session('a')])
    replica.freeze()
    let isAnswered = false
    const commit = Promise.resolve(store.commit([enqueue('a', 1)])).then(() => {
      isAnswered = true
    })
    const reader = new Redis({ path: server.path })
    ends.push(() => reader.disconnect())
    await eventually('the primary has it', async () => (await reader.exists('{lamps}:q:a')) === 1)
    expect(isAnswered).toBe(false)
    replica.thaw()
    await commit
    const copy = new Redis({ path: replica.path, readOnly: true })
    ends.push(() => copy.disconnect())
    expect(await copy.exists('{lamps}:q:a')).toBe(1)
  }, 30_000)
})
