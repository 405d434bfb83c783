import { describe, expect, it } from 'vitest'
import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, startBroker } from '../../support/broker'
import { illFormed, nullCharacter } from './connect-bytes'

async function expectClosedBy(wrong: Uint8Array): Promise<void> {
  const client = await connectClient(await startBroker())
  client.sendBytes(wrong)
  await client.closed()
  expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack'])
}

const otherFlags = [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]

describe('MQTT 3.1.1 section 3.10, UNSUBSCRIBE', () => {
  it.each(otherFlags)('[MQTT-3.10.1-1] UNSUBSCRIBE with flags %i closes the connection', async (flags) => {
    await expectClosedBy(packet(0xa0 | flags, u16(1), string('a')))
  })

  it.each([...illFormed, ['U+0000', nullCharacter] as const])(
    '[MQTT-3.10.3-1] a Topic Filter with %s closes the connection',
    async (_why, field) => {
      await expectClosedBy(packet(0xa2, u16(1), string('good'), field))
    },
  )

  it('[MQTT-3.10.3-1] a byte between the filters closes the connection', async () => {
    await expectClosedBy(packet(0xa2, u16(1), string('a'), 1, string('b')))
  })

  it.each([
    ['no Topic Filter', packet(0xa2, u16(1))],
    ['no body', packet(0xa2)],
  ])('[MQTT-3.10.3-2] UNSUBSCRIBE with %s closes the connection', async (_what, wrong) => {
    await expectClosedBy(wrong)
  })

  it('[MQTT-3.10.4-1] the subscription with the same filter ends, and no other', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe(['a/b', 'a/+', 'A/b', 'a/b/'], 0)
    await client.unsubscribe('a/+')
    client.sendPublish('a/b', '1')
    client.sendPublish('a/c', '2')
    client.sendPublish('A/b', '3')
    client.sendPublish('a/b/', '4')
    expect((await client.quiet()).map((message) => message.cmd === 'publish' && message.topic)).toEqual([
      'a/b',
      'A/b',
      'a/b/',
    ])
    // a wildcard that would match a subscription's filter is not that filter
    await client.unsubscribe('#')
    await client.unsubscribe('+/b')
    client.sendPublish('a/b', '5')
    expect(await client.quiet()).toHaveLength(1)
  })

  it('[MQTT-3.10.4-1] only the subscription of the client that asks ends', async () => {
    const broker = await startBroker()
    const one = await connectClient(broker)
    const other = await connectClient(broker)
    await one.subscribe('a', 0)
    await other.subscribe('a', 0)
    await one.unsubscribe('a')
    await one.publish('a', 'x', { qos: 1 })
    expect(await other.nextMessage()).toMatchObject({ text: 'x' })
    expect(await one.quiet()).toEqual([])
  })

  it.each([0, 1, 2] as const)('[MQTT-3.10.4-2] no message of QoS %i is added after UNSUBACK', async (qos) => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', qos)
    await client.unsubscribe('a')
    await client.publish('a', 'x', { qos })
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-3.10.4-2] nor behind UNSUBSCRIBE in one write', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 1)
    client.sendBytes(bytes(packet(0xa2, u16(7), string('a')), packet(0x32, string('a'), u16(8), Buffer.from('x'))))
    expect((await client.quiet()).map(({ cmd }) => cmd)).toEqual(['unsuback', 'puback'])
  })

  it('[MQTT-3.10.4-3] messages that were sent before are completed', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { clientId: 'c', clean: false })
    await client.subscribe('a', 2)
    await client.publish('a', 'one', { qos: 1 })
    await client.publish('a', 'two', { qos: 2 })
    const one = await client.next('publish')
    const two = await client.next('publish')
    await client.unsubscribe('a')
    client.send({ cmd: 'pubrec', messageId: two.messageId! })
    expect(await client.next()).toMatchObject({ cmd: 'pubrel', messageId: two.messageId })
    await client.disconnect()
    const again = await connectClient(broker, { clientId: 'c', clean: false })
    const resent = (await again.quiet()).map(({ cmd, messageId }) => [cmd, messageId])
    expect(resent).toEqual([
      ['publish', one.messageId],
      ['pubrel', two.messageId],
    ])
  })

  it('[MQTT-3.10.4-4] UNSUBSCRIBE is answered with an UNSUBACK of the same identifier', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 0)
    client.send({ cmd: 'unsubscribe', messageId: 0xbeef, unsubscriptions: ['a'] })
    await client.next('unsuback')
    expect(client.receivedBytes.subarray(-4)).toEqual(packet(0xb0, u16(0xbeef)))
  })

  it('[MQTT-3.10.4-5] UNSUBACK comes even if there was no such subscription', async () => {
    const client = await connectClient(await startBroker())
    expect(await client.unsubscribe('never/subscribed', { messageId: 3 })).toMatchObject({ messageId: 3 })
  })

  it('[MQTT-3.10.4-6] several filters end with one UNSUBACK', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe(['a', 'b', 'c'], 0)
    client.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a', 'none', 'c'] })
    expect((await client.quiet()).map(({ cmd }) => cmd)).toEqual(['unsuback'])
    for (const topic of ['a', 'b', 'c']) client.sendPublish(topic)
    expect((await client.quiet()).map((message) => message.cmd === 'publish' && message.topic)).toEqual(['b'])
  })
})

describe('MQTT 3.1.1 section 3.12, PINGREQ', () => {
  it('[MQTT-3.12.4-1] each PINGREQ is answered with PINGRESP', async () => {
    const client = await connectClient(await startBroker())
    client.sendBytes(bytes(packet(0xc0), packet(0xc0), packet(0xc0)))
    for (let i = 0; i < 3; i++) expect(await client.next()).toMatchObject({ cmd: 'pingresp' })
    expect(client.receivedBytes.subarray(4).toString('hex')).toBe('d000'.repeat(3))
    expect(await client.quiet()).toEqual([])
  })
})

describe('MQTT 3.1.1 section 3.14, DISCONNECT', () => {
  it.each(Array.from({ length: 15 }, (_, i) => i + 1))(
    '[MQTT-3.14.1-1] DISCONNECT with flags %i is refused, so that the Will is published',
    async (flags) => {
      const broker = await startBroker()
      const watcher = await connectClient(broker)
      await watcher.subscribe('will', 0)
      const client = await connectClient(broker, { will: { topic: 'will', payload: 'gone' } })
      client.sendBytes(packet(0xe0 | flags))
      await client.closed()
      expect(await watcher.nextMessage()).toMatchObject({ text: 'gone' })
    },
  )

  it('[MQTT-3.14.4-2] nothing behind DISCONNECT is looked at', async () => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('#', 0)
    const client = await connectClient(broker)
    client.sendBytes(bytes(packet(0xe0), packet(0x30, string('a'), Buffer.from('late')), packet(0xc0)))
    await client.closed()
    expect(client.received).toHaveLength(1)
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.14.4-3] DISCONNECT discards the Will', async () => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('will', 0)
    const client = await connectClient(broker, { will: { topic: 'will', payload: 'gone', qos: 1, retain: true } })
    await client.disconnect()
    expect(await watcher.quiet()).toEqual([])
    await watcher.subscribe('will', 1)
    expect(await watcher.quiet()).toEqual([])
  })
})
