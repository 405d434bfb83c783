import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { RedisConnection } from '../../../src/cluster/redis/connection'
import { connectLike } from '../../../src/cluster/redis/redis-client'
import { RedisLink } from '../../../src/cluster/redis/redis-link'
import { numberOf } from '../../../src/cluster/redis/reply'
import { type Call, WriteLine } from '../../../src/cluster/redis/write-line'
import { Random } from '../../model/random'
import { RedisServer, whyNoRedis } from '../../support/redis-server'

/** A connection that is lost at times: before a command has gone, or before its answer has come. */
class LossyConnection implements RedisConnection {
  private readonly inner: RedisConnection
  private readonly choices: Random

  constructor(inner: RedisConnection, choices: Random) {
    this.inner = inner
    this.choices = choices
  }

  open = () => this.inner.open()
  subscribe = () => Promise.resolve()
  close = () => this.inner.close()

  async call(args: Parameters<RedisConnection['call']>[0]) {
    if (this.choices.chance(0.2)) throw new Error('the connection was closed')
    const reply = await this.inner.call(args)
    if (this.choices.chance(0.2)) throw new Error('the connection was closed')
    return reply
  }
}

describe.skipIf(whyNoRedis !== undefined)('the line of calls', () => {
  let server: RedisServer
  let admin: Redis
  const links: RedisLink[] = []

  beforeAll(async () => {
    server = await RedisServer.start()
    admin = new Redis({ path: server.path })
  })

  afterEach(async () => {
    for (const link of links.splice(0)) link.close()
    await admin.flushall()
  })

  afterAll(async () => {
    admin.disconnect()
    await server.stop()
  })

  async function line(seed?: number): Promise<WriteLine> {
    const connect = connectLike(new Redis({ path: server.path, lazyConnect: true }))
    const choices = new Random(seed ?? 0)
    const link = new RedisLink(
      (events) => (seed === undefined ? connect(events) : new LossyConnection(connect(events), choices)),
      { unavailable: () => undefined, available: () => undefined },
    )
    links.push(link)
    await link.open()
    await admin.hset('{t}:n:1', 'token', '7', 'last', '0')
    return new WriteLine(link, { prefix: '{t}:', epoch: 1, token: '7', replicas: 0 })
  }

  const claim = (clientId: string): Call => ({ name: 'claim', args: [clientId], bytes: 10, isRemoval: false })

  it.each([1, 2, 3, 4])(
    'does each call once, whatever is lost, and gives its answer (seed %i)',
    async (seed) => {
      const writes = await line(seed)
      const epochs: number[] = []
      const calls: Promise<unknown>[] = []
      for (let n = 0; n < 100; n++) {
        calls.push(
          writes.submit(claim(`client ${n}`)).then((reply) => {
            epochs.push(numberOf((reply as unknown as readonly Buffer[])[0]))
          }),
        )
        if (n % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await Promise.all(calls)
      expect(epochs).toEqual(Array.from({ length: 100 }, (_, n) => n + 1))
      expect(await admin.get('{t}:e')).toBe('100')
    },
    30_000,
  )

  it('sends the calls of a turn together, and those of a round trip', async () => {
    const writes = await line()
    await admin.config('RESETSTAT')
    await Promise.all(Array.from({ length: 300 }, (_, n) => writes.submit(claim(`client ${n}`))))
    const stats = await admin.info('commandstats')
    const scripts = [...stats.matchAll(/cmdstat_(?:evalsha|eval):calls=(\d+)/g)]
    expect(scripts.reduce((sum, [, count]) => sum + Number(count), 0)).toBeLessThanOrEqual(2)
  })

  it('goes on where the server has forgotten its scripts', async () => {
    const writes = await line()
    await writes.submit(claim('a'))
    await admin.script('FLUSH')
    await writes.submit(claim('b'))
    expect(await admin.get('{t}:e')).toBe('2')
  })

  it('says that a node has lapsed, to each call', async () => {
    const writes = await line()
    await admin.del('{t}:n:1')
    expect(await Promise.all([writes.submit(claim('a')), writes.submit(claim('b'))])).toEqual(['lapsed', 'lapsed'])
    expect(await admin.exists('{t}:e')).toBe(0)
  })

  it('refuses the call that meets a key of something else, and does the others', async () => {
    const writes = await line()
    await admin.set('{t}:s:b', 'mine')
    const calls = ['a', 'b', 'c'].map((clientId) => writes.submit(claim(clientId)))
    const answers = await Promise.allSettled(calls)
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await calls[1]!.catch((error) => error.code)).toBe('GNATMQ_STORE_FAILED')
  })
})
