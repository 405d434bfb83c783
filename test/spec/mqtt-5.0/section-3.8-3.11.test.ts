import { describe, expect, it } from 'vitest'
import { block, bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, pair, persistent, sizes } from './clients'

describe('section 3.8: SUBSCRIBE', () => {
  it('[MQTT-3.8.1-1] SUBSCRIBE with other flags closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const first of [0x80, 0x81, 0x83, 0x86, 0x8a]) {
      const client = await connect(broker)
      client.sendBytes(packet(first, u16(1), block(), string('a'), 0))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.8.3-1] a Topic Filter that is not UTF-8 closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const filter of [bytes(u16(1), 0xff), bytes(u16(2), 0x61, 0), bytes(u16(3), 0xed, 0xbf, 0xbf)]) {
      const client = await connect(broker)
      client.sendBytes(packet(0x82, u16(1), block(), string('fine'), 0, filter, 0))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.8.3-2] a SUBSCRIBE without a Topic Filter closes the connection with 0x82', async () => {
    const broker = await startBroker()
    const client = await connect(broker)
    client.sendBytes(packet(0x82, u16(1), block()))
    expect(await lastWord(client)).toBe(0x82)
  })

  it('[MQTT-3.8.3-3] No Local keeps a message from the client that published it, and from no other', async () => {
    const { broker, subscriber, publisher } = await pair()
    for (const qos of [0, 1, 2] as const) {
      publisher.autoAcknowledge = subscriber.autoAcknowledge = true
      await publisher.subscribe(`n/${qos}`, qos, { nl: true })
      await subscriber.subscribe(`n/${qos}`, qos, { nl: true })
      await publisher.publish(`n/${qos}`, 'x', { qos })
      expect(await subscriber.nextMessage()).toMatchObject({ topic: `n/${qos}` })
      expect((await publisher.quiet()).filter(({ cmd }) => cmd === 'publish')).toEqual([])
    }
    const other = await connect(broker)
    await other.publish('n/0', 'from another')
    expect(await publisher.nextMessage()).toMatchObject({ text: 'from another' })
  })

  it('[MQTT-3.8.3-3] without No Local a client gets its own messages', async () => {
    const { publisher } = await pair()
    await publisher.subscribe('a', 1)
    await publisher.publish('a', 'mine', { qos: 1 })
    expect(await publisher.nextMessage()).toMatchObject({ text: 'mine' })
  })

  it('[MQTT-3.8.3-3] No Local goes by the Client Identifier, also after the session was resumed', async () => {
    const broker = await startBroker()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 1, { nl: true })
    await before.disconnect()
    const after = await connect(broker, persistent('s'))
    await after.publish('a', 'mine', { qos: 1 })
    expect(await after.quiet()).toEqual([])
  })

  it('[MQTT-3.8.3-4] No Local on a Shared Subscription closes the connection with 0x82', async () => {
    const broker = await startBroker()
    const client = await connect(broker)
    client.sendBytes(packet(0x82, u16(1), block(), string('$share/g/a'), 4))
    expect(await lastWord(client)).toBe(0x82)
  })

  it('[MQTT-3.8.3-5] reserved bits of the Subscription Options close the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const options of [0x40, 0x80, 0xc1]) {
      const client = await connect(broker)
      client.sendBytes(packet(0x82, u16(1), block(), string('a'), options))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.8.4-1] [MQTT-3.8.4-2] each SUBSCRIBE has its SUBACK with its identifier', async () => {
    const { subscriber } = await pair()
    for (const messageId of [1, 256, 65_535, 7]) {
      subscriber.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: `a/${messageId}`, qos: 1 }] })
      expect(await subscriber.quiet()).toMatchObject([{ cmd: 'suback', messageId, granted: [1] }])
    }
  })

  it('[MQTT-3.8.4-3] a second SUBSCRIBE to a filter replaces the first with all its options', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2, { rap: true, nl: true, properties: { subscriptionIdentifier: 4 } })
    await subscriber.subscribe('a', 1)
    await publisher.publish('a', 'x', { qos: 2, retain: true })
    expect(await subscriber.nextMessage()).toMatchObject({ qos: 1, retain: false })
    expect(await subscriber.quiet()).toEqual([])
    await subscriber.unsubscribe('a')
    await publisher.publish('a', 'x', { qos: 1 })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.8.4-4] replacing a subscription brings the retained message again and loses nothing on the way', async () => {
    const { subscriber, publisher } = await pair()
    subscriber.autoAcknowledge = true
    await publisher.publish('kept', 'kept', { retain: true, qos: 1 })
    await subscriber.subscribe('#', 1)
    await subscriber.next('publish')
    const texts: string[] = []
    const publishing = (async () => {
      for (let n = 0; n < 200; n++) await publisher.publish('a', String(n), { qos: 1 })
    })()
    for (let n = 0; n < 20; n++) await subscriber.subscribe('#', n % 2 === 0 ? 1 : 2)
    await publishing
    for (const other of await subscriber.quiet()) if (other.cmd === 'publish') texts.push(other.payload.toString())
    expect(texts.filter((text) => text === 'kept')).toHaveLength(20)
    expect(texts.filter((text) => text !== 'kept')).toEqual(Array.from({ length: 200 }, (_, n) => String(n)))
  })

  it('[MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.9.3-1] several filters give one SUBACK with a code for each, in order', async () => {
    const { subscriber, publisher } = await pair()
    const filters = [
      string('a'),
      2,
      string('b/'.repeat(200)),
      1,
      string('b'),
      0,
      string('c/'.repeat(200)),
      0,
      string('a'),
      1,
      string('d'),
      2,
    ]
    subscriber.sendBytes(packet(0x82, u16(9), block(), ...filters))
    expect(await subscriber.quiet()).toMatchObject([{ cmd: 'suback', messageId: 9, granted: [2, 0x8f, 0, 0x8f, 1, 2] }])
    await publisher.publish('a', 'x', { qos: 2 })
    expect(await subscriber.nextMessage()).toMatchObject({ qos: 1 })
    await publisher.publish('d', 'x', { qos: 2 })
    expect(await subscriber.nextMessage()).toMatchObject({ qos: 2 })
  })

  it('[MQTT-3.8.4-5] the same filter twice in one SUBSCRIBE brings retained messages like two SUBSCRIBEs', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('a', 'kept', { retain: true, qos: 1 })
    subscriber.sendBytes(packet(0x82, u16(1), block(), string('a'), 0x10, string('a'), 0x10, string('a'), 0x00))
    await subscriber.next('suback')
    expect((await subscriber.quiet()).filter(({ cmd }) => cmd === 'publish')).toHaveLength(2)
  })

  it('[MQTT-3.8.4-7] [MQTT-3.9.3-2] the code of each filter is the granted QoS, or the failure that the application names', async () => {
    const allowed = new Set([0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2])
    const codes = [...allowed, 0x81, 0x82, 0x86, 0x90, 0x92, 0x99, 0x9b, 0xff]
    const broker = await startBroker({
      authorizeSubscribe: (_client, { filter }) => {
        if (filter.startsWith('deny/')) return { reasonCode: Number(filter.slice(5)) }
        return filter.startsWith('lower/') ? { qos: Number(filter.slice(6)) as 0 | 1 | 2 } : true
      },
    })
    const client = await connect(broker)
    expect((await client.subscribe(['lower/0', 'lower/1', 'lower/2', 'same'], 2)).granted).toEqual([0, 1, 2, 2])
    expect((await client.subscribe('lower/2', 1)).granted).toEqual([1])
    for (const code of codes) {
      const [granted] = (await client.subscribe(`deny/${code}`, 1)).granted
      expect(allowed.has(Number(granted)), `${code} became ${String(granted)}`).toBe(true)
      if (allowed.has(code)) expect(granted).toBe(code)
    }
    await client.publish('deny/128', 'x', { qos: 1 })
    expect((await client.quiet()).filter(({ cmd }) => cmd === 'publish')).toEqual([])
  })

  it('[MQTT-3.8.4-8] a message comes with the lower of its QoS and the granted one', async () => {
    const { subscriber, publisher } = await pair()
    for (const granted of [0, 1, 2] as const) {
      await subscriber.subscribe('a', granted)
      for (const qos of [0, 1, 2] as const) {
        await publisher.publish('a', 'x', { qos })
        const { packet: message } = await subscriber.nextMessage()
        expect(message.qos).toBe(Math.min(qos, granted))
        await subscriber.acknowledge(message)
      }
    }
  })

  it('[MQTT-3.8.4-8] a retained message comes with the lower of its QoS and the granted one', async () => {
    const { subscriber, publisher } = await pair()
    for (const qos of [0, 1, 2] as const) {
      await publisher.publish('a', 'kept', { qos, retain: true })
      await publisher.quiet()
      for (const granted of [0, 1, 2] as const) {
        await subscriber.subscribe('a', granted)
        const { packet: message } = await subscriber.nextMessage()
        expect(message.qos).toBe(Math.min(qos, granted))
        await subscriber.acknowledge(message)
        await subscriber.unsubscribe('a')
      }
    }
  })
})

describe('section 3.9: SUBACK', () => {
  it.each([
    ['[MQTT-3.9.2-1] a Reason String', { reasonCode: 0x87, reasonString: 'r'.repeat(40) }],
    ['[MQTT-3.9.2-2] User Properties', { reasonCode: 0x87, userProperties: [['n', 'v'.repeat(40)]] }],
  ] as const)('%s that would make SUBACK too large is left out', async (_name, denial) => {
    const broker = await startBroker({ authorizeSubscribe: () => denial })
    for (const maximumPacketSize of [30, 47, 48, 49, 50, 51, 52, 100]) {
      const client = await connect(broker, { properties: { maximumPacketSize } })
      expect((await client.subscribe('a')).granted).toEqual([0x87])
      for (const { size } of sizes(client)) expect(size).toBeLessThanOrEqual(maximumPacketSize)
    }
  })
})

describe('section 3.10: UNSUBSCRIBE', () => {
  it('[MQTT-3.10.1-1] UNSUBSCRIBE with other flags closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const first of [0xa0, 0xa1, 0xa3, 0xa6, 0xaa]) {
      const client = await connect(broker)
      client.sendBytes(packet(first, u16(1), block(), string('a')))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.10.3-1] a Topic Filter that is not UTF-8 closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const filter of [bytes(u16(1), 0xff), bytes(u16(2), 0x61, 0)]) {
      const client = await connect(broker)
      client.sendBytes(packet(0xa2, u16(1), block(), string('fine'), filter))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.10.3-2] an UNSUBSCRIBE without a Topic Filter closes the connection with 0x82', async () => {
    const broker = await startBroker()
    const client = await connect(broker)
    client.sendBytes(packet(0xa2, u16(1), block()))
    expect(await lastWord(client)).toBe(0x82)
  })

  it('[MQTT-3.10.4-1] only the filter that is the same to the letter is ended', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe(['a/+', 'a/#', '$share/g/a/b'])
    for (const other of ['a/b', '+/+', '#', 'A/+', 'a/+/', 'a/', '$share/h/a/b'])
      expect((await subscriber.unsubscribe(other)).granted).toEqual([0x11])
    await publisher.publish('a/b', 'x')
    await subscriber.next('publish')
    expect((await subscriber.unsubscribe(['a/+', 'a/#', '$share/g/a/b'])).granted).toEqual([0, 0, 0])
    await publisher.publish('a/b', 'x')
    await publisher.quiet()
    expect((await subscriber.quiet()).length).toBeLessThanOrEqual(1)
    await publisher.publish('a/b', 'x', { qos: 1 })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.10.4-2] after UNSUBACK no new message comes', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 1)
    await subscriber.unsubscribe('a')
    for (const qos of [0, 1, 2] as const) await publisher.publish('a', 'x', { qos })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.10.4-3] what was sent before UNSUBSCRIBE is completed, and sent again after a reconnection', async () => {
    const { broker, publisher } = await pair()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 2)
    await publisher.publish('a', 'one', { qos: 1 })
    await publisher.publish('a', 'two', { qos: 2 })
    const one = await before.next('publish')
    const two = await before.next('publish')
    await before.unsubscribe('a')
    before.send({ cmd: 'pubrec', messageId: two.messageId! })
    expect(await before.next('pubrel')).toMatchObject({ messageId: two.messageId })
    await before.disconnect()
    const after = await connect(broker, persistent('s'))
    expect(await after.next('publish')).toMatchObject({ messageId: one.messageId, dup: true })
    expect(await after.next('pubrel')).toMatchObject({ messageId: two.messageId })
  })

  it('[MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.11.3-2] UNSUBSCRIBE is answered, also where nothing was subscribed', async () => {
    const { subscriber } = await pair()
    expect(await subscriber.unsubscribe('nothing', { messageId: 300 })).toMatchObject({
      messageId: 300,
      granted: [0x11],
    })
    await subscriber.subscribe('a')
    expect(await subscriber.unsubscribe('a', { messageId: 301 })).toMatchObject({ messageId: 301, granted: [0] })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.11.3-2] UNSUBACK has no other codes than its own for filters of too many levels', async () => {
    const { subscriber } = await pair()
    subscriber.sendBytes(packet(0xa2, u16(1), block(), string('a/'.repeat(200)), string('$share/g/a')))
    const codes = (await subscriber.next('unsuback')).granted as number[]
    for (const code of codes) expect([0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]).toContain(code)
  })

  it('[MQTT-3.10.4-6] [MQTT-3.11.3-1] several filters give one UNSUBACK with their codes in order', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe(['a', 'b', 'c'])
    expect(await subscriber.unsubscribe(['c', 'x', 'a', 'a'])).toMatchObject({ granted: [0, 0x11, 0, 0x11] })
    for (const topic of ['a', 'b', 'c']) await publisher.publish(topic, 'x', { qos: 1 })
    expect(await subscriber.quiet()).toMatchObject([{ topic: 'b' }])
  })
})

describe('section 3.11: UNSUBACK', () => {
  it('[MQTT-3.11.2-1] [MQTT-3.11.2-2] UNSUBACK fits a small Maximum Packet Size', async () => {
    const broker = await startBroker()
    const client = await connect(broker, { properties: { maximumPacketSize: 20 } })
    await client.subscribe('a')
    expect((await client.unsubscribe('a')).granted).toEqual([0])
    expect((await client.unsubscribe('b/c')).granted).toEqual([0x11])
    for (const { size } of sizes(client)) expect(size).toBeLessThanOrEqual(20)
  })
})
