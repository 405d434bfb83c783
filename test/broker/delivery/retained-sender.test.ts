import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'
import type { ConnectOptions, RawClient, Version } from '../../support/raw-client'

/** A client of one version that takes `window` messages at a time. */
interface Kind {
  readonly version: Version
  readonly options: MqttBrokerOptions
  readonly connect: ConnectOptions
}

const WINDOW = 10

const kinds: Kind[] = [
  { version: 4, options: { limits: { maximumInflight: WINDOW } }, connect: { protocolVersion: 4 } },
  { version: 5, options: {}, connect: { protocolVersion: 5, properties: { receiveMaximum: WINDOW } } },
]

async function retain(broker: MqttBroker, topics: readonly string[], payload: string): Promise<void> {
  for (const topic of topics) await broker.publish({ topic, payload, qos: 1, retain: true })
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `dev/${i}`)

/** The payloads of each topic, in the order in which they came. */
function payloads({ received }: RawClient): Map<string, string[]> {
  const all = new Map<string, string[]>()
  for (const packet of received) {
    if (packet.cmd !== 'publish') continue
    const texts = all.get(packet.topic) ?? []
    texts.push(packet.payload.toString())
    all.set(packet.topic, texts)
  }
  return all
}

const messageCount = ({ received }: RawClient): number => received.filter(({ cmd }) => cmd === 'publish').length

async function arrived(client: RawClient, count: number): Promise<void> {
  await expect.poll(() => messageCount(client), { timeout: 20_000, interval: 20 }).toBeGreaterThanOrEqual(count)
}

describe.each(kinds)(
  'retained messages that a client of version $version takes slowly',
  ({ version, options, connect }) => {
    const topics = numbered(300)

    async function subscribed(filter = 'dev/#') {
      const broker = await startBroker(options)
      await retain(broker, topics, 'off')
      const client = await connectClient(broker, connect)
      await client.subscribe(filter, 1)
      await arrived(client, WINDOW)
      return { broker, client }
    }

    it('do not come after the message that has replaced them, nor after their own', async () => {
      const { broker, client } = await subscribed()
      await retain(broker, topics, 'on')
      client.autoAcknowledge = true
      await arrived(client, WINDOW + topics.length)
      await client.quiet()
      const all = payloads(client)
      expect([...all.keys()].toSorted()).toEqual(topics.toSorted())
      const texts = [...all.values()].map((list) => list.join(' '))
      expect(texts.filter((text) => text === 'off on')).toHaveLength(WINDOW)
      expect(texts.filter((text) => text === 'on')).toHaveLength(topics.length - WINDOW)
    })

    it('do not come once they are cleared', async () => {
      const { broker, client } = await subscribed()
      await retain(broker, topics, '')
      client.autoAcknowledge = true
      await arrived(client, WINDOW + topics.length)
      await client.quiet()
      const texts = [...payloads(client).values()].map((list) => list.join(' '))
      expect(texts.filter((text) => text === 'off ')).toHaveLength(WINDOW)
      expect(texts.filter((text) => text === '')).toHaveLength(topics.length - WINDOW)
    })

    it('come as they have become when it subscribes another time', async () => {
      const { broker, client } = await subscribed()
      await client.unsubscribe('dev/#')
      client.autoAcknowledge = true
      await client.quiet()
      await retain(broker, topics, 'on')
      const before = messageCount(client)
      await client.subscribe('dev/#', 1)
      await arrived(client, before + topics.length)
      const latest = [...payloads(client).values()].map((list) => list.at(-1))
      expect(latest).toEqual(topics.map(() => 'on'))
    })

    it('do not come after a newer message that found no room to be retained', async () => {
      const maximumRetainedBytes = 2 * 'dev/0 off'.length
      const broker = await startBroker({ limits: { maximumInflight: 1, maximumRetainedBytes } })
      await retain(broker, ['dev/0', 'dev/1'], 'off')
      const client = await connectClient(broker, { protocolVersion: version })
      await client.subscribe('dev/#', 1)
      await arrived(client, 1)
      const publisher = await connectClient(broker)
      await publisher.publish('dev/1', 'x'.repeat(100), { qos: 1, retain: true })
      client.autoAcknowledge = true
      await arrived(client, 2)
      await client.quiet()
      expect([...payloads(client).values()]).toEqual([['off'], ['x'.repeat(100)]])
    })

    it('stop with UNSUBACK', async () => {
      const { client } = await subscribed()
      await client.unsubscribe('dev/#')
      client.autoAcknowledge = true
      await client.quiet()
      await client.quiet()
      expect(messageCount(client)).toBe(WINDOW)
    })

    it('come with the QoS of a subscription that replaces the first meanwhile, all of them', async () => {
      const { client } = await subscribed()
      await client.subscribe('dev/#', 0)
      client.autoAcknowledge = true
      await arrived(client, WINDOW + topics.length)
      await client.quiet()
      const later = client.received.filter((packet) => packet.cmd === 'publish').slice(WINDOW)
      expect(later.map(({ qos }) => qos)).toEqual(topics.map(() => 0))
      expect(new Set(later.map(({ topic }) => topic)).size).toBe(topics.length)
    })
  },
)

describe('retained messages of version 5', () => {
  const connect: ConnectOptions = { protocolVersion: 5, properties: { receiveMaximum: WINDOW } }

  async function subscribed() {
    const broker = await startBroker()
    await retain(broker, numbered(300), 'off')
    const client = await connectClient(broker, connect)
    await client.subscribe('dev/#', 1)
    await arrived(client, WINDOW)
    return client
  }

  it('[MQTT-3.3.1-10] go on when the subscription is replaced with Retain Handling 1, with its options', async () => {
    const client = await subscribed()
    const properties = { subscriptionIdentifier: 7 }
    await client.subscribe('dev/#', 0, { rh: 1, properties })
    client.autoAcknowledge = true
    await arrived(client, 300)
    await client.quiet()
    const later = client.received.filter((packet) => packet.cmd === 'publish').slice(WINDOW)
    expect(later).toHaveLength(300 - WINDOW)
    for (const packet of later) expect(packet).toMatchObject({ qos: 0, properties })
  })

  it('[MQTT-3.3.1-11] stop when the subscription is replaced with Retain Handling 2', async () => {
    const client = await subscribed()
    await client.subscribe('dev/#', 1, { rh: 2 })
    client.autoAcknowledge = true
    await client.quiet()
    await client.quiet()
    expect(messageCount(client)).toBe(WINDOW)
  })

  it('reach a reader who missed the newer ones because it was slow, never after these', async () => {
    const broker = await startBroker({ limits: { maximumOutgoingBytes: 65_536 } })
    const topics = numbered(400)
    // more than the system takes for a reader who does not read
    const off = 'off'.padEnd(50_000)
    await retain(broker, topics, off)
    const client = await connectClient(broker, { protocolVersion: 5 })
    const isSubscribed = new Promise((resolve) => broker.once('subscribed', resolve))
    client.pause()
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'dev/#', qos: 0 }] })
    await isSubscribed
    const { droppedMessages } = broker.statistics
    await retain(broker, topics, 'on')
    expect(broker.statistics.droppedMessages).toBeGreaterThan(droppedMessages)
    client.resume()
    await expect.poll(() => payloads(client).size, { timeout: 20_000 }).toBe(topics.length)
    await client.quiet()
    for (const texts of payloads(client).values()) expect(texts.lastIndexOf(off)).toBeLessThan(1)
    const latest = [...payloads(client).values()].filter((texts) => texts.at(-1) === 'on')
    expect(latest.length).toBeGreaterThan(0)
  })
})

it.each<[Version, 0 | 1]>([
  [4, 0],
  [4, 1],
  [5, 0],
  [5, 1],
])(
  '[MQTT-3.10.4-2] nothing of 5,000 retained messages comes after UNSUBACK: version %i, QoS %i',
  async (protocolVersion, qos) => {
    const broker = await startBroker()
    await Promise.all(numbered(5_000).map((topic) => broker.publish({ topic, payload: 'x', qos: 1, retain: true })))
    const client = await connectClient(broker, { protocolVersion })
    client.autoAcknowledge = true
    client.send(
      { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'dev/#', qos }] },
      { cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['dev/#'] },
    )
    await client.next('unsuback')
    await client.quiet()
    await client.quiet()
    const kinds = client.received.map(({ cmd }) => cmd)
    expect(kinds.lastIndexOf('publish')).toBeLessThan(kinds.indexOf('unsuback'))
  },
)

it.each<Version>([4, 5])(
  'nothing retained comes to a client of version %i that takes over with a new session',
  async (protocolVersion) => {
    const broker = await startBroker({ limits: { maximumInflight: WINDOW } })
    await retain(broker, numbered(100), 'x')
    const connect = { protocolVersion, clientId: 'reader' }
    const first = await connectClient(broker, connect)
    await first.subscribe('dev/#', 1)
    await arrived(first, WINDOW)
    const second = await connectClient(broker, connect)
    await first.closed()
    expect(await second.quiet()).toEqual([])
  },
)

it.each<Version>([4, 5])(
  'nothing retained comes once version %i has lost the right to subscribe',
  async (protocolVersion) => {
    let isAllowed = true
    const broker = await startBroker({ limits: { maximumInflight: WINDOW }, authorizeSubscribe: () => isAllowed })
    await retain(broker, numbered(100), 'x')
    const durable = {
      protocolVersion,
      clientId: 'reader',
      clean: false,
      properties: protocolVersion === 5 ? { sessionExpiryInterval: 3600 } : undefined,
    } as ConnectOptions
    const first = await connectClient(broker, durable)
    await first.subscribe('dev/#', 1)
    await arrived(first, WINDOW)
    first.autoAcknowledge = true
    first.destroy()
    await clientGone(broker, 'reader')
    isAllowed = false
    const second = await openClient(broker)
    second.autoAcknowledge = true
    expect(await second.connect(durable)).toMatchObject({ sessionPresent: true })
    await second.quiet()
    // what it had in flight is sent again
    expect(messageCount(second)).toBeLessThanOrEqual(WINDOW)
  },
)

it.each(['a/b', 'a/+'])(
  'a retained message does not come back to its publisher by a No Local subscription: %s',
  async (filter) => {
    const broker = await startBroker()
    const client = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
    await client.publish('a/b', 'own', { qos: 1, retain: true })
    await client.subscribe(filter, 1, { nl: true })
    expect(await client.quiet()).toEqual([])
    await client.subscribe(filter, 1)
    expect((await client.nextMessage()).text).toBe('own')
    const other = await connectClient(broker, { protocolVersion: 5, clientId: 'other' })
    await other.subscribe(filter, 1, { nl: true })
    expect((await other.nextMessage()).text).toBe('own')
  },
)
