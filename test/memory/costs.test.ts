import { expect, it, vi } from 'vitest'
import type { MqttBroker } from '../../src/mqtt-broker'
import { connectAttacker } from '../abuse/raw-attack'
import { packet, string, u16 } from '../protocol/packet-bytes'
import { connectClient, startBroker } from '../support/broker'
import { usedBytes } from '../support/measured-memory'
import { RawClient } from '../support/raw-client'

const COUNT = 4000
const patience = { timeout: 15_000, interval: 20 }
const limits = {
  maximumSubscriptions: Number.POSITIVE_INFINITY,
  maximumWildcardPatterns: Number.POSITIVE_INFINITY,
  topicAliasMaximum: 65_535,
  memory: 8 * 1024 ** 3,
}

interface Made {
  broker: MqttBroker
  client: RawClient
}

/** What a broker holds more of once `make` has run, and what it counts. */
async function expectHonestCount(make: (made: Made) => void | Promise<void>, connect = {}): Promise<void> {
  const broker = await startBroker({ limits })
  const client = await connectClient(broker, { clientId: 'measured', ...connect })
  // what is made once, and not for each
  await make({ broker, client })
  await broker.publish({ topic: 'warm/up', payload: 'x', retain: true })
  const [usedBefore, countedBefore] = [usedBytes(), broker.statistics.memoryBytes]
  await make({ broker, client })
  client.received.length = 0
  const used = usedBytes() - usedBefore
  const counted = broker.statistics.memoryBytes - countedBefore
  const figures = `${Math.round(used / COUNT)} bytes each, counted as ${Math.round(counted / COUNT)}`
  expect(used, figures).toBeLessThan(counted * 1.3)
  expect(counted, figures).toBeLessThan(used * 2.5)
}

/** Names that are new with each call. */
function naming(name: (n: number) => string): () => string[] {
  let next = 100_000
  return () => Array.from({ length: COUNT }, () => name(next++))
}

const shapes = {
  'topics that share their levels': (n: number) => `site/1/sensor/${n}`,
  'topics of many levels of their own': (n: number) => `${n}/a/b/c/d/e/f/g/h/i/j/k`,
  'topics with long levels': (n: number) => `${n}${'x'.repeat(200)}/${'y'.repeat(100)}`,
}

const payloads = { 'one byte': 1, '40 bytes': 40, '200 bytes': 200, '5,000 bytes': 5000 }

for (const [text, size] of Object.entries(payloads))
  it(`counts retained messages of ${text} as what they cost`, async () => {
    const names = naming((n) => `site/1/sensor/${n}`)
    await expectHonestCount(async ({ broker, client }) => {
      const topics = names()
      const expected = broker.statistics.retainedMessages + COUNT
      const payload = 'x'.repeat(size)
      for (const topic of topics) client.sendBytes(packet(0x31, string(topic), Buffer.from(payload)))
      await vi.waitFor(() => expect(broker.statistics.retainedMessages).toBeGreaterThanOrEqual(expected), patience)
    })
  })

for (const [text, shape] of Object.entries(shapes))
  it(`counts retained messages under ${text} as what they cost`, async () => {
    const names = naming(shape)
    await expectHonestCount(async ({ broker }) => {
      for (const topic of names()) await broker.publish({ topic, payload: 'x', retain: true })
    })
  })

const filters = {
  'without wildcards': (n: number) => `site/1/sensor/${n}`,
  'with wildcards, that share their levels': (n: number) => `site/+/sensor/${n}`,
  'with wildcards and many levels of their own': (n: number) => `${n}/+/b/c/d/e/f/g/h/i/j/#`,
  'of shared groups': (n: number) => `$share/group${n}/site/sensor`,
  'of shared groups with filters of their own': (n: number) => `$share/group/site/sensor/${n}`,
}

for (const [text, filter] of Object.entries(filters))
  for (const clean of [true, false])
    it(`counts subscriptions ${text} as what they cost a ${clean ? 'clean' : 'lasting'} session`, async () => {
      const names = naming(filter)
      await expectHonestCount(
        async ({ broker, client }) => {
          const expected = broker.statistics.subscriptions + COUNT
          for (const name of names()) client.sendBytes(packet(0x82, u16(1), string(name), Buffer.from([1])))
          await vi.waitFor(() => expect(broker.statistics.subscriptions).toBe(expected), patience)
          client.received.length = 0
        },
        { clean },
      )
    })

for (const [text, shape] of Object.entries(shapes))
  it(`counts routes of ${text} as what they cost`, async () => {
    const names = naming(shape)
    await expectHonestCount(async ({ broker, client }) => {
      const topics = names()
      // a topic gets its place when it comes again
      for (let turn = 0; turn < 2; turn++)
        for (const topic of topics) client.sendBytes(packet(0x30, string(topic), Buffer.from('x')))
      client.sendBytes('c000')
      await client.next('pingresp')
      expect(broker.statistics.clients).toBe(1)
    })
  })

for (const size of [10, 300, 5000])
  it(`counts queued messages of ${size} bytes as what they cost`, async () => {
    await expectHonestCount(
      async ({ broker, client }) => {
        if (!client.isClosed) {
          await client.subscribe('q', 1)
          await client.disconnect()
        }
        for (let n = 0; n < COUNT; n++) await broker.publish({ topic: 'q', payload: 'x'.repeat(size), qos: 1 })
      },
      { clean: false },
    )
  })

it('counts messages in flight as what they cost', async () => {
  let subscribers = 0
  await expectHonestCount(async ({ broker }) => {
    const clientId = `subscriber ${++subscribers}`
    const socket = await connectAttacker(broker.port, { clientId, clean: false })
    socket.write(packet(0x82, u16(1), string(`flight/${subscribers}`), Buffer.from([1])))
    await vi.waitFor(() => expect(broker.statistics.subscriptions).toBe(subscribers), patience)
    for (let n = 0; n < 1000; n++)
      await broker.publish({ topic: `flight/${subscribers}`, payload: 'x'.repeat(2000), qos: 1 })
    expect(broker.statistics.queuedMessages).toBe(0)
  })
})

it('counts Topic Aliases of clients as what they cost', async () => {
  let alias = 0
  const names = naming((n) => `alias/${'x'.repeat(100)}/${n}`)
  await expectHonestCount(
    async ({ client }) => {
      for (const topic of names().slice(0, 2000)) client.sendPublish(topic, '', { properties: { topicAlias: ++alias } })
      await client.quiet()
    },
    { protocolVersion: 5 },
  )
})

for (const payload of [0, 2000])
  it(`counts lasting sessions as what they cost, with a Will of ${payload} bytes or none`, async () => {
    let next = 100_000
    await expectHonestCount(async ({ broker }) => {
      const expected = broker.statistics.sessions + 300
      for (let n = 0; n < 300; n++) {
        const client = await RawClient.open(broker.port)
        const properties = { sessionExpiryInterval: 0xffffffff }
        const content = { topic: 'w', payload: Buffer.alloc(payload), qos: 1, retain: false } as const
        const will = payload === 0 ? {} : { will: { ...content, properties: { willDelayInterval: 0xffffffff } } }
        await client.connect({ protocolVersion: 5, clientId: `lasting ${next++}`, properties, ...will })
        client.destroy()
      }
      await vi.waitFor(() => expect(broker.statistics).toMatchObject({ sessions: expected, clients: 1 }), patience)
    })
  })

it('lets topics and filters go, however many that remain share their levels', async () => {
  const broker = await startBroker({ limits })
  const socket = await connectAttacker(broker.port)
  const filling = 'y'.repeat(60_000)
  const share = (n: number): Promise<void> => {
    const level = `${n}${'x'.repeat(20)}`
    for (const filter of [`${level}/${filling}/+`, `$share/${filling}/${level}`]) {
      socket.write(packet(0x82, u16(1), string(filter), Buffer.from([0])))
      socket.write(packet(0x82, u16(1), string(`${level}/+`), Buffer.from([0])))
      socket.write(packet(0x82, u16(1), string(level), Buffer.from([0])))
      socket.write(packet(0xa2, u16(1), string(filter)))
    }
    socket.write(packet(0x31, string(`${level}/${filling}`), Buffer.from('x')))
    socket.write(packet(0x31, string(`${level}/b`), Buffer.from('x')))
    socket.write(packet(0x31, string(`${level}/${filling}`)))
    return vi.waitFor(() => {
      const { retainedMessages, subscriptions } = broker.statistics
      expect([retainedMessages, subscriptions]).toEqual([n + 1, 2 * (n + 1)])
    }, patience)
  }
  await share(0)
  const before = usedBytes()
  for (let n = 1; n <= 60; n++) await share(n)
  expect(usedBytes() - before).toBeLessThan(3_000_000)
})
