import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'
import { MemoryStore } from '../../src/persistence/memory-store'
import type { Change } from '../../src/ports/store'
import { clientGone, connectClient, openClient, startBroker } from '../support/broker'
import type { ConnectOptions, RawClient, Version } from '../support/raw-client'
import { stores } from '../support/stores'
import { FailingStore } from './failing-store'

const patience = { timeout: 15_000, interval: 10 }
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `t/${i}`)

async function retain(broker: MqttBroker, topics: readonly string[], qos: 0 | 1 | 2 = 1, payload = 'x'): Promise<void> {
  await Promise.all(topics.map((topic) => broker.publish({ topic, payload, qos, retain: true })))
}

const durable = (protocolVersion: Version, receiveMaximum = 65_535): ConnectOptions => ({
  protocolVersion,
  clientId: 'reader',
  clean: false,
  ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600, receiveMaximum } } : {}),
})

const topicsOf = ({ received }: RawClient): string[] =>
  received.flatMap((packet) => (packet.cmd === 'publish' && !packet.dup ? [packet.topic] : []))

/** What a client with QoS 2 has had over its connections: what has an identifier that is not released is a repetition. */
function exactlyOnce(clients: readonly RawClient[]): string[] {
  const held = new Set<number>()
  const topics: string[] = []
  for (const packet of clients.flatMap(({ received }) => received)) {
    if (packet.cmd === 'pubrel') held.delete(packet.messageId!)
    if (packet.cmd !== 'publish' || held.has(packet.messageId!)) continue
    held.add(packet.messageId!)
    topics.push(packet.topic)
  }
  return topics.toSorted()
}

/** Comes back to a session that is there, and acknowledges what comes. */
async function back(broker: MqttBroker, options: ConnectOptions): Promise<RawClient> {
  const client = await openClient(broker)
  client.autoAcknowledge = true
  expect(await client.connect(options)).toMatchObject({ sessionPresent: true })
  return client
}

const published = (packets: RawClient['received']): string[] =>
  packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.topic] : []))

/** Waits until these clients together have had so many topics. */
async function allHad(clients: readonly RawClient[], count: number): Promise<void> {
  await expect.poll(() => new Set(clients.flatMap(({ received }) => published(received))).size, patience).toBe(count)
}

/** Waits until the last of these clients has had something, or nothing is left for it. */
async function lastHasSome(clients: readonly RawClient[], count: number): Promise<void> {
  const hasSome = (): boolean => topicsOf(clients.at(-1)!).length > 0
  const hasAll = (): boolean => new Set(clients.flatMap(({ received }) => published(received))).size === count
  await expect.poll(() => hasSome() || hasAll(), patience).toBe(true)
}

async function broken(broker: MqttBroker, client: RawClient): Promise<void> {
  client.destroy()
  await clientGone(broker, 'reader')
}

describe.each(stores())('retained messages for a durable subscription, with $name', ({ make }) => {
  describe.each<Version>([4, 5])('of version %i', (version) => {
    const started = async (count: number, options: MqttBrokerOptions = {}): Promise<MqttBroker> => {
      const broker = await startBroker({ store: make(), ...options })
      await retain(broker, numbered(count))
      return broker
    }

    it('come over the next connection when the first breaks after SUBACK', async () => {
      const broker = await started(2_000)
      const first = await connectClient(broker, durable(version))
      await first.subscribe('t/#', 1)
      await broken(broker, first)
      const second = await back(broker, durable(version))
      await allHad([second, first], 2_000)
    })

    it('come in the end however often the connection breaks and the broker starts anew', async () => {
      const broker = await started(300, { limits: { maximumInflight: 20 } })
      const clients = [await connectClient(broker, durable(version))]
      clients[0]!.autoAcknowledge = true
      await clients[0]!.subscribe('t/#', 1)
      for (let round = 1; round <= 4; round++) {
        await lastHasSome(clients, 300)
        await broken(broker, clients.at(-1)!)
        if (round % 2 === 0) {
          await broker.stop()
          await broker.start()
        }
        clients.push(await back(broker, durable(version)))
      }
      await allHad(clients, 300)
    })

    it('come to the connection that takes over, and are left in peace by a full queue', async () => {
      const broker = await started(500, { limits: { maximumInflight: 10, maximumQueuedMessages: 5 } })
      const first = await connectClient(broker, durable(version))
      await first.subscribe('t/#', 1)
      const second = await back(broker, durable(version))
      await first.closed()
      await allHad([first, second], 500)
      expect(broker.statistics.droppedMessages).toBe(0)
    })

    it('come once with QoS 2, over broken connections and restarts', async () => {
      const broker = await startBroker({ store: make(), limits: { maximumInflight: 7 } })
      await retain(broker, numbered(60), 2)
      const clients = [await connectClient(broker, durable(version))]
      clients[0]!.autoAcknowledge = true
      await clients[0]!.subscribe('t/#', 2)
      for (let round = 0; round < 3; round++) {
        await lastHasSome(clients, 60)
        await broken(broker, clients.at(-1)!)
        await broker.stop()
        await broker.start()
        clients.push(await back(broker, durable(version)))
      }
      await allHad(clients, 60)
      await clients.at(-1)!.quiet()
      expect(exactlyOnce(clients)).toEqual(numbered(60).toSorted())
    })

    it('are not to come any more once they have, or the session has ended', async () => {
      const store = make()
      const broker = await startBroker({ store })
      await retain(broker, numbered(50))
      const first = await connectClient(broker, durable(version))
      first.autoAcknowledge = true
      await first.subscribe('t/#', 1)
      await allHad([first], 50)
      await first.quiet()
      await broken(broker, first)
      await broker.stop()
      await broker.start()
      const second = await back(broker, durable(version))
      expect(await second.quiet()).toEqual([])
      await second.subscribe('t/#', 1)
      await broken(broker, second)
      const third = await connectClient(broker, { protocolVersion: version, clientId: 'reader', clean: true })
      await third.disconnect()
      const fourth = await connectClient(broker, durable(version))
      expect(await fourth.quiet()).toEqual([])
    })

    it('come as they have become meanwhile', async () => {
      const broker = await started(100, { limits: { maximumInflight: 10 } })
      const first = await connectClient(broker, durable(version))
      await first.subscribe('t/#', 1)
      await expect.poll(() => topicsOf(first).length, patience).toBe(10)
      await broken(broker, first)
      await retain(broker, numbered(100), 1, 'new')
      const second = await back(broker, durable(version))
      const texts = new Map<string, string[]>()
      await expect.poll(() => topicsOf(second).length, patience).toBeGreaterThanOrEqual(100)
      await second.quiet()
      for (const packet of second.received)
        if (packet.cmd === 'publish' && !packet.dup)
          texts.set(packet.topic, [...(texts.get(packet.topic) ?? []), packet.payload.toString()])
      expect([...texts.values()].map((list) => list.join(' '))).toEqual(numbered(100).map(() => 'new'))
    })
  })
})

/** A store that keeps nothing any more from one moment on, as if the process had ended there. */
class MortalStore extends MemoryStore {
  isDead = false

  override commit(changes: readonly Change[]): void {
    if (!this.isDead) super.commit(changes)
  }
}

describe.each<Version>([4, 5])(
  'retained messages for a subscription of version %i whose broker ends without a word',
  (version) => {
    it.each([1, 2] as const)('come from the next one, with QoS %i', async (qos) => {
      const store = new MortalStore()
      const limits = { maximumInflight: 30 }
      const first = await startBroker({ store, limits })
      await retain(first, numbered(200), qos)
      const before = await connectClient(first, durable(version))
      before.autoAcknowledge = true
      await before.subscribe('t/#', qos)
      await expect.poll(() => topicsOf(before).length, patience).toBeGreaterThan(0)
      store.isDead = true
      before.destroy()
      await first.stop()
      store.isDead = false
      const second = await startBroker({ store, limits })
      const after = await back(second, durable(version))
      await allHad([before, after], 200)
      await after.quiet()
      if (qos === 2) expect(exactlyOnce([before, after])).toEqual(numbered(200).toSorted())
    })
  },
)

describe.each(['throws', 'rejects', 'rejects later'] as const)(
  'a store that %s over retained messages of a subscription',
  (failure) => {
    it('keeps none of them back for ever, and brings none with QoS 2 twice', async () => {
      const store = new FailingStore()
      const broker = await startBroker({ store, limits: { maximumInflight: 20 } })
      await retain(broker, numbered(60), 2)
      const client = await connectClient(broker, durable(5))
      client.autoAcknowledge = true
      store.concerns = (changes) => changes.some(({ type }) => type === 'enqueue') && store.failures < 1
      store.failure = failure
      await client.subscribe('t/#', 2)
      await allHad([client], 60)
      await client.quiet()
      expect(store.failures).toBe(1)
      expect(topicsOf(client).toSorted()).toEqual(numbered(60).toSorted())
    })
  },
)
