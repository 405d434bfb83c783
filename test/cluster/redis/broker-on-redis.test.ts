import { Redis } from 'ioredis'
import { connect, type MqttClient } from 'mqtt'
import { afterEach, describe, expect, it } from 'vitest'
import { redisStore } from '../../../src/cluster/redis'
import { MqttBroker } from '../../../src/index'
import { eventually } from '../../../src/testing/engine-bench'
import { RedisServer, whyNoRedis } from '../../support/redis-server'

/** Messages that are published while Redis is killed. */
const MESSAGES = 400
const KILLS = 4

describe.skipIf(whyNoRedis !== undefined)('a broker on a Redis that is killed', () => {
  const ends: (() => unknown)[] = []

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  /** A client with a session that is kept, which connects meanwhile: messages may come with its CONNACK. */
  function connectLater(broker: MqttBroker, clientId: string): MqttClient {
    const client = connect(`mqtt://127.0.0.1:${broker.port}`, {
      clientId,
      clean: false,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 3600 },
    })
    client.on('error', () => undefined)
    ends.push(() => client.end(true))
    return client
  }

  async function connected(broker: MqttBroker, clientId: string): Promise<MqttClient> {
    const client = connectLater(broker, clientId)
    await new Promise((resolve) => client.once('connect', resolve))
    return client
  }

  it.each([1, 2] as const)(
    'loses nothing that it has acknowledged, and keeps the order (QoS %i)',
    async (qos) => {
      const server = await RedisServer.start('--appendonly', 'yes', '--appendfsync', 'always')
      ends.push(() => server.stop())
      const client = new Redis({ path: server.path, lazyConnect: true })
      const store = redisStore({ client, namespace: 'lamps' })
      const first = await MqttBroker.start({ port: 0, store, limits: { maximumQueuedMessages: 10_000 } })
      ends.push(() => first.stop())
      const absent = await connected(first, 'absent')
      await absent.subscribeAsync('t/#', { qos })
      await absent.endAsync()
      const publisher = await connected(first, 'publisher')
      const present = await connected(first, 'present')
      const heard: string[] = []
      present.on('message', (_topic, payload) => heard.push(payload.toString()))
      await present.subscribeAsync('t/#', { qos })
      const acknowledged: Promise<unknown>[] = []
      for (let n = 0; n < MESSAGES; n++) {
        acknowledged.push(publisher.publishAsync(`t/${n % 3}`, String(n), { qos, retain: n % 10 === 0 }))
        if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
        if (n % (MESSAGES / KILLS) === 50) {
          await server.kill()
          // publishers go on meanwhile, and are answered later
          await new Promise((resolve) => setImmediate(resolve))
          await server.begin()
        }
      }
      await Promise.all(acknowledged)
      const all = Array.from({ length: MESSAGES }, (_, n) => String(n))
      await eventually('the present one has them all', () => heard.length >= MESSAGES)
      expect(heard).toEqual(all)
      await first.stop()

      const second = await MqttBroker.start({ port: 0, store: redisStore({ client, namespace: 'lamps' }) })
      ends.push(() => second.stop())
      const missed: string[] = []
      const back = connectLater(second, 'absent')
      back.on('message', (_topic, payload) => missed.push(payload.toString()))
      await eventually('the absent one has them all', () => missed.length >= MESSAGES)
      expect(missed).toEqual(all)
      const retained = new Map<string, string>()
      await second.subscribe('t/+', (message) => retained.set(message.topic, message.payload.toString()))
      const expected = new Map<string, string>()
      for (let n = 0; n < MESSAGES; n += 10) expected.set(`t/${n % 3}`, String(n))
      await eventually('the retained ones have come', () => retained.size === expected.size)
      expect(retained).toEqual(expected)
    },
    60_000,
  )
})
