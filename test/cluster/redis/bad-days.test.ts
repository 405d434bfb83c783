import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterEach, describe, expect, it } from 'vitest'
import { redisStore } from '../../../src/cluster/redis'
import type { RedisClient } from '../../../src/cluster/redis/redis-client'
import { MqttBroker } from '../../../src/index'
import type { Store } from '../../../src/ports/store'
import { enqueue, message, session } from '../../../src/testing/store-bench'
import { freePort, RedisServer, whyNoRedis } from '../../support/redis-server'

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

interface Address {
  readonly path: string
  readonly password?: string
}

/** A client of either kind. What it says about its own connection is of no matter here. */
const clients: Record<string, (address: Address) => RedisClient> = {
  ioredis: (address) => new Redis({ ...address, lazyConnect: true }),
  'node-redis': ({ path, password }) =>
    createClient({ socket: { path, tls: false }, ...(password === undefined ? {} : { password }) }),
}

const names = Object.keys(clients)

describe.skipIf(whyNoRedis !== undefined)('a store on a Redis that has a bad day', () => {
  const ends: (() => unknown)[] = []

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  async function start(...settings: string[]): Promise<RedisServer> {
    const server = await RedisServer.start(...settings)
    ends.push(() => server.stop())
    return server
  }

  function adminOf(server: RedisServer): Redis {
    const admin = new Redis({ path: server.path })
    ends.push(() => admin.disconnect())
    return admin
  }

  function storeOf(server: RedisServer, name = 'ioredis', logger?: Parameters<typeof redisStore>[0]['logger']) {
    const store = redisStore({ client: clients[name]!({ path: server.path }), namespace: 'lamps', logger })
    ends.push(() => store.close())
    return store
  }

  const kept = async (store: Store): Promise<number[]> =>
    (await store.queue('a', 0, 100_000)).map(({ position }) => position)

  it.each(names)('fails to start where there is none, with one error (%s)', async (name) => {
    const store = redisStore({ client: clients[name]!({ path: '/nowhere/redis' }), namespace: 'lamps' })
    await expect(store.open()).rejects.toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      message: expect.stringMatching(/^Redis cannot be reached: .*ENOENT.*\. Start it, or correct the address/),
    })
    await expect(MqttBroker.start({ port: 0, store })).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
  })

  it.each(names)('fails to start with a wrong password, or with none (%s)', async (name) => {
    const server = await start('--requirepass', 'right')
    for (const password of ['wrong', undefined]) {
      const address = password === undefined ? { path: server.path } : { path: server.path, password }
      const store = redisStore({ client: clients[name]!(address), namespace: 'lamps' })
      await expect(store.open()).rejects.toMatchObject({
        code: 'GNATMQ_STORE_FAILED',
        message: expect.stringMatching(/^Redis refused: .*(WRONGPASS|NOAUTH).*password/),
      })
    }
    const right = redisStore({ client: clients[name]!({ path: server.path, password: 'right' }), namespace: 'lamps' })
    await right.open()
    await right.close()
  })

  it('fails to start on a replica, and refuses commits once it has become one', async () => {
    const port = await freePort()
    await start('--port', String(port))
    const replica = await start('--replicaof', '127.0.0.1', String(port))
    await expect(storeOf(replica).open()).rejects.toThrow(/^Redis is a replica/)
    const server = await start()
    const store = storeOf(server)
    await store.open()
    await store.commit([session('a')])
    await adminOf(server).replicaof('127.0.0.1', port)
    await expect(store.commit([enqueue('a', 1)])).rejects.toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      message: expect.stringMatching(/READONLY.*It is a replica: connect to the primary$/),
    })
  })

  it('fails to start on a namespace with a key of something else, and leaves that alone', async () => {
    const server = await start()
    const admin = adminOf(server)
    await admin.set('{lamps}:ret', 'mine')
    await expect(storeOf(server).open()).rejects.toThrow(/^the key \{lamps\}:ret is a string that something else/)
    expect(await admin.keys('*')).toEqual(['{lamps}:ret'])
  })

  it.each(['s', 'q'])('refuses a commit as a whole that meets a key of something else (%s:)', async (kind) => {
    const server = await start()
    const admin = adminOf(server)
    const store = storeOf(server)
    await store.open()
    await store.commit([session('b')])
    await admin.set(`{lamps}:${kind}:a`, 'mine')
    const changes = [{ type: 'retain', message: message('t') } as const, enqueue('b', 1), session('a'), enqueue('a', 1)]
    await expect(store.commit(changes)).rejects.toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      message: expect.stringMatching(/WRONGTYPE.*choose another one$/),
    })
    expect(await store.queue('b', 0, 10)).toEqual([])
    expect(await admin.exists('{lamps}:ret')).toBe(0)
    await admin.del(`{lamps}:${kind}:a`)
    await store.commit(changes)
    expect([await kept(store), (await store.queue('b', 0, 10)).length]).toEqual([[1], 1])
  })

  it('refuses what adds while there is no memory, and goes on with what takes away', async () => {
    const server = await start()
    const admin = adminOf(server)
    const store = storeOf(server)
    await store.open()
    const large = { message: message('x', { payload: Buffer.alloc(5000) }) }
    await store.commit([session('a'), session('b'), enqueue('a', 1, large), enqueue('b', 1, large), enqueue('a', 2)])
    await store.commit([{ type: 'hold', clientId: 'a', packetIdentifier: 7 }])
    await admin.config('SET', 'maxmemory', '1')
    await expect(store.commit([enqueue('a', 3)])).rejects.toThrow(/OOM.*no memory left: raise maxmemory/)
    await store.commit([{ type: 'dequeue', clientId: 'a', position: 1 }])
    await store.commit([{ type: 'release', clientId: 'a', packetIdentifier: 7 }])
    await store.commit([{ type: 'end', clientId: 'b' }])
    await admin.config('SET', 'maxmemory', '0')
    await store.commit([enqueue('a', 4)])
    expect([await kept(store), await store.held('a')]).toEqual([[2, 4], []])
    const states = []
    for await (const { session: head, queuedMessages, queuedBytes } of store.sessions())
      states.push([head.clientId, queuedMessages, queuedBytes])
    expect(states).toEqual([['a', 2, 'topic/2'.length + 'topic/4'.length]])
    expect(await admin.keys('{lamps}:m:*')).toEqual([])
  })

  it.each(names)(
    'waits while it is away, and loses and doubles nothing (%s)',
    async (name) => {
      const server = await start(...DURABLE)
      const lines: string[] = []
      const log = (_fields: object, text: string) => void lines.push(text)
      const store = storeOf(server, name, { info: log, warn: log, error: log })
      await store.open()
      await store.commit([session('a')])
      const settled: number[] = []
      let position = 0
      for (let round = 0; round < 5; round++) {
        const commits: Promise<void>[] = []
        for (let n = 0; n < 400; n++) {
          const one = ++position
          const changes = [enqueue('a', one), { type: 'hold', clientId: 'a', packetIdentifier: one } as const]
          const committed = Promise.resolve(store.commit(changes)).then(() => void settled.push(one))
          commits.push(committed)
          if (n % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
          if (n === 200) await server.kill()
        }
        await server.begin()
        await Promise.all(commits)
      }
      const all = Array.from({ length: position }, (_, n) => n + 1)
      expect(settled).toEqual(all)
      expect(await kept(store)).toEqual(all)
      expect([...(await store.held('a'))].sort((a, b) => a - b)).toEqual(all)
      expect(lines).toContain('Redis cannot be reached: commits wait')
      expect(lines).toContain('Redis can be reached')
    },
    60_000,
  )

  it('has lost nothing that it has answered for when it is killed', async () => {
    const server = await start(...DURABLE)
    for (let round = 0; round < 10; round++) {
      const store = storeOf(server, names[round % 2])
      await store.open()
      const first = round * 1000
      let answered = first
      await store.commit([session('a')])
      const commits = []
      for (let n = 1; n <= 300; n++) {
        const one = first + n
        const committed = Promise.resolve(store.commit([enqueue('a', one)])).then(() => {
          answered = one
        })
        commits.push(committed.catch(() => undefined))
        if (n % (round + 3) === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await server.kill()
      await store.close().catch(() => undefined)
      await Promise.all(commits)
      await server.begin()
      await adminOf(server).del('{lamps}:lock')
      const again = storeOf(server, names[round % 2])
      await again.open()
      const found = (await kept(again)).filter((position) => position > first)
      // in their order, without a gap, and all that were answered for
      expect(found).toEqual(Array.from({ length: found.length }, (_, n) => first + n + 1))
      expect(found.length).toBeGreaterThanOrEqual(answered - first)
      await again.close()
    }
  }, 60_000)

  it('waits while it is slow', async () => {
    const server = await start()
    const store = storeOf(server)
    await store.open()
    await store.commit([session('a')])
    server.freeze()
    let isAnswered = false
    const commit = Promise.resolve(store.commit([enqueue('a', 1)])).then(() => {
      isAnswered = true
    })
    const reading = store.held('a')
    await new Promise((resolve) => setImmediate(resolve))
    expect(isAnswered).toBe(false)
    server.thaw()
    await commit
    expect([await kept(store), await reading]).toEqual([[1], []])
  })

  it.each(names)('lets a broker stop while it is away (%s)', async (name) => {
    const server = await start()
    const store = storeOf(server, name)
    const broker = await MqttBroker.start({ port: 0, store, stopTimeout: 300 })
    await server.kill()
    const publication = broker.publish({ topic: 't', payload: 'p', retain: true })
    publication.catch(() => undefined)
    await broker.stop()
    await expect(publication).rejects.toMatchObject({ code: expect.stringMatching(/^GNATMQ_/) })
  })

  it('lets one broker in at a time, and fences the one before', async () => {
    const server = await start()
    const admin = adminOf(server)
    const first = storeOf(server)
    await first.open()
    await first.commit([session('a')])
    await expect(storeOf(server).open()).rejects.toThrow(
      /^the namespace is in use by .*, process \d+: stop that broker/,
    )
    // as if the first had been cut off for longer than its lock lasts
    await admin.del('{lamps}:lock')
    const second = storeOf(server)
    await second.open()
    await expect(first.commit([enqueue('a', 1)])).rejects.toThrow(/^another broker has taken the namespace/)
    await second.commit([enqueue('a', 2)])
    expect(await kept(second)).toEqual([2])
    await first.close()
    await expect(storeOf(server).open()).rejects.toThrow(/^the namespace is in use/)
  }, 30_000)

  it('waits for the end of a lock that nobody renews', async () => {
    const server = await start()
    await adminOf(server).set('{lamps}:lock', 'a process that has died', 'PX', 300)
    const store = storeOf(server)
    await store.open()
    await store.commit([session('a')])
  })

  it('refuses commits once its data have gone', async () => {
    const server = await start()
    const store = storeOf(server)
    await store.open()
    await store.commit([session('a')])
    await adminOf(server).flushall()
    await expect(store.commit([enqueue('a', 1)])).rejects.toThrow(/or it was emptied: start this one again/)
  })

  it('says at the start what its settings lose', async () => {
    const lines: [object, string][] = []
    const log = (fields: object, text: string) => void lines.push([fields, text])
    const weak = await start('--maxmemory-policy', 'allkeys-lru')
    await storeOf(weak, 'ioredis', { info: log, warn: log, error: log }).open()
    expect(lines.map(([fields]) => fields)).toEqual([
      { setting: 'appendonly', value: 'no', wanted: 'yes' },
      { setting: 'appendfsync', value: 'everysec', wanted: 'always' },
      { setting: 'maxmemory-policy', value: 'allkeys-lru', wanted: 'noeviction' },
    ])
    lines.length = 0
    const strong = await start(...DURABLE)
    await storeOf(strong, 'node-redis', { info: log, warn: log, error: log }).open()
    expect(lines).toEqual([])
    await adminOf(strong).call('ACL', 'SETUSER', 'default', '-config', '-role')
    await storeOf(strong, 'ioredis', { info: log, warn: log, error: log })
      .open()
      .catch(() => undefined)
    expect(lines.map(([, text]) => text)).toContain(
      'Redis does not tell its settings: see that it keeps what it has acknowledged',
    )
  }, 30_000)

  it.each(['', ' ', 'a b', 'a{b}', '{a}', 'a*', 'ä', 'a\n', 'x'.repeat(65), 5, undefined])(
    'takes no namespace %j',
    (namespace) => {
      const client = clients['ioredis']!({ path: '/nowhere' })
      expect(() => redisStore({ client, namespace: namespace as string })).toThrow(
        expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }),
      )
    },
  )

  it.each([
    undefined,
    null,
    {},
    'redis://localhost',
    { duplicate: () => ({}) },
    new Redis.Cluster([], { lazyConnect: true }),
  ])('takes no client %#', (client) => {
    expect(() => redisStore({ client: client as RedisClient, namespace: 'lamps' })).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }),
    )
  })
})
