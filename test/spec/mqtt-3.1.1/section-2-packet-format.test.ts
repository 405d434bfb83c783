import { describe, expect, it } from 'vitest'
import { packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, openClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'
import { connectBytes } from './connect-bytes'

/** The first byte of every packet that a client has received, and all of its bytes. */
function framesOf(client: RawClient): Buffer[] {
  const frames: Buffer[] = []
  const all = client.receivedBytes
  for (let at = 0; at < all.length; ) {
    // every packet of these tests is shorter than 128 bytes
    const end = at + 2 + all[at + 1]!
    frames.push(all.subarray(at, end))
    at = end
  }
  return frames
}

/** Packets with the flags that table 2.2 asks for, without the first byte's lower half. */
const fixedFlags: readonly (readonly [name: string, first: number, rest: Buffer])[] = [
  ['PUBACK', 0x40, u16(1)],
  ['PUBREC', 0x50, u16(1)],
  ['PUBREL', 0x62, u16(1)],
  ['PUBCOMP', 0x70, u16(1)],
  ['SUBSCRIBE', 0x82, packet(0, u16(1), string('a'), 0).subarray(2)],
  ['UNSUBSCRIBE', 0xa2, packet(0, u16(1), string('a')).subarray(2)],
  ['PINGREQ', 0xc0, Buffer.alloc(0)],
  ['DISCONNECT', 0xe0, Buffer.alloc(0)],
]

describe('MQTT 3.1.1 section 2.2.2, flags', () => {
  it('[MQTT-2.2.2-1] every packet of the server has the flags of its type', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker)
    client.autoAcknowledge = true
    await client.subscribe('a', 2)
    await client.publish('a', '1', { qos: 1 })
    await client.publish('a', '2', { qos: 2 })
    await client.quiet()
    await client.unsubscribe('a')
    await client.quiet()
    const firsts = new Set(framesOf(client).map((frame) => frame[0]!))
    // CONNACK, PUBLISH of QoS 1 and 2, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP
    expect([...firsts].sort((a, b) => a - b)).toEqual([0x20, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0])
  })

  it.each(fixedFlags)('[MQTT-2.2.2-2] %s with any other flags closes the connection', async (_name, first, rest) => {
    const broker = await startBroker()
    for (let flags = 0; flags < 16; flags++) {
      if (flags === (first & 15)) continue
      const client = await connectClient(broker)
      client.sendBytes(packet((first & 0xf0) | flags, rest))
      await client.closed()
      expect(client.received).toHaveLength(1)
    }
  })

  it('[MQTT-2.2.2-2] CONNECT with any flag closes the connection', async () => {
    const broker = await startBroker()
    for (let flags = 1; flags < 16; flags++) {
      const client = await openClient(broker)
      const wrong = connectBytes()
      wrong[0] = 0x10 | flags
      client.sendBytes(wrong)
      await client.closed()
      expect(client.received).toEqual([])
    }
  })
})

describe('MQTT 3.1.1 section 2.3.1, Packet Identifier', () => {
  it.each([
    ['SUBSCRIBE', packet(0x82, u16(0), string('a'), 0)],
    ['UNSUBSCRIBE', packet(0xa2, u16(0), string('a'))],
    ['PUBLISH of QoS 1', packet(0x32, string('a'), u16(0))],
    ['PUBLISH of QoS 2', packet(0x34, string('a'), u16(0))],
  ])('[MQTT-2.3.1-1] %s with Packet Identifier 0 closes the connection', async (_name, wrong) => {
    const client = await connectClient(await startBroker())
    client.sendBytes(wrong)
    await client.closed()
    expect(client.received).toHaveLength(1)
  })

  it.each([1, 2] as const)('[MQTT-2.3.1-1] a PUBLISH of QoS %i to a client has a Packet Identifier', async (qos) => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', qos)
    await client.publish('a', 'x', { qos })
    expect((await client.next('publish')).messageId).toBeGreaterThan(0)
  })

  it('[MQTT-2.3.1-4] messages in flight to a client have different identifiers', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 2)
    for (let i = 0; i < 50; i++) await client.publish('a', String(i), { qos: i % 2 === 0 ? 1 : 2 })
    const sent = (await client.quiet()).map((packet) => packet.messageId)
    expect(sent).toHaveLength(50)
    expect(new Set(sent).size).toBe(50)
  })

  it('[MQTT-2.3.1-4] an identifier that is in flight is not used again, however many messages pass it', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { clientId: 'c', clean: false })
    await client.subscribe('a', 1)
    await broker.publish({ topic: 'a', payload: 'kept in flight', qos: 1 })
    const kept = await client.next('publish')
    client.autoAcknowledge = true
    const seen = new Set<number>()
    for (let sent = 0; sent < 66_000; ) {
      const batch = 500
      for (let i = 0; i < batch; i++) void broker.publish({ topic: 'a', payload: 'x', qos: 1 })
      sent += batch
      for (const { messageId } of await client.quiet()) seen.add(messageId!)
      await client.quiet()
    }
    expect(seen.size).toBeGreaterThan(32_768)
    expect(seen.has(kept.messageId!)).toBe(false)
    await client.disconnect()
    const resumed = await connectClient(broker, { clientId: 'c', clean: false })
    expect(await resumed.quiet()).toMatchObject([{ cmd: 'publish', messageId: kept.messageId, payload: kept.payload }])
  })

  it('[MQTT-2.3.1-4] a PUBLISH that is sent again has the identifier that it had', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { clientId: 'again', clean: false })
    await client.subscribe('a', 1)
    await client.publish('a', 'x', { qos: 1 })
    const { messageId } = await client.next('publish')
    await client.disconnect()
    const resumed = await connectClient(broker, { clientId: 'again', clean: false })
    expect(await resumed.next('publish')).toMatchObject({ messageId, dup: true })
  })

  it('[MQTT-2.3.1-5] a PUBLISH of QoS 0 to a client has no Packet Identifier', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('ab', 1)
    client.sendPublish('ab', 'xy')
    await client.quiet()
    const publish = framesOf(client).find((frame) => frame[0]! >> 4 === 3)
    expect(publish).toEqual(packet(0x30, string('ab'), Buffer.from('xy')))
  })

  it('[MQTT-2.3.1-5] what follows the topic of a PUBLISH of QoS 0 is payload', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 0)
    client.sendBytes(packet(0x30, string('a'), u16(7), Buffer.from('x')))
    expect((await client.next('publish')).payload).toEqual(Buffer.from([0, 7, 0x78]))
  })

  it('[MQTT-2.3.1-6] PUBACK, PUBREC and PUBCOMP have the identifier of the PUBLISH', async () => {
    const client = await connectClient(await startBroker())
    client.sendPublish('a', 'x', { qos: 1, messageId: 0xabcd })
    expect(await client.next()).toMatchObject({ cmd: 'puback', messageId: 0xabcd })
    client.sendPublish('a', 'x', { qos: 2, messageId: 0xffff })
    expect(await client.next()).toMatchObject({ cmd: 'pubrec', messageId: 0xffff })
    client.send({ cmd: 'pubrel', messageId: 0xffff })
    expect(await client.next()).toMatchObject({ cmd: 'pubcomp', messageId: 0xffff })
  })

  it('[MQTT-2.3.1-6] PUBREL has the identifier of the PUBLISH', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 2)
    await client.publish('a', 'first', { qos: 2 })
    await client.publish('a', 'second', { qos: 2 })
    await client.next('publish')
    const { messageId } = await client.next('publish')
    client.send({ cmd: 'pubrec', messageId: messageId! })
    expect(await client.next()).toMatchObject({ cmd: 'pubrel', messageId })
  })

  it('[MQTT-2.3.1-7] SUBACK and UNSUBACK have the identifier of their request', async () => {
    const client = await connectClient(await startBroker())
    client.send({ cmd: 'subscribe', messageId: 0x1234, subscriptions: [{ topic: 'a', qos: 0 }] })
    expect(await client.next()).toMatchObject({ cmd: 'suback', messageId: 0x1234 })
    client.send({ cmd: 'unsubscribe', messageId: 0x4321, unsubscriptions: ['a'] })
    expect(await client.next()).toMatchObject({ cmd: 'unsuback', messageId: 0x4321 })
  })
})
