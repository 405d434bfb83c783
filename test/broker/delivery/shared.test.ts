import { describe, expect, it, vi } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { MemoryStore } from '../../../src/persistence/memory-store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { SlowStore } from '../../model/slow-store'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'
import type { ConnectOptions, RawClient } from '../../support/raw-client'

const kept = { protocolVersion: 5 as const, clean: false, properties: { sessionExpiryInterval: 3600 } }

/** Members of `$share/g/a` in this order, with so many messages in flight at the most. */
async function members(
  broker: MqttBroker,
  windows: Readonly<Record<string, number>>,
  session: ConnectOptions = kept,
): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (const [clientId, receiveMaximum] of Object.entries(windows)) {
    const properties = { ...session.properties, receiveMaximum }
    const client = await connectClient(broker, { ...session, clientId, properties })
    await client.subscribe('$share/g/a', 1)
    clients.push(client)
  }
  return clients
}

async function publish(broker: MqttBroker, ...texts: string[]): Promise<void> {
  const publisher = await connectClient(broker, { protocolVersion: 5 })
  for (const text of texts) await publisher.publish('a', text, { qos: 1 })
  await publisher.disconnect()
}

async function leave(broker: MqttBroker, client: RawClient, clientId: string): Promise<void> {
  client.destroy()
  await clientGone(broker, clientId)
}

/** The payloads of all that a client gets, each acknowledged. */
async function received(client: RawClient): Promise<string[]> {
  const texts: string[] = []
  for (;;) {
    const packets = (await client.quiet()).filter((packet) => packet.cmd === 'publish')
    if (packets.length === 0) return texts
    for (const packet of packets) {
      texts.push(packet.payload.toString())
      await client.acknowledge(packet)
    }
  }
}

it('a member that goes offline hands on what it has not acknowledged, but nothing that has expired', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock })
  const session = { protocolVersion: 5 as const, clean: false }
  const properties = { sessionExpiryInterval: 3600, receiveMaximum: 1 }
  const first = await connectClient(broker, { ...session, clientId: 'first', properties })
  await first.subscribe('$share/g/a', 1)
  const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
  const expiring = { messageExpiryInterval: 10 }
  await publisher.publish('a', 'sent and expired', { qos: 1, properties: expiring })
  await publisher.publish('a', 'queued and expired', { qos: 1, properties: expiring })
  await publisher.publish('a', 'queued', { qos: 1 })
  expect((await first.nextMessage()).text).toBe('sent and expired')
  clock.advance(60_000)
  const second = await connectClient(broker, { ...session, clientId: 'second' })
  await second.subscribe('$share/g/a', 1)
  first.destroy()
  await clientGone(broker, 'first')
  expect((await second.nextMessage()).text).toBe('queued')
  expect(await second.quiet()).toEqual([])
  const back = await connectClient(broker, { ...session, clientId: 'first', properties })
  const { text, dup } = await back.nextMessage()
  expect({ text, dup }).toEqual({ text: 'sent and expired', dup: true })
})

it('a message does not go to a member that is offline and would not keep it', async () => {
  const broker = await startBroker()
  const session = { protocolVersion: 5 as const, clean: false, properties: { sessionExpiryInterval: 3600 } }
  for (const [clientId, qos] of [
    ['keeps', 1],
    ['drops', 0],
  ] as const) {
    const member = await connectClient(broker, { ...session, clientId })
    await member.subscribe('$share/g/a', qos)
    await member.disconnect()
    await clientGone(broker, clientId)
  }
  const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
  for (const text of ['1', '2', '3']) await publisher.publish('a', text, { qos: 1 })
  // and what a member has not acknowledged does not go there either, when it goes offline
  for (let round = 0; round < 2; round++) {
    const back = await connectClient(broker, { ...session, clientId: 'keeps' })
    const texts: string[] = []
    for (let n = 0; n < 3; n++) texts.push((await back.nextMessage()).text)
    expect(texts).toEqual(['1', '2', '3'])
    back.destroy()
    await clientGone(broker, 'keeps')
  }
})

describe('a message whose member goes offline', () => {
  it('goes to a member that has room for it, not to one whose queue is full', async () => {
    const broker = await startBroker({ limits: { maximumQueuedMessages: 2 } })
    const [a, b, c] = await members(broker, { a: 1, b: 1, c: 1 })
    // one in flight and two queued for each, but for the last, which has one queued
    await publish(broker, '1', '2', '3', '4', '5', '6', '7', '8')
    const first = await a!.nextMessage()
    await leave(broker, a!, 'a')
    expect(first.text).toBe('1')
    // of the three of `a`, one fits
    expect(await received(c!)).toEqual(['3', '6', '1'])
    expect(await received(b!)).toEqual(['2', '5', '8'])
    const back = await connectClient(broker, { ...kept, clientId: 'a' })
    expect(await received(back)).toEqual(['4', '7'])
    expect(broker.statistics.droppedMessages).toBe(0)
  })

  it('is not what costs another member its connection or its own messages', async () => {
    for (const queueOverflow of ['disconnect', 'drop-oldest'] as const) {
      const broker = await startBroker({ queueOverflow, limits: { maximumQueuedMessages: 1 } })
      const [a, b] = await members(broker, { a: 1, b: 1 })
      await publish(broker, '1', '2', '3', '4')
      await leave(broker, a!, 'a')
      expect(await received(b!)).toEqual(['2', '4'])
      const back = await connectClient(broker, { ...kept, clientId: 'a' })
      expect(await received(back)).toEqual(['1', '3'])
    }
  })

  it('goes on after the broker has started again, as it was published', async () => {
    const broker = await startBroker()
    const [a] = await members(broker, { a: 2 })
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    // more than a page of the queue
    for (let n = 0; n < 300; n++) await publisher.publish('a', String(n), { qos: 1, retain: n % 2 === 0 })
    await leave(broker, a!, 'a')
    await broker.stop()
    await broker.start()
    const back = await connectClient(broker, { ...kept, clientId: 'a', properties: { receiveMaximum: 2 } })
    expect((await back.nextMessage()).text).toBe('0')
    const b = await connectClient(broker, { ...kept, clientId: 'b', properties: { receiveMaximum: 2 } })
    await b.subscribe('$share/g/a', 1, { rap: true })
    await leave(broker, back, 'a')
    const { text, retain, packet } = await b.nextMessage()
    expect({ text, retain }).toEqual({ text: '0', retain: true })
    await b.acknowledge(packet)
    const second = await b.nextMessage()
    expect({ text: second.text, retain: second.retain }).toEqual({ text: '1', retain: false })
  })

  it('goes to a group that has begun anew since', async () => {
    const broker = await startBroker()
    const [a] = await members(broker, { a: 1 })
    await publish(broker, '1', '2')
    await a!.unsubscribe('$share/g/a')
    const [b] = await members(broker, { b: 10 })
    await leave(broker, a!, 'a')
    expect(await received(b!)).toEqual(['1', '2'])
  })

  it('goes round among the members that are left', async () => {
    const broker = await startBroker()
    const [a, b, c] = await members(broker, { a: 4, b: 10, c: 10 })
    for (const client of [b!, c!]) await client.unsubscribe('$share/g/a')
    await publish(broker, '1', '2', '3', '4')
    for (const client of [b!, c!]) await client.subscribe('$share/g/a', 1)
    await leave(broker, a!, 'a')
    expect(await received(b!)).toHaveLength(2)
    expect(await received(c!)).toHaveLength(2)
  })
})

describe('a message whose member does not come back', () => {
  const month = { ...kept, properties: { sessionExpiryInterval: 30 * 24 * 3600 } }

  /** `a` is offline with so many messages that came while it was alone, `b` is there since. */
  async function abandoned(count: number, options: MqttBrokerOptions = {}) {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, limits: { maximumQueuedMessages: 10_000 }, ...options })
    const [a] = await members(broker, { a: 2 })
    const texts = Array.from({ length: count }, (_, n) => String(n))
    await publish(broker, ...texts)
    await leave(broker, a!, 'a')
    const [b] = await members(broker, { b: 65_535 }, month)
    return { broker, clock, b: b!, texts }
  }

  const inOrder = (texts: string[]): string[] => texts.sort((x, y) => Number(x) - Number(y))

  it('goes to another when the session expires', async () => {
    const { clock, b, texts } = await abandoned(5)
    expect(await received(b)).toEqual([])
    clock.advance(3_600_000)
    expect(await received(b)).toEqual(texts)
  })

  it('goes to another when the client begins anew', async () => {
    const { broker, b, texts } = await abandoned(5)
    const anew = await connectClient(broker, { ...kept, clientId: 'a', clean: true })
    expect(await received(b)).toEqual(texts)
    expect(await received(anew)).toEqual([])
  })

  it.each([
    ['answers at once', () => new MemoryStore()],
    ['takes its time', () => new SlowStore()],
  ])(
    'goes to another from a store that %s as well',
    async (_, newStore) => {
      const { broker, clock, b, texts } = await abandoned(1500, { store: newStore() })
      const other = await connectClient(broker, { ...kept, clientId: 'a', clean: true })
      expect(other.received[0]).toMatchObject({ sessionPresent: false })
      expect(inOrder(await received(b))).toEqual(texts)
      expect(await received(other)).toEqual([])
      // and those that came before a restart, when the session expires
      await members(broker, { c: 1 })
      await b.unsubscribe('$share/g/a')
      await publish(broker, ...texts)
      await broker.stop()
      await broker.start()
      const back = await connectClient(broker, { ...month, clientId: 'b' })
      await back.subscribe('$share/g/a', 1)
      clock.advance(3_600_000)
      await vi.waitFor(() => expect(broker.statistics).toMatchObject({ sessions: 1 }), 10_000)
      expect(inOrder(await received(back))).toEqual(texts)
    },
    30_000,
  )

  it('does not get lost when its client comes once more meanwhile', async () => {
    const { broker, b, texts } = await abandoned(1500, { store: new SlowStore() })
    // the second takes over from the first, perhaps before that has its CONNACK
    const [first, last] = [await openClient(broker), await openClient(broker)]
    first.connect({ ...kept, clientId: 'a', clean: true }).catch(() => undefined)
    await last.connect({ ...kept, clientId: 'a' })
    expect(await received(last)).toEqual([])
    expect(inOrder(await received(b))).toEqual(texts)
    expect(broker.statistics).toMatchObject({ sessions: 2, queuedMessages: 0, queuedBytes: 0 })
  })

  it('does not go to a session that has expired as well', async () => {
    const { broker, clock, b } = await abandoned(1500)
    await leave(broker, b, 'b')
    clock.advance(31 * 24 * 3_600_000)
    await vi.waitFor(() => expect(broker.statistics).toMatchObject({ sessions: 0, queuedMessages: 0, queuedBytes: 0 }))
  })
})

it('a new message goes to a member that has room for it, and is dropped only when nobody has', async () => {
  const broker = await startBroker({ limits: { maximumQueuedMessages: 1 } })
  const [a, b] = await members(broker, { a: 1, b: 1 })
  await b!.unsubscribe('$share/g/a')
  await publish(broker, '1', '2')
  await b!.subscribe('$share/g/a', 1)
  // after these two `b` is full as well
  await publish(broker, '3', '4', '5')
  expect(broker.statistics.droppedMessages).toBe(1)
  expect(await received(a!)).toEqual(['1', '2'])
  expect(await received(b!)).toEqual(['3', '4'])
})

it('QoS 0 goes to a member that is there, however busy, rather than to one that would not keep it', async () => {
  const broker = await startBroker()
  const [a, b] = await members(broker, { a: 1, b: 1 })
  await publish(broker, '1', '2')
  await leave(broker, a!, 'a')
  const publisher = await connectClient(broker, { protocolVersion: 5 })
  for (const text of ['3', '4']) await publisher.publish('a', text)
  await publisher.quiet()
  expect((await received(b!)).sort()).toEqual(['1', '2', '3', '4'])
})

describe('a message that authorizeDelivery denies to a member', () => {
  const sessions = { durable: kept, transient: { protocolVersion: 5 as const, clean: true } }
  const cases = ([0, 1, 2] as const).flatMap((qos) =>
    (['durable', 'transient'] as const).flatMap((kind) =>
      (['MemoryStore', 'SlowStore'] as const).map((store) => [qos, kind, store] as const),
    ),
  )
  const stores = { MemoryStore: () => new MemoryStore(), SlowStore: () => new SlowStore() }

  it.each(cases)('goes to another, with QoS %i to %s sessions and a %s', async (qos, kind, store) => {
    const asked: string[] = []
    const broker = await startBroker({
      store: stores[store](),
      authorizeDelivery: ({ clientId }, { payload }) => {
        asked.push(`${payload.toString()} ${clientId}`)
        return clientId === 'c'
      },
    })
    const clients: RawClient[] = []
    for (const clientId of ['a', 'b', 'c']) {
      const client = await connectClient(broker, { ...sessions[kind], clientId })
      await client.subscribe('$share/g/a', 2)
      clients.push(client)
    }
    const [a, b, c] = clients
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    const texts = ['1', '2', '3', '4', '5', '6']
    for (const text of texts) await publisher.publish('a', text, { qos })
    await publisher.quiet()
    await vi.waitFor(() => expect(asked.filter((each) => each.endsWith('c'))).toHaveLength(texts.length))
    expect((await received(c!)).sort()).toEqual(texts)
    expect([await received(a!), await received(b!)]).toEqual([[], []])
    // nobody is asked twice
    expect(new Set(asked).size).toBe(asked.length)
    expect(broker.statistics).toMatchObject({ droppedMessages: 0, queuedMessages: 0 })
  })

  it.each(cases)(
    'is dropped once all have been asked, with QoS %i to %s sessions and a %s',
    async (qos, kind, store) => {
      const asked: string[] = []
      const broker = await startBroker({
        store: stores[store](),
        authorizeDelivery: ({ clientId }) => {
          asked.push(clientId)
          return false
        },
      })
      for (const clientId of ['a', 'b', 'c']) {
        const client = await connectClient(broker, { ...sessions[kind], clientId })
        await client.subscribe('$share/g/a', 2)
      }
      const publisher = await connectClient(broker, { protocolVersion: 5 })
      await publisher.publish('a', 'x', { qos })
      await publisher.quiet()
      await vi.waitFor(() => expect(broker.statistics).toMatchObject({ droppedMessages: 1, queuedMessages: 0 }))
      expect(asked.sort()).toEqual(['a', 'b', 'c'])
    },
  )

  it('goes to another also after it has waited', async () => {
    const denied = new Set<string>()
    const broker = await startBroker({ authorizeDelivery: ({ clientId }) => !denied.has(clientId) })
    const [a] = await members(broker, { a: 1 })
    await publish(broker, '1', '2', '3')
    const first = await a!.nextMessage()
    const [b] = await members(broker, { b: 10 })
    denied.add('a')
    await a!.acknowledge(first.packet)
    expect(await received(a!)).toEqual([])
    expect(await received(b!)).toEqual(['2', '3'])
  })

  it('is in the store until another has it', async () => {
    const store = new MemoryStore()
    const broker = await startBroker({ store, authorizeDelivery: ({ clientId }) => clientId === 'b' })
    const [, b] = await members(broker, { a: 10, b: 1 })
    await publish(broker, '1', '2', '3', '4')
    await broker.stop()
    await broker.start()
    expect([store.queue('a', 0, 10).length, store.queue('b', 0, 10).length]).toEqual([0, 4])
    expect(b!.received.filter(({ cmd }) => cmd === 'publish')).toHaveLength(1)
  })
})

it('a message that is too large for a member goes to another [MQTT-3.1.2-25]', async () => {
  const broker = await startBroker()
  const properties = { maximumPacketSize: 100 }
  const small = await connectClient(broker, { protocolVersion: 5, clientId: 'small', properties })
  const large = await connectClient(broker, { protocolVersion: 5, clientId: 'large' })
  for (const client of [small, large]) await client.subscribe('$share/g/a', 1)
  const texts = ['1', '2', '3', '4'].map((text) => text.repeat(200))
  await publish(broker, ...texts)
  expect((await received(large)).sort()).toEqual(texts)
  expect(await received(small)).toEqual([])
  expect(broker.statistics.droppedMessages).toBe(0)
})
