import { describe, expect, it } from 'vitest'
import { binary, block, bytes, packet, string, u16, userProperty } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, open, pair } from './clients'

const surrogate = binary(Buffer.from([0x61, 0xed, 0xa0, 0x80]))
const nul = binary(Buffer.from([0x61, 0x00]))

describe('section 1.5: data representation', () => {
  it('[MQTT-1.5.4-1] an ill-formed string or a surrogate closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const text of [surrogate, binary(Buffer.from([0xff])), binary(Buffer.from([0xc0, 0xaf]))]) {
      const client = await connect(broker)
      client.sendBytes(packet(0x82, u16(1), block(), text, 0))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-1.5.4-1] an ill-formed Topic Name closes the connection', async () => {
    const broker = await startBroker()
    const client = await connect(broker)
    client.sendBytes(packet(0x30, surrogate, block(), 0x61))
    expect(await lastWord(client)).toBe(0x81)
  })

  it('[MQTT-1.5.4-2] U+0000 in a string closes the connection', async () => {
    const broker = await startBroker()
    const subscribing = await connect(broker)
    subscribing.sendBytes(packet(0x82, u16(1), block(), nul, 0))
    expect(await lastWord(subscribing)).toBe(0x81)
    const connecting = await open(broker)
    connecting.sendBytes(packet(0x10, string('MQTT'), 5, 2, u16(0), block(), nul))
    expect(await lastWord(connecting)).toBe(0x81)
  })

  it('[MQTT-1.5.4-3] EF BB BF at the start of a topic is part of the topic', async () => {
    const { subscriber, publisher } = await pair()
    const marked = String.fromCharCode(0xfeff)
    await subscriber.subscribe([`${marked}a`, 'a'])
    await publisher.publish('a', 'without')
    await publisher.publish(`${marked}a`, `${marked}with`, { properties: { contentType: `${marked}t` } })
    expect(await subscriber.nextMessage()).toMatchObject({ topic: 'a', text: 'without' })
    const { packet: second } = await subscriber.nextMessage()
    expect(second.topic).toHaveLength(2)
    expect(subscriber.receivedBytes.includes(string(`${marked}a`))).toBe(true)
    expect(subscriber.receivedBytes.includes(string(`${marked}t`))).toBe(true)
  })

  it('[MQTT-1.5.5-1] a padded Remaining Length or Property Length closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const padded of [
      Buffer.from([0xc0, 0x80, 0x00]),
      packet(0x30, string('a'), 0x80, 0x00, 0x61),
      packet(0x82, u16(1), 0x80, 0x00, string('a'), 0),
      packet(0x82, u16(1), block(bytes(11, 0x81, 0x00)), string('a'), 0),
    ]) {
      const client = await connect(broker)
      client.sendBytes(padded)
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-1.5.5-1] the broker writes each length in as few bytes as it can', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a')
    for (const size of [1, 121, 122, 123, 124, 125, 16_377, 16_378, 16_379, 16_380]) {
      const before = subscriber.receivedBytes.length
      await publisher.publish('a', Buffer.alloc(size))
      await subscriber.next('publish')
      const sent = subscriber.receivedBytes.subarray(before)
      expect(sent.length).toBe(packet(0x30, string('a'), block(), Buffer.alloc(size)).length)
    }
  })

  it('[MQTT-1.5.7-1] a User Property with an ill-formed name or value closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const pairOf of [bytes(38, surrogate, string('v')), bytes(38, string('n'), nul)]) {
      const subscribing = await connect(broker)
      subscribing.sendBytes(packet(0x82, u16(1), block(pairOf), string('a'), 0))
      expect(await lastWord(subscribing)).toBe(0x81)
      const publishing = await connect(broker)
      publishing.sendBytes(packet(0x30, string('a'), block(pairOf), 0x61))
      expect(await lastWord(publishing)).toBe(0x81)
    }
    const fine = await connect(broker)
    fine.sendBytes(packet(0x82, u16(1), block(userProperty('n', 'v')), string('a'), 0))
    expect(await fine.next('suback')).toMatchObject({ granted: [0] })
  })
})
