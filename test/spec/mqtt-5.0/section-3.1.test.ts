import { describe, expect, it } from 'vitest'
import { block, bytes, packet, string, u16, u32 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, gone, lastWord, open, pair, persistent, sizes, timed } from './clients'

const connectOf = (flags: number, ...payload: (Uint8Array | number)[]) =>
  packet(0x10, string('MQTT'), 5, flags, u16(0), block(), ...payload)

describe('section 3.1: CONNECT', () => {
  it('[MQTT-3.1.0-1] another first packet closes the connection', async () => {
    const broker = await startBroker()
    for (const first of ['c0 00', '30 04 00 01 61 00', '82 07 00 01 00 00 01 61 00', 'e0 00', 'f0 00']) {
      const client = await open(broker)
      client.sendBytes(first)
      await client.closed()
      expect(client.receivedBytes).toHaveLength(0)
    }
  })

  it('[MQTT-3.1.0-2] a second CONNECT is a Protocol Error and closes the connection', async () => {
    const broker = await startBroker()
    const client = await connect(broker, { clientId: 'twice' })
    client.sendConnect({ clientId: 'twice', protocolVersion: 5 })
    expect(await lastWord(client)).toBe(0x82)
  })

  it('[MQTT-3.1.2-1] an unknown Protocol Name closes the connection', async () => {
    const broker = await startBroker()
    for (const name of ['mqtt', 'MQTX', '', 'MQTTMQTT', 'AMQP']) {
      const client = await open(broker)
      client.sendBytes(packet(0x10, string(name), 5, 2, u16(0), block(), string('c')))
      await client.closed()
      const answered = client.receivedBytes
      // either nothing, or a CONNACK that says "unsupported protocol version" in one of the versions' ways
      if (answered.length > 0) expect([0x84, 0x01]).toContain(answered[3])
    }
  })

  it('[MQTT-3.1.2-2] a Protocol Version that is not spoken is answered with 0x84 and the end', async () => {
    const broker = await startBroker()
    const client = await open(broker)
    client.sendBytes(packet(0x10, string('MQTT'), 6, 2, u16(0), block(), string('c')))
    expect(await lastWord(client)).toBe(0x84)
  })

  it('[MQTT-3.1.2-3] a reserved Connect Flag is answered with 0x81 and the end', async () => {
    const broker = await startBroker()
    const client = await open(broker)
    client.sendBytes(connectOf(0x03, string('c')))
    expect(await lastWord(client)).toBe(0x81)
  })

  it('[MQTT-3.1.2-4] Clean Start forgets subscriptions, queued and unacknowledged messages', async () => {
    const broker = await startBroker()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 1)
    const publisher = await connect(broker)
    await publisher.publish('a', 'unacknowledged', { qos: 1 })
    await before.next('publish')
    before.end()
    await gone(broker, 's')
    await publisher.publish('a', 'queued', { qos: 1 })
    const after = await connect(broker, { ...persistent('s'), clean: true })
    expect(after.received[0]).toMatchObject({ sessionPresent: false })
    await publisher.publish('a', 'later', { qos: 1 })
    expect(await after.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-5] without Clean Start the session goes on with all it had', async () => {
    const broker = await startBroker()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 1)
    before.sendPublish('held', 'once', { qos: 2, messageId: 9 })
    await before.next('pubrec')
    await before.disconnect()
    const publisher = await connect(broker)
    const witness = await connect(broker)
    await witness.subscribe('held')
    await publisher.publish('a', 'queued', { qos: 1 })
    const after = await connect(broker, persistent('s'))
    expect(after.received[0]).toMatchObject({ sessionPresent: true })
    expect(await after.nextMessage()).toMatchObject({ topic: 'a', text: 'queued' })
    after.sendPublish('held', 'once', { qos: 2, messageId: 9, dup: true })
    await after.next('pubrec')
    expect(await witness.quiet()).toEqual([])
    expect(await after.release(9)).toMatchObject({ messageId: 9 })
  })

  it('[MQTT-3.1.2-6] without Clean Start and without a session, a new one is made', async () => {
    const broker = await startBroker()
    const client = await connect(broker, persistent('new'))
    expect(client.received[0]).toMatchObject({ reasonCode: 0, sessionPresent: false })
    await client.subscribe('a', 1)
    await client.disconnect()
    expect((await connect(broker, persistent('new'))).received[0]).toMatchObject({ sessionPresent: true })
  })

  it('[MQTT-3.1.2-16] [MQTT-3.1.2-18] a User Name or a Password without its flag closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const flags of [0x02, 0x82, 0x42]) {
      const client = await open(broker)
      client.sendBytes(connectOf(flags, string('c'), string('one'), string('two')))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.1.2-17] [MQTT-3.1.2-19] a flag without its User Name or Password closes the connection with 0x81', async () => {
    const broker = await startBroker()
    for (const [flags, present] of [
      [0x82, []],
      [0x42, []],
      [0xc2, [string('user')]],
    ] as const) {
      const client = await open(broker)
      client.sendBytes(connectOf(flags, string('c'), ...present))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.1.2-17] [MQTT-3.1.2-19] User Name and Password reach the application, each alone and both', async () => {
    const seen: unknown[] = []
    const broker = await startBroker({
      authenticate: (_client, { username, password }) => {
        seen.push([username, password?.toString('hex')])
        return true
      },
    })
    const secret = Buffer.from([0, 1, 255])
    for (const [flags, parts] of [
      [0x82, [string('u')]],
      [0x42, [bytes(u16(3), secret)]],
      [0xc2, [string('u'), bytes(u16(3), secret)]],
      [0x02, []],
    ] as const) {
      const client = await open(broker)
      client.sendBytes(connectOf(flags, string(`c${flags}`), ...parts))
      expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
    }
    expect(seen).toEqual([
      ['u', undefined],
      [undefined, '0001ff'],
      ['u', '0001ff'],
      [undefined, undefined],
    ])
  })

  it('[MQTT-3.1.2-22] silence of one and a half times Keep Alive closes the connection with 0x8D, and the Will goes out', async () => {
    const { broker, clock } = await timed()
    const watcher = await connect(broker)
    await watcher.subscribe('will')
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 0 as const, retain: false }
    const client = await connect(broker, { keepalive: 10, will })
    clock.advance(14_000)
    await client.quiet()
    clock.advance(14_800)
    expect(client.isClosed).toBe(false)
    clock.advance(400)
    expect(await lastWord(client)).toBe(0x8d)
    expect(await watcher.nextMessage()).toMatchObject({ topic: 'will', text: 'gone' })
  })

  it('[MQTT-3.1.2-22] what the broker sends to a client does not stand in for what it hears from it', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    const client = await connect(broker, { keepalive: 10 })
    await client.subscribe('a')
    for (let n = 0; n < 3; n++) {
      clock.advance(5100)
      await publisher.publish('a', 'x')
      await publisher.quiet()
      if (n < 2) await client.next('publish')
    }
    expect(await lastWord(client)).toBe(0x8d)
  })

  it('[MQTT-3.1.2-22] a client that reads slowly and sends nothing is closed in time, too', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    const client = await connect(broker, { keepalive: 10 })
    await client.subscribe('a')
    client.pause()
    for (let n = 0; n < 32; n++) await publisher.publish('a', Buffer.alloc(1 << 20), { qos: 1 })
    clock.advance(14_000)
    client.resume()
    for (let n = 0; n < 4; n++) await client.next('publish')
    clock.advance(1_500)
    expect(await lastWord(client)).toBe(0x8d)
  })

  it('[MQTT-3.1.2-22] Keep Alive 0 never closes', async () => {
    const { broker, clock } = await timed()
    const client = await connect(broker, { keepalive: 0 })
    clock.advance(24 * 3_600_000)
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-23] a session with an expiry is kept until then', async () => {
    const { broker, clock } = await timed()
    const client = await connect(broker, persistent('s', 100))
    await client.subscribe('a', 1)
    client.end()
    await gone(broker, 's')
    const publisher = await connect(broker)
    await publisher.publish('a', 'kept', { qos: 1 })
    clock.advance(99_000)
    const back = await connect(broker, persistent('s', 100))
    expect(back.received[0]).toMatchObject({ sessionPresent: true })
    expect(await back.nextMessage()).toMatchObject({ text: 'kept' })
  })

  it('[MQTT-3.1.2-24] [MQTT-3.1.2-25] a message above Maximum Packet Size is not sent, and the next ones come', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { maximumPacketSize: 100 } })
    for (const qos of [0, 1, 2] as const) await client.subscribe(`a/${qos}`, qos)
    const roomy = 100 - 2 - 2 - 3 - 1
    for (const qos of [0, 1, 2] as const) {
      const fits = qos === 0 ? roomy : roomy - 2
      await publisher.publish(`a/${qos}`, Buffer.alloc(fits + 1), { qos })
      await publisher.publish(`a/${qos}`, Buffer.alloc(fits), { qos })
      const { payload } = await client.next('publish')
      expect(payload).toHaveLength(fits)
    }
    expect(await client.quiet()).toEqual([])
    expect(Math.max(...sizes(client).map(({ size }) => size))).toBe(100)
  })

  it('[MQTT-3.1.2-25] messages that are too large take nothing from the window', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { maximumPacketSize: 50, receiveMaximum: 2 } })
    await client.subscribe('a', 2)
    for (let n = 0; n < 10; n++) await publisher.publish('a', Buffer.alloc(100), { qos: n % 2 === 0 ? 1 : 2 })
    await publisher.publish('a', 'small', { qos: 1 })
    expect(await client.nextMessage()).toMatchObject({ text: 'small' })
  })

  it('[MQTT-3.1.2-24] retained, queued and Will messages above Maximum Packet Size are not sent either', async () => {
    const broker = await startBroker()
    const publisher = await connect(broker)
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a/#', 1)
    await before.disconnect()
    await publisher.publish('a/queued', Buffer.alloc(200), { qos: 1 })
    await publisher.publish('a/retained', Buffer.alloc(200), { qos: 1, retain: true })
    const client = await connect(broker, { ...persistent('s'), properties: { maximumPacketSize: 60 } })
    await client.subscribe('a/#', 1)
    await publisher.publish('a/last', 'fits', { qos: 1 })
    expect(await client.nextMessage()).toMatchObject({ topic: 'a/last' })
    expect(Math.max(...sizes(client).map(({ size }) => size))).toBeLessThanOrEqual(60)
  })

  it('[MQTT-3.1.2-24] a SUBACK or CONNACK above Maximum Packet Size is not sent', async () => {
    const broker = await startBroker()
    const client = await connect(broker, { properties: { maximumPacketSize: 40 } })
    client.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: Array.from({ length: 60 }, (_, n) => ({ topic: `t/${n}`, qos: 0 })),
    })
    expect(await lastWord(client)).toBe(0x95)
    expect(Math.max(...sizes(client).map(({ size }) => size))).toBeLessThanOrEqual(40)
    const nameless = await open(broker)
    nameless.sendConnect({ clientId: '', properties: { maximumPacketSize: 10 } })
    expect(await lastWord(nameless)).toBe(0x95)
    expect(nameless.receivedBytes.length).toBeLessThanOrEqual(10)
    expect(broker.clients.size).toBe(0)
  })

  it('[MQTT-3.1.2-26] [MQTT-3.3.2-11] aliases towards a client stay within its Topic Alias Maximum', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { topicAliasMaximum: 3 } })
    await client.subscribe('a/#')
    const names = new Map<number, string>()
    for (let n = 0; n < 60; n++) {
      const topic = `a/${(n * 7) % 9}`
      await publisher.publish(topic, 'x')
      await publisher.publish(topic, 'x')
      for (let copy = 0; copy < 2; copy++) {
        const message = await client.next('publish')
        const alias = message.properties?.topicAlias
        if (alias !== undefined) {
          expect(alias).toBeGreaterThanOrEqual(1)
          expect(alias).toBeLessThanOrEqual(3)
          if (message.topic !== '') names.set(alias, message.topic)
        }
        expect(message.topic || names.get(alias ?? 0)).toBe(topic)
      }
    }
  })

  it('[MQTT-3.1.2-27] a client without Topic Alias Maximum, or with 0, gets no aliases', async () => {
    const { broker, publisher } = await pair()
    for (const options of [{}, { properties: { topicAliasMaximum: 0 } }]) {
      const client = await connect(broker, options)
      await client.subscribe('a', 1)
      for (let n = 0; n < 5; n++) await publisher.publish('a', 'x', { qos: 1, properties: { topicAlias: 1 } })
      for (let n = 0; n < 5; n++) {
        const message = await client.next('publish')
        expect(message.topic).toBe('a')
        expect(message.properties?.topicAlias).toBeUndefined()
      }
    }
  })

  it('[MQTT-3.1.2-29] without problem information, only CONNACK, DISCONNECT and PUBLISH explain themselves', async () => {
    const explained = { reasonCode: 0x87, reasonString: 'because', userProperties: [['why', 'not']] as const }
    const broker = await startBroker({ authorizePublish: () => explained, authorizeSubscribe: () => explained })
    const client = await connect(broker, { properties: { requestProblemInformation: false } })
    await client.publish('a', 'x', { qos: 1 })
    await client.publish('a', 'x', { qos: 2 })
    await client.subscribe('a', 1)
    await client.unsubscribe('a')
    client.sendBytes(packet(0x62, u16(99)))
    await client.next('pubcomp')
    client.sendBytes(packet(0x50, u16(98)))
    await client.next('pubrel')
    expect(client.receivedBytes.includes('because')).toBe(false)
    for (const answer of client.received.slice(1)) {
      const { properties } = answer as { properties?: { reasonString?: string; userProperties?: unknown } }
      expect(properties?.reasonString).toBeUndefined()
      expect(properties?.userProperties).toBeUndefined()
    }
  })

  it('[MQTT-3.1.4-1] a CONNECT of the wrong form closes the connection', async () => {
    const broker = await startBroker()
    const good = connectOf(0x02, string('c'))
    for (const bad of [
      packet(0x10),
      packet(0x10, string('MQTT')),
      packet(0x10, string('MQTT'), 5),
      packet(0x10, string('MQTT'), 5, 2, 0),
      packet(0x10, string('MQTT'), 5, 2, u16(0)),
      packet(0x10, string('MQTT'), 5, 2, u16(0), block()),
      packet(0x10, string('MQTT'), 5, 2, u16(0), block(), u16(5), 0x61),
      packet(0x10, string('MQTT'), 5, 2, u16(0), 4, 17, string('c')),
      packet(0x10, good.subarray(2), 0),
      packet(0x10, string('MQTT'), 5, 2, u16(0), block(bytes(1, 1)), string('c')),
      packet(0x10, string('MQTT'), 5, 2, u16(0), block(bytes(17, u32(1)), bytes(17, u32(1))), string('c')),
    ]) {
      const client = await open(broker)
      client.sendBytes(bad)
      await client.closed()
      expect(client.received.filter((answer) => answer.cmd === 'connack' && answer.reasonCode === 0)).toEqual([])
    }
  })

  it('[MQTT-3.1.4-2] a CONNECT that the application refuses is closed', async () => {
    const broker = await startBroker({ authenticate: (_client, { username }) => username === 'friend' })
    const stranger = await open(broker)
    stranger.sendConnect({ username: 'stranger', password: 'x' })
    expect(await lastWord(stranger)).toBe(0x86)
    expect((await connect(broker, { username: 'friend', password: 'x' })).received[0]).toMatchObject({ reasonCode: 0 })
  })

  it('[MQTT-3.1.4-3] a second connection with the Client Identifier ends the first with 0x8E', async () => {
    const broker = await startBroker()
    const first = await connect(broker, { clientId: 'same' })
    const second = await connect(broker, { clientId: 'same' })
    expect(await lastWord(first)).toBe(0x8e)
    expect(await second.quiet()).toEqual([])
  })

  it('[MQTT-3.1.4-4] a second connection with Clean Start ends the first and its session', async () => {
    const broker = await startBroker()
    const first = await connect(broker, persistent('same'))
    await first.subscribe('a')
    const second = await connect(broker, { ...persistent('same'), clean: true })
    expect(second.received[0]).toMatchObject({ sessionPresent: false })
    const third = await connect(broker, persistent('same'))
    expect(third.received[0]).toMatchObject({ sessionPresent: true })
    await third.publish('a', 'nobody')
    expect(await third.quiet()).toEqual([])
  })

  it('[MQTT-3.1.4-5] an accepted CONNECT is answered with CONNACK 0x00', async () => {
    const broker = await startBroker()
    expect((await connect(broker)).received).toMatchObject([{ cmd: 'connack', reasonCode: 0 }])
  })

  it('[MQTT-3.1.4-6] what follows a refused CONNECT is not acted upon', async () => {
    const broker = await startBroker({ authenticate: async (_client, { username }) => username !== 'stranger' })
    const watcher = await connect(broker)
    await watcher.subscribe('#')
    const stranger = await open(broker)
    stranger.sendConnect({ username: 'stranger' })
    stranger.sendPublish('a', 'smuggled', { retain: true })
    stranger.sendPublish('a', 'smuggled', { qos: 1, retain: true })
    expect(await lastWord(stranger)).toBe(0x86)
    expect(await watcher.quiet()).toEqual([])
    expect(await (await connect(broker)).subscribe('a')).toBeDefined()
    const late = await connect(broker)
    await late.subscribe('a')
    expect(await late.quiet()).toEqual([])
  })
})
