import { describe, expect, it } from 'vitest'
import { packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, startBroker } from '../../support/broker'
import { illFormed, nullCharacter } from './connect-bytes'

/** Sends a packet that is wrong and expects the end of the connection, without an answer. */
async function expectClosedBy(wrong: Uint8Array): Promise<void> {
  const client = await connectClient(await startBroker())
  client.sendBytes(wrong)
  await client.closed()
  expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack'])
}

const otherFlags = [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]

describe('MQTT 3.1.1 section 3.6, PUBREL', () => {
  it.each(otherFlags)('[MQTT-3.6.1-1] PUBREL with flags %i closes the connection', async (flags) => {
    const broker = await startBroker()
    const client = await connectClient(broker)
    client.sendPublish('a', 'x', { qos: 2, messageId: 1 })
    await client.next('pubrec')
    client.sendBytes(packet(0x60 | flags, u16(1)))
    await client.closed()
    expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack', 'pubrec'])
  })
})

describe('MQTT 3.1.1 section 3.8, SUBSCRIBE', () => {
  it.each(otherFlags)('[MQTT-3.8.1-1] SUBSCRIBE with flags %i closes the connection', async (flags) => {
    await expectClosedBy(packet(0x80 | flags, u16(1), string('a'), 0))
  })

  it.each([...illFormed, ['U+0000', nullCharacter] as const])(
    '[MQTT-3.8.3-1] a Topic Filter with %s closes the connection',
    async (_why, field) => {
      await expectClosedBy(packet(0x82, u16(1), string('good'), 0, field, 0))
    },
  )

  it('[MQTT-3.8.3-2] filters with wildcards are supported, so none is rejected', async () => {
    const client = await connectClient(await startBroker())
    expect((await client.subscribe(['#', '+', 'a/+/b', 'a/#'], 1)).granted).toEqual([1, 1, 1, 1])
  })

  it('[MQTT-3.8.3-2] a broker without wildcards rejects the filters that have them', async () => {
    const client = await connectClient(await startBroker({ wildcardSubscriptionAvailable: false }))
    expect((await client.subscribe(['#', 'a', 'a/+'], 1)).granted).toEqual([0x80, 1, 0x80])
    await client.publish('a/b', 'x', { qos: 1 })
    expect(await client.quiet()).toEqual([])
  })

  it.each([
    ['no Topic Filter', packet(0x82, u16(1))],
    ['no body', packet(0x82)],
    ['half a Packet Identifier', packet(0x82, 0)],
  ])('[MQTT-3.8.3-3] SUBSCRIBE with %s closes the connection', async (_what, wrong) => {
    await expectClosedBy(wrong)
  })

  it.each([3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff, 0xfd])(
    '[MQTT-3.8.3-4] SUBSCRIBE with the options %i closes the connection, and subscribes to nothing',
    async (options) => {
      const broker = await startBroker()
      const client = await connectClient(broker, { clientId: 'c', clean: false })
      client.sendBytes(packet(0x82, u16(1), string('a'), 0, string('b'), options))
      await client.closed()
      const again = await connectClient(broker, { clientId: 'c', clean: false })
      await again.publish('a', 'x', { qos: 1 })
      expect(await again.quiet()).toEqual([])
    },
  )

  it('[MQTT-3.8.4-1] SUBSCRIBE is answered with SUBACK', async () => {
    const client = await connectClient(await startBroker())
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] })
    expect((await client.quiet()).map(({ cmd }) => cmd)).toEqual(['suback'])
  })

  it('[MQTT-3.8.4-2] each SUBACK has the identifier of its SUBSCRIBE', async () => {
    const client = await connectClient(await startBroker())
    for (const messageId of [65_535, 1, 256]) {
      client.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: 'a', qos: 0 }] })
    }
    expect((await client.quiet()).map(({ messageId }) => messageId)).toEqual([65_535, 1, 256])
  })

  it('[MQTT-3.8.4-3] the same filter again replaces the subscription', async () => {
    const client = await connectClient(await startBroker())
    expect((await client.subscribe('a/+', 2)).granted).toEqual([2])
    expect((await client.subscribe('a/+', 0)).granted).toEqual([0])
    await client.publish('a/b', 'x', { qos: 2 })
    expect(await client.nextMessage()).toMatchObject({ text: 'x', qos: 0 })
    expect(await client.quiet()).toEqual([])
    await client.unsubscribe('a/+')
    await client.publish('a/b', 'x', { qos: 2 })
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-3.8.4-3] its retained messages come again', async () => {
    const client = await connectClient(await startBroker())
    await client.publish('a', 'retained', { qos: 1, retain: true })
    for (let i = 0; i < 3; i++) {
      await client.subscribe('a', 0)
      expect(await client.nextMessage()).toMatchObject({ text: 'retained', retain: true })
    }
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-3.8.4-3] no message is missed while a subscription is replaced', async () => {
    const broker = await startBroker()
    const subscriber = await connectClient(broker)
    await subscriber.subscribe('a', 0)
    const publisher = await connectClient(broker)
    const count = 200
    for (let i = 0; i < count; i++) {
      publisher.sendPublish('a', String(i), { qos: 0 })
      if (i % 10 === 0) await subscriber.subscribe('a', i % 20 === 0 ? 1 : 0)
    }
    await publisher.quiet()
    const texts = (await subscriber.quiet()).map((message) => message.cmd === 'publish' && message.payload.toString())
    expect(texts).toEqual(Array.from({ length: count }, (_, i) => String(i)))
  })

  it('[MQTT-3.8.4-4] several filters work like several packets, with one SUBACK', async () => {
    const client = await connectClient(await startBroker())
    await client.publish('c', 'retained', { qos: 1, retain: true })
    const subscriptions = [
      { topic: 'a', qos: 0 },
      { topic: 'b', qos: 1 },
      { topic: 'c', qos: 2 },
    ] as const
    client.send({ cmd: 'subscribe', messageId: 9, subscriptions: [...subscriptions] })
    expect((await client.quiet()).map(({ cmd }) => cmd)).toEqual(['suback', 'publish'])
    for (const { topic, qos } of subscriptions) {
      await client.publish(topic, 'x', { qos: 2 })
      expect(await client.nextMessage()).toMatchObject({ topic, text: 'x', qos })
    }
  })

  it('[MQTT-3.8.4-4] the later of two equal filters in one packet holds', async () => {
    const client = await connectClient(await startBroker())
    const subscriptions = [
      { topic: 'a', qos: 2 },
      { topic: 'a', qos: 0 },
    ] as const
    client.send({ cmd: 'subscribe', messageId: 9, subscriptions: [...subscriptions] })
    expect(await client.next('suback')).toMatchObject({ granted: [2, 0] })
    await client.publish('a', 'x', { qos: 2 })
    expect(await client.nextMessage()).toMatchObject({ qos: 0 })
    expect(await client.quiet()).toEqual([])
  })

  it.each([
    ['at once', (granted: boolean | { qos: 1 }) => granted],
    ['later', (granted: boolean | { qos: 1 }) => Promise.resolve(granted)],
  ])('[MQTT-3.8.4-5] SUBACK says for each filter what was granted %s, or failure', async (_when, say) => {
    const broker = await startBroker({
      authorizeSubscribe: (_client, { filter }) => say(filter === 'lowered' ? { qos: 1 } : filter !== 'refused'),
    })
    const client = await connectClient(broker)
    const { granted } = await client.subscribe(['open', 'refused', 'lowered'], 2)
    expect(granted).toEqual([2, 0x80, 1])
    for (const topic of ['open', 'refused', 'lowered']) await client.publish(topic, 'x', { qos: 2 })
    const messages = (await client.quiet()).filter((message) => message.cmd === 'publish')
    expect(messages.map(({ topic, qos }) => [topic, qos])).toEqual([
      ['open', 2],
      ['lowered', 1],
    ])
  })

  it.each([0, 1, 2] as const)('[MQTT-3.8.4-6] a subscription of QoS %i gets the lower of both QoS', async (granted) => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', granted)
    for (const qos of [0, 1, 2] as const) {
      await client.publish('a', 'x', { qos })
      const message = await client.nextMessage()
      expect(message.qos).toBe(Math.min(qos, granted))
      await client.acknowledge(message.packet)
    }
    expect(await client.quiet()).toEqual([])
  })
})

describe('MQTT 3.1.1 section 3.9, SUBACK', () => {
  it('[MQTT-3.9.3-1] return codes have the order of the filters', async () => {
    const broker = await startBroker({
      // the first answers come last
      authorizeSubscribe: async (_client, { filter }) => {
        for (let turns = 0; turns < 10 - Number(filter); turns++) await Promise.resolve()
        return filter !== '4'
      },
    })
    const client = await connectClient(broker)
    const subscriptions = [2, 0, 1, 2, 2, 0].map((qos, i) => ({ topic: String(i), qos: qos as 0 | 1 | 2 }))
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions })
    expect(await client.next('suback')).toMatchObject({ granted: [2, 0, 1, 2, 0x80, 0] })
  })

  it.each([0x80, 0x87, 0x8f, 0x97, 0xa2, 0x9e])(
    '[MQTT-3.9.3-2] a refusal with Reason Code %i is 0x80 in SUBACK',
    async (reasonCode) => {
      const client = await connectClient(await startBroker({ authorizeSubscribe: () => ({ reasonCode }) }))
      await client.subscribe('a', 1)
      expect(client.receivedBytes.subarray(4)).toEqual(packet(0x90, u16(1), 0x80))
    },
  )
})
