import { describe, expect, it } from 'vitest'
import { block, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, open, pair, sizes } from './clients'

describe('section 2: packet format', () => {
  it('[MQTT-2.1.3-1] reserved flags of the fixed header close the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const [right, body] of [
      [0x40, u16(1)],
      [0x50, u16(1)],
      [0x62, u16(1)],
      [0x70, u16(1)],
      [0x82, Buffer.concat([u16(1), block(), string('a'), Buffer.from([0])])],
      [0xa2, Buffer.concat([u16(1), block(), string('a')])],
      [0xc0, Buffer.alloc(0)],
      [0xe0, Buffer.alloc(0)],
    ] as const) {
      for (const bit of [1, 2, 4, 8]) {
        const client = await connect(broker)
        client.sendBytes(packet(right ^ bit, body))
        expect(await lastWord(client), `first byte ${(right ^ bit).toString(16)}`).toBe(0x81)
      }
    }
  })

  it('[MQTT-2.1.3-1] reserved flags of CONNECT refuse it with 0x81', async () => {
    const broker = await startBroker()
    for (const bit of [1, 2, 4, 8]) {
      const client = await open(broker)
      client.sendBytes(packet(0x10 | bit, string('MQTT'), 5, 2, u16(0), block(), string('c')))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-2.1.3-1] the broker sends every packet with the flags that belong to it', async () => {
    const { subscriber, publisher } = await pair()
    subscriber.autoAcknowledge = true
    await subscriber.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 1 })
    await publisher.publish('a', 'x', { qos: 2 })
    await subscriber.next('publish')
    await subscriber.next('publish')
    await subscriber.unsubscribe('a')
    subscriber.sendBytes(packet(0x62, u16(77)))
    await subscriber.next('pubcomp')
    await subscriber.quiet()
    await publisher.quiet()
    const firsts = new Set([...sizes(subscriber), ...sizes(publisher)].map(({ first }) => first))
    expect([...firsts].sort((a, b) => a - b)).toEqual([0x20, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0])
  })

  it('[MQTT-2.2.1-2] a QoS 0 PUBLISH leaves without a Packet Identifier, whatever QoS came in', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 0)
    const expected = packet(0x30, string('a'), block(), Buffer.from('xyz'))
    for (const qos of [0, 1, 2] as const) {
      const before = subscriber.receivedBytes.length
      await publisher.publish('a', 'xyz', { qos })
      await subscriber.next('publish')
      expect(subscriber.receivedBytes.subarray(before)).toEqual(expected)
    }
  })

  it('[MQTT-2.2.1-3] Packet Identifier 0 closes the connection', async () => {
    const broker = await startBroker()
    for (const whole of [
      packet(0x32, string('a'), u16(0), block()),
      packet(0x34, string('a'), u16(0), block()),
      packet(0x82, u16(0), block(), string('a'), 0),
      packet(0xa2, u16(0), block(), string('a')),
    ]) {
      const client = await connect(broker)
      client.sendBytes(whole)
      expect([0x81, 0x82]).toContain(await lastWord(client))
    }
  })

  it('[MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1] messages in flight have different identifiers above 0', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('one', 1)
    await subscriber.subscribe('two', 2)
    for (let n = 0; n < 50; n++) {
      await publisher.publish('one', String(n), { qos: 1 })
      await publisher.publish('two', String(n), { qos: 2 })
    }
    const seen = new Set<number>()
    for (let n = 0; n < 100; n++) seen.add((await subscriber.next('publish')).messageId!)
    expect(seen.size).toBe(100)
    expect(seen.has(0)).toBe(false)
  })

  it('[MQTT-2.2.1-4] an identifier that is not acknowledged is passed over when the numbers come round', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 1)
    publisher.sendPublish('a', 'stays', { qos: 1 })
    const open = (await subscriber.next('publish')).messageId!
    const wire: Buffer[] = []
    let again = 0
    for (let round = 0; round < 140; round++) {
      for (let n = 0; n < 500; n++) wire.push(packet(0x32, string('a'), u16(1), block()))
      publisher.sendBytes(Buffer.concat(wire.splice(0)))
      for (let n = 0; n < 500; n++) {
        const { messageId } = await subscriber.next('publish')
        if (messageId === open || messageId === 0) again++
        subscriber.send({ cmd: 'puback', messageId: messageId! })
      }
    }
    expect(again).toBe(0)
  })

  it('[MQTT-2.2.1-5] acknowledgements carry the identifier of the PUBLISH', async () => {
    const { publisher } = await pair()
    expect(await publisher.publish('a', '', { qos: 1, messageId: 40_001 })).toMatchObject({ messageId: 40_001 })
    publisher.sendPublish('a', '', { qos: 2, messageId: 65_535 })
    expect(await publisher.next('pubrec')).toMatchObject({ messageId: 65_535 })
    expect(await publisher.release(65_535)).toMatchObject({ messageId: 65_535 })
  })

  it('[MQTT-2.2.1-5] PUBREL of the broker carries the identifier of its PUBLISH', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    await publisher.publish('a', '', { qos: 2 })
    const { messageId } = await subscriber.next('publish')
    subscriber.send({ cmd: 'pubrec', messageId: messageId! })
    expect(await subscriber.next('pubrel')).toMatchObject({ messageId })
  })

  it('[MQTT-2.2.1-6] SUBACK and UNSUBACK carry the identifier of their request', async () => {
    const { subscriber } = await pair()
    subscriber.send({ cmd: 'subscribe', messageId: 4321, subscriptions: [{ topic: 'a', qos: 0 }] })
    expect(await subscriber.next('suback')).toMatchObject({ messageId: 4321 })
    subscriber.send({ cmd: 'unsubscribe', messageId: 65_535, unsubscriptions: ['a'] })
    expect(await subscriber.next('unsuback')).toMatchObject({ messageId: 65_535 })
  })

  it('[MQTT-2.2.2-1] packets without properties have a Property Length of 0', async () => {
    const { broker, subscriber, publisher } = await pair()
    subscriber.sendBytes(packet(0x82, u16(5), block(), string('a'), 1))
    await subscriber.next('suback')
    expect(sizes(subscriber).at(-1)!.bytes).toEqual(packet(0x90, u16(5), 0, 1))
    await publisher.publish('a', 'p', { qos: 1, properties: { topicAlias: 1, messageExpiryInterval: 0xffffffff } })
    await publisher.publish('a', 'p', { qos: 1 })
    await subscriber.next('publish')
    const { messageId } = await subscriber.next('publish')
    expect(sizes(subscriber).at(-1)!.bytes).toEqual(packet(0x32, string('a'), u16(messageId!), 0, Buffer.from('p')))
    subscriber.sendBytes(packet(0xa2, u16(6), block(), string('a')))
    await subscriber.next('unsuback')
    expect(sizes(subscriber).at(-1)!.bytes).toEqual(packet(0xb0, u16(6), 0, 0))
    const refused = await open(broker)
    refused.sendBytes(packet(0x10, string('MQTT'), 5, 3, u16(0), block(), string('c')))
    await refused.closed()
    expect(refused.receivedBytes).toEqual(packet(0x20, 0, 0x81, 0))
  })

  it('[MQTT-2.2.2-1] a packet without its Property Length closes the connection with 0x81', async () => {
    const broker = await startBroker()
    const client = await connect(broker)
    client.sendBytes(packet(0x30, string('a')))
    expect(await lastWord(client)).toBe(0x81)
  })
})
