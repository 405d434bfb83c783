import { describe, expect, it } from 'vitest'
import { block, bytes, packet, string, u16, u32, userProperty } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, pair, persistent, sizes, timed } from './clients'

describe('section 3.3.2: Topic Name and properties of PUBLISH', () => {
  it('[MQTT-3.3.2-1] a PUBLISH whose Topic Name is missing or cut short closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const whole of [packet(0x30), packet(0x30, 0), packet(0x30, u16(5), 0x61), packet(0x32, string('a'), 0)]) {
      const client = await connect(broker)
      client.sendBytes(whole)
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.3.2-2] a wildcard in a Topic Name closes the connection, and reaches nobody', async () => {
    const { broker, subscriber } = await pair()
    await subscriber.subscribe('#')
    for (const topic of ['#', 'a/#', '+', 'a/+/b', 'a+', 'b#c']) {
      for (const retain of [0, 1]) {
        const client = await connect(broker)
        client.sendBytes(packet(0x30 | retain, string(topic), block(), 0x61))
        expect(await lastWord(client)).toBe(0x81)
      }
    }
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.2-3] a subscriber gets the Topic Name that was published, if its filter matches', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe(['a/+', 'b/#', 'c'])
    for (const topic of ['a/b', 'a', 'a/b/c', 'b', 'b/c/d', 'c', 'c/d', 'd', 'a/'])
      await publisher.publish(topic, topic)
    for (const topic of ['a/b', 'b', 'b/c/d', 'c', 'a/'])
      expect(await subscriber.nextMessage()).toMatchObject({ topic, text: topic })
    await publisher.quiet()
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.2-4] Payload Format Indicator is passed on as it came', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 1)
    for (const qos of [0, 1] as const) {
      for (const value of [0, 1]) {
        publisher.sendBytes(packet(0x30 | (qos << 1), string('a'), ...(qos ? [u16(1)] : []), block(bytes(1, value))))
        await subscriber.next('publish')
        expect(
          sizes(subscriber)
            .at(-1)!
            .bytes.includes(block(bytes(1, value))),
        ).toBe(true)
      }
    }
    await publisher.publish('a', 'x')
    expect((await subscriber.next('publish')).properties?.payloadFormatIndicator).toBeUndefined()
  })

  it('[MQTT-3.3.2-5] an expired message is not delivered to a client that comes back too late', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 2)
    await before.disconnect()
    for (const qos of [1, 2] as const) {
      await publisher.publish('a', 'short', { qos, properties: { messageExpiryInterval: 10 } })
      await publisher.publish('a', 'long', { qos, properties: { messageExpiryInterval: 100 } })
    }
    clock.advance(11_000)
    const after = await connect(broker, persistent('s'))
    expect(await after.nextMessage()).toMatchObject({ text: 'long', qos: 1 })
    expect(await after.nextMessage()).toMatchObject({ text: 'long', qos: 2 })
    expect(await after.quiet()).toEqual([])
  })

  it('[MQTT-3.3.2-5] an expired message that waits for the window is dropped', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    const subscriber = await connect(broker, { properties: { receiveMaximum: 1 } })
    await subscriber.subscribe('a', 1)
    await publisher.publish('a', 'first', { qos: 1 })
    await publisher.publish('a', 'expires', { qos: 1, properties: { messageExpiryInterval: 5 } })
    await publisher.publish('a', 'last', { qos: 1 })
    const first = await subscriber.next('publish')
    clock.advance(6_000)
    await subscriber.acknowledge(first)
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'last' })
  })

  it('[MQTT-3.3.2-5] an expired retained message is not sent to new subscribers', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    await publisher.publish('a', 'kept', { qos: 1, retain: true, properties: { messageExpiryInterval: 10 } })
    clock.advance(9_000)
    const early = await connect(broker)
    await early.subscribe('a')
    expect(await early.nextMessage()).toMatchObject({ text: 'kept' })
    clock.advance(2_000)
    const late = await connect(broker)
    await late.subscribe('a')
    expect(await late.quiet()).toEqual([])
  })

  it('[MQTT-3.3.2-6] the Message Expiry Interval says what is left after waiting', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a/#', 1)
    await before.disconnect()
    await publisher.publish('a/queued', 'x', { qos: 1, properties: { messageExpiryInterval: 100 } })
    await publisher.publish('a/kept', 'x', { qos: 1, retain: true, properties: { messageExpiryInterval: 100 } })
    clock.advance(40_000)
    const after = await connect(broker, persistent('s'))
    for (let n = 0; n < 2; n++)
      expect((await after.next('publish')).properties).toMatchObject({ messageExpiryInterval: 60 })
    clock.advance(10_000)
    await after.subscribe('a/kept', 1)
    expect((await after.next('publish')).properties).toMatchObject({ messageExpiryInterval: 50 })
  })

  it('[MQTT-3.3.2-6] a message that did not wait keeps its Message Expiry Interval, for every kind of receiver', async () => {
    const { broker } = await timed()
    const publisher = await connect(broker)
    for (const qos of [0, 1, 2] as const) {
      const subscriber = await connect(broker)
      await subscriber.subscribe('a', qos)
      await publisher.publish('a', 'x', { qos: 2, properties: { messageExpiryInterval: 7 } })
      expect((await subscriber.next('publish')).properties).toMatchObject({ messageExpiryInterval: 7 })
    }
  })

  it('[MQTT-3.3.2-7] an alias means nothing on the next connection, in either direction', async () => {
    const { broker, publisher } = await pair()
    const watcher = await connect(broker)
    await watcher.subscribe('a')
    const client = await connect(broker, persistent('s'))
    client.sendPublish('a', 'named', { properties: { topicAlias: 1 } })
    client.sendPublish('', 'aliased', { properties: { topicAlias: 1 } })
    expect(await watcher.nextMessage()).toMatchObject({ topic: 'a', text: 'named' })
    expect(await watcher.nextMessage()).toMatchObject({ topic: 'a', text: 'aliased' })
    await client.disconnect()
    const again = await connect(broker, persistent('s'))
    again.sendPublish('', 'lost', { properties: { topicAlias: 1 } })
    expect(await lastWord(again)).toBe(0x82)
    expect(await watcher.quiet()).toEqual([])
    const options = { ...persistent('t'), properties: { sessionExpiryInterval: 100, topicAliasMaximum: 5 } }
    for (let n = 0; n < 2; n++) {
      const receiver = await connect(broker, options)
      await receiver.subscribe('b', 1)
      await publisher.publish('b', 'x', { qos: 1 })
      expect((await receiver.next('publish')).topic).toBe('b')
      for (let more = 0; more < 3; more++) {
        await publisher.publish('b', 'x', { qos: 1 })
        await receiver.next('publish')
      }
      receiver.autoAcknowledge = true
      await receiver.disconnect()
    }
  })

  it('[MQTT-3.3.2-8] Topic Alias 0 closes the connection with 0x94', async () => {
    const { publisher } = await pair()
    publisher.sendBytes(packet(0x30, string('a'), block(bytes(35, u16(0))), 0x61))
    expect(await lastWord(publisher)).toBe(0x94)
  })

  it('[MQTT-3.3.2-9] a Topic Alias above the maximum closes the connection with 0x94, with a topic and without', async () => {
    const broker = await startBroker({ limits: { topicAliasMaximum: 10 } })
    for (const topic of ['a', '']) {
      const client = await connect(broker)
      client.sendPublish(topic, 'x', { properties: { topicAlias: 11 } })
      expect(await lastWord(client)).toBe(0x94)
    }
  })

  it('[MQTT-3.3.2-12] every alias from 1 to the maximum is accepted, and may be given anew', async () => {
    const { subscriber, publisher } = await pair({ limits: { topicAliasMaximum: 65_535 } })
    await subscriber.subscribe('a/#', 1)
    const aliases = [1, 2, 255, 256, 32_768, 65_535]
    for (const topicAlias of aliases) publisher.sendPublish(`a/${topicAlias}`, 'named', { properties: { topicAlias } })
    for (const topicAlias of aliases) publisher.sendPublish('', 'aliased', { qos: 1, properties: { topicAlias } })
    for (const text of ['named', 'aliased'])
      for (const topicAlias of aliases)
        expect(await subscriber.nextMessage()).toMatchObject({ topic: `a/${topicAlias}`, text })
    publisher.sendPublish('a/new', 'named', { properties: { topicAlias: 1 } })
    publisher.sendPublish('', 'aliased', { properties: { topicAlias: 1 } })
    for (const text of ['named', 'aliased'])
      expect(await subscriber.nextMessage()).toMatchObject({ topic: 'a/new', text })
  })

  it('[MQTT-3.3.2-13] [MQTT-3.3.2-19] a Response Topic or Content Type that is not UTF-8 closes with 0x81', async () => {
    const broker = await startBroker()
    for (const identifier of [8, 3]) {
      for (const text of [bytes(u16(1), 0xff), bytes(u16(2), 0x61, 0)]) {
        const client = await connect(broker)
        client.sendBytes(packet(0x30, string('a'), block(bytes(identifier, text)), 0x61))
        expect(await lastWord(client)).toBe(0x81)
      }
    }
  })

  it('[MQTT-3.3.2-14] a wildcard in a Response Topic closes the connection', async () => {
    const broker = await startBroker()
    for (const topic of ['#', 'a/+', 'a/#']) {
      const client = await connect(broker)
      client.sendBytes(packet(0x30, string('a'), block(bytes(8, string(topic))), 0x61))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it.each([
    ['live, QoS 0', 0, false],
    ['live, QoS 1', 1, false],
    ['live, QoS 2', 2, false],
    ['retained', 1, true],
  ] as const)(
    '[MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] properties arrive as they were sent: %s',
    async (_name, qos, retain) => {
      const { subscriber, publisher } = await pair()
      const users = [userProperty('b', '1'), userProperty('a', ''), userProperty('', 'x'), userProperty('b', '1')]
      const others = [
        bytes(8, string('answers/1')),
        bytes(9, u16(4), Buffer.from([0, 255, 35, 11])),
        bytes(3, string('text/ü')),
      ]
      const properties = block(users[0]!, others[0]!, users[1]!, others[1]!, others[2]!, users[2]!, users[3]!)
      if (!retain) await subscriber.subscribe('a', 2)
      const identifier = qos > 0 ? [u16(1)] : []
      publisher.sendBytes(packet(0x30 | (qos << 1) | (retain ? 1 : 0), string('a'), ...identifier, properties, 0x61))
      await publisher.quiet()
      if (retain) await subscriber.subscribe('a', 2)
      const message = await subscriber.next('publish')
      expect(message.properties).toMatchObject({
        responseTopic: 'answers/1',
        correlationData: Buffer.from([0, 255, 35, 11]),
        contentType: 'text/ü',
      })
      const wire = sizes(subscriber).at(-1)!.bytes
      const at = users.map((user) => wire.indexOf(user))
      expect(at.every((offset) => offset > 0)).toBe(true)
      expect([
        wire.indexOf(users[0]!),
        wire.indexOf(users[1]!),
        wire.indexOf(users[2]!),
        wire.lastIndexOf(users[3]!),
      ]).toEqual([...at.slice(0, 3), wire.lastIndexOf(users[3]!)].sort((a, b) => a - b))
      expect(wire.lastIndexOf(users[3]!)).toBeGreaterThan(at[2]!)
    },
  )

  it('[MQTT-3.3.2-17] [MQTT-3.3.2-18] User Properties survive an alias, an expiry and a queue in their order', async () => {
    const { broker, publisher } = await pair()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 1)
    await before.disconnect()
    const users = bytes(userProperty('z', '1'), userProperty('a', '2'), userProperty('z', '1'))
    const content = block(bytes(2, u32(1000)), users, bytes(35, u16(1)))
    publisher.sendBytes(packet(0x32, string('a'), u16(1), content, 0x61))
    await publisher.next('puback')
    const after = await connect(broker, persistent('s'))
    await after.next('publish')
    expect(sizes(after).at(-1)!.bytes.includes(users)).toBe(true)
  })
})
