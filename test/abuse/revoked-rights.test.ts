import { describe, expect, it, vi } from 'vitest'
import type { Message } from '../../src/index'
import type { QoS } from '../../src/protocol/packet'
import { connectClient, startBroker } from '../support/broker'
import type { RawClient } from '../support/raw-client'

const patience = { timeout: 5000, interval: 10 }

const texts = (client: RawClient): string[] =>
  client.received.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))

/** A broker where `revoked` may be changed: then `reader` gets nothing of `secret` any more. */
async function guarded() {
  const rights = { revoked: false }
  const broker = await startBroker({
    authorizeDelivery: (client, { topic }) => !(rights.revoked && client.clientId === 'reader' && topic === 'secret'),
  })
  return { broker, rights }
}

describe('rights that are taken away', () => {
  it.each([
    [4, 0],
    [4, 1],
    [4, 2],
    [5, 0],
    [5, 1],
    [5, 2],
  ] as const)('from a subscriber that is connected: version %d, QoS %d', async (protocolVersion, qos) => {
    const { broker, rights } = await guarded()
    const reader = await connectClient(broker, { clientId: 'reader', protocolVersion })
    const other = await connectClient(broker, { protocolVersion })
    const publisher = await connectClient(broker, { protocolVersion })
    for (const client of [reader, other]) {
      client.autoAcknowledge = true
      await client.subscribe('#', qos)
    }
    await publisher.publish('secret', 'before', { qos })
    await publisher.quiet()
    rights.revoked = true
    await publisher.publish('secret', 'after', { qos })
    await publisher.publish('open', 'still', { qos })
    await publisher.quiet()
    await vi.waitFor(() => expect(texts(other)).toEqual(['before', 'after', 'still']), patience)
    await vi.waitFor(() => expect(texts(reader)).toEqual(['before', 'still']), patience)
    expect(broker.statistics.droppedMessages).toBe(1)
  })

  it.each([1, 2] as const)('while messages of QoS %d wait for an absent session', async (qos) => {
    const { broker, rights } = await guarded()
    const options = { clientId: 'reader', clean: false }
    const reader = await connectClient(broker, options)
    await reader.subscribe('#', qos)
    await reader.disconnect()
    const publisher = await connectClient(broker)
    for (const [topic, text] of [
      ['secret', '1'],
      ['open', '2'],
      ['secret', '3'],
    ])
      await publisher.publish(topic!, text, { qos })
    rights.revoked = true
    const again = await connectClient(broker, options)
    again.autoAcknowledge = true
    await vi.waitFor(() => expect(texts(again)).toEqual(['2']), patience)
    expect(broker.statistics.queuedMessages).toBe(0)
    while ((await again.quiet()).length > 0);
    await again.quiet()
    // nothing of it comes back with the next connection
    await again.disconnect()
    rights.revoked = false
    const last = await connectClient(broker, options)
    expect(await last.quiet()).toEqual([])
  })

  it.each([1, 2] as const)('while a message of QoS %d is in flight: it is not sent again', async (qos) => {
    const { broker, rights } = await guarded()
    const options = { clientId: 'reader', clean: false }
    const reader = await connectClient(broker, options)
    await reader.subscribe('#', qos)
    const publisher = await connectClient(broker)
    await publisher.publish('secret', 'once', { qos })
    await reader.nextMessage()
    reader.destroy()
    rights.revoked = true
    const again = await connectClient(broker, options)
    expect(await again.quiet()).toEqual([])
  })

  it('from retained messages', async () => {
    const { broker, rights } = await guarded()
    await broker.publish({ topic: 'secret', payload: 'x', retain: true })
    await broker.publish({ topic: 'open', payload: 'y', retain: true })
    rights.revoked = true
    const reader = await connectClient(broker, { clientId: 'reader' })
    await reader.subscribe('#')
    await reader.quiet()
    expect(texts(reader)).toEqual(['y'])
  })
})

describe('authorizeDelivery', () => {
  it.each<[string, (message: Message) => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['promises', () => Promise.resolve(true)],
    ['answers with 1', () => 1],
  ])('that %s keeps the message back, and the client stays', async (_what, answer) => {
    const broker = await startBroker({ authorizeDelivery: (_client, message) => answer(message) as boolean })
    const reader = await connectClient(broker)
    await reader.subscribe('#', 2)
    for (const qos of [0, 1, 2] as QoS[]) await broker.publish({ topic: 't', qos })
    expect(await reader.quiet()).toEqual([])
  })

  it('may publish, and end connections that have a Will, in the midst of a message', async () => {
    const broker = await startBroker({
      authorizeDelivery: (client, { topic }) => {
        if (topic !== 't' || client.clientId !== 'first') return true
        void broker.publish({ topic: 'u', payload: 'within', qos: 1 })
        client.disconnect()
        return false
      },
    })
    const first = await connectClient(broker, {
      clientId: 'first',
      will: { topic: 'will', payload: Buffer.from('the Will'), qos: 1, retain: false },
    })
    await first.subscribe('t', 1)
    const second = await connectClient(broker, { protocolVersion: 5 })
    second.autoAcknowledge = true
    await second.subscribe(['t', 'u', 'will'], 1)
    const publisher = await connectClient(broker)
    await publisher.publish('t', 'message', { qos: 1 })
    await vi.waitFor(() => expect(texts(second).sort()).toEqual(['message', 'the Will', 'within']), patience)
    const pairs = second.received.flatMap((packet) =>
      packet.cmd === 'publish' ? [`${packet.topic}: ${packet.payload}`] : [],
    )
    expect(pairs.sort()).toEqual(['t: message', 'u: within', 'will: the Will'])
  })
})
