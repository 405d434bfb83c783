import { describe, expect, it } from 'vitest'
import { packet } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, open, pair, persistent, sizes, timed } from './clients'

describe('section 3.2: CONNACK', () => {
  it('[MQTT-3.2.0-1] CONNACK is the first packet, before what waits in the session', async () => {
    const broker = await startBroker()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 1)
    await before.disconnect()
    await (await connect(broker)).publish('a', 'waiting', { qos: 1 })
    const after = await connect(broker, persistent('s'))
    await after.next('publish')
    expect(after.received.map(({ cmd }) => cmd)).toEqual(['connack', 'publish'])
  })

  it('[MQTT-3.2.0-1] what is sent right behind CONNECT is answered after CONNACK', async () => {
    const broker = await startBroker({ authenticate: async () => true })
    const client = await open(broker)
    client.sendConnect({ clientId: 'eager' })
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] }, { cmd: 'pingreq' })
    await client.next('pingresp')
    expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack', 'suback', 'pingresp'])
  })

  it('[MQTT-3.2.0-2] one connection sees one CONNACK, even after a second CONNECT', async () => {
    const broker = await startBroker()
    const client = await connect(broker)
    client.sendConnect({ protocolVersion: 5 })
    await client.closed()
    expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack', 'disconnect'])
  })

  it('[MQTT-3.2.2-1] the reserved Connect Acknowledge Flags are 0', async () => {
    const broker = await startBroker({ authenticate: (_client, { username }) => username !== 'no' })
    const flags = []
    for (const options of [persistent('s'), persistent('s'), { clientId: 's' }]) {
      const client = await connect(broker, options)
      flags.push(sizes(client)[0]!.bytes[2])
      await client.disconnect()
    }
    const refused = await open(broker)
    refused.sendConnect({ username: 'no' })
    await refused.closed()
    flags.push(sizes(refused)[0]!.bytes[2])
    expect(flags).toEqual([0, 1, 0, 0])
  })

  it('[MQTT-3.2.2-2] Clean Start is answered with Session Present 0, even where there was a session', async () => {
    const broker = await startBroker()
    await (await connect(broker, persistent('s'))).disconnect()
    const [connack] = (await connect(broker, { clientId: 's', clean: true })).received
    expect(connack).toMatchObject({ reasonCode: 0, sessionPresent: false })
  })

  it('[MQTT-3.2.2-3] without Clean Start, Session Present tells whether there is a session', async () => {
    const broker = await startBroker()
    const first = await connect(broker, persistent('s'))
    expect(first.received[0]).toMatchObject({ reasonCode: 0, sessionPresent: false })
    await first.disconnect()
    const second = await connect(broker, { ...persistent('s'), properties: { sessionExpiryInterval: 0 } })
    expect(second.received[0]).toMatchObject({ reasonCode: 0, sessionPresent: true })
    await second.disconnect()
    expect((await connect(broker, persistent('s'))).received[0]).toMatchObject({ sessionPresent: false })
  })

  it('[MQTT-3.2.2-6] [MQTT-3.2.2-7] a refusal has Session Present 0 and ends the connection', async () => {
    const broker = await startBroker({ authenticate: (_client, { username }) => username === 'yes' })
    await (await connect(broker, { ...persistent('s'), username: 'yes' })).disconnect()
    const refused = await open(broker)
    refused.sendConnect({ ...persistent('s'), username: 'no' })
    await refused.closed()
    expect(refused.received).toMatchObject([{ cmd: 'connack', reasonCode: 0x86, sessionPresent: false }])
  })

  it('[MQTT-3.2.2-8] a Reason Code that does not refuse a CONNECT does not reach CONNACK', async () => {
    const codes = [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99]
    const allowed = new Set([...codes, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f])
    let answer = 0
    const broker = await startBroker({ authenticate: () => ({ reasonCode: answer }) })
    for (const reasonCode of [
      1,
      2,
      4,
      0x10,
      0x18,
      0x8b,
      0x8d,
      0x8e,
      0x8f,
      0x91,
      0x92,
      0x93,
      0x98,
      0xa2,
      0xff,
      ...allowed,
    ]) {
      answer = reasonCode
      const client = await open(broker)
      client.sendConnect({})
      const word = await lastWord(client)
      expect(allowed.has(word!), `${reasonCode} became ${word}`).toBe(true)
      if (allowed.has(reasonCode)) expect(word).toBe(reasonCode)
    }
  })

  it('[MQTT-3.2.2-9] a broker with a Maximum QoS says so; one without says nothing', async () => {
    for (const maximumQoS of [0, 1, 2] as const) {
      const broker = await startBroker({ maximumQoS })
      const [connack] = (await connect(broker)).received
      const said = connack?.cmd === 'connack' ? connack.properties?.maximumQoS : undefined
      expect(said).toBe(maximumQoS === 2 ? undefined : maximumQoS)
    }
  })

  it('[MQTT-3.2.2-10] a broker with a Maximum QoS accepts subscriptions that ask for more, and grants less', async () => {
    const { subscriber, publisher } = await pair({ maximumQoS: 1 })
    for (const qos of [0, 1, 2] as const)
      expect((await subscriber.subscribe(`a/${qos}`, qos)).granted).toEqual([Math.min(qos, 1)])
    await publisher.publish('a/2', 'x', { qos: 1 })
    expect(await subscriber.nextMessage()).toMatchObject({ qos: 1 })
  })

  it('[MQTT-3.2.2-11] a PUBLISH above Maximum QoS closes the connection with 0x9B', async () => {
    const { publisher } = await pair({ maximumQoS: 1 })
    await publisher.publish('a', 'fine', { qos: 1 })
    publisher.sendPublish('a', 'not fine', { qos: 2 })
    expect(await lastWord(publisher)).toBe(0x9b)
  })

  it('[MQTT-3.2.2-14] a retained PUBLISH where Retain Available is 0 closes the connection with 0x9A', async () => {
    const { publisher } = await pair({ retainAvailable: false })
    expect(publisher.received[0]).toMatchObject({ properties: { retainAvailable: false } })
    publisher.sendPublish('a', 'kept', { retain: true })
    expect(await lastWord(publisher)).toBe(0x9a)
  })

  it('[MQTT-3.2.2-15] a packet above the Maximum Packet Size of CONNACK closes the connection with 0x95', async () => {
    const { subscriber, publisher } = await pair({ limits: { maximumPacketSize: 100 } })
    expect(publisher.received[0]).toMatchObject({ properties: { maximumPacketSize: 100 } })
    await subscriber.subscribe('a')
    publisher.sendPublish('a', Buffer.alloc(100 - 2 - 3 - 1))
    expect((await subscriber.next('publish')).payload).toHaveLength(94)
    publisher.sendPublish('a', Buffer.alloc(95))
    expect(await lastWord(publisher)).toBe(0x95)
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.2.2-16] an assigned Client Identifier is not that of a session that is kept', async () => {
    const broker = await startBroker()
    const kept = new Set<string>()
    for (let n = 0; n < 5; n++) {
      const client = await connect(broker, { ...persistent(''), clean: true })
      const connack = client.received[0]
      if (connack?.cmd === 'connack') kept.add(connack.properties!.assignedClientIdentifier!)
      await client.disconnect()
    }
    const [connack] = (await connect(broker, { ...persistent(''), clean: true })).received
    expect(connack).toMatchObject({ sessionPresent: false })
    expect(connack?.cmd === 'connack' && kept.has(connack.properties!.assignedClientIdentifier!)).toBe(false)
  })

  it('[MQTT-3.2.2-17] a Topic Alias above the maximum of CONNACK closes the connection with 0x94', async () => {
    const { publisher } = await pair({ limits: { topicAliasMaximum: 3 } })
    expect(publisher.received[0]).toMatchObject({ properties: { topicAliasMaximum: 3 } })
    publisher.sendPublish('a', 'x', { properties: { topicAlias: 4 } })
    expect(await lastWord(publisher)).toBe(0x94)
  })

  it('[MQTT-3.2.2-18] a Topic Alias where CONNACK named no maximum closes the connection with 0x94', async () => {
    const { publisher } = await pair({ limits: { topicAliasMaximum: 0 } })
    const [connack] = publisher.received
    expect(connack?.cmd === 'connack' && (connack.properties?.topicAliasMaximum ?? 0)).toBe(0)
    publisher.sendPublish('a', 'x', { properties: { topicAlias: 1 } })
    expect(await lastWord(publisher)).toBe(0x94)
  })

  it('[MQTT-3.2.2-19] [MQTT-3.2.2-20] reasons that would make CONNACK too large are left out', async () => {
    let size = 20
    const broker = await startBroker({
      authenticate: () =>
        size % 2 === 0
          ? { reasonCode: 0x87, reasonString: 'r'.repeat(size) }
          : { reasonCode: 0x87, userProperties: [['n', 'v'.repeat(size)]] },
    })
    for (const [length, maximumPacketSize] of [
      [20, 28],
      [20, 27],
      [21, 32],
      [21, 30],
      [500, 100],
      [501, 100],
    ] as const) {
      size = length
      const client = await open(broker)
      client.sendConnect({ properties: { maximumPacketSize } })
      expect(await lastWord(client)).toBe(0x87)
      expect(client.receivedBytes.length).toBeLessThanOrEqual(maximumPacketSize)
    }
    size = 20
    const roomy = await open(broker)
    roomy.sendConnect({})
    await roomy.closed()
    expect(roomy.received[0]).toMatchObject({ properties: { reasonString: 'r'.repeat(20) } })
  })

  it('[MQTT-3.2.2-22] without a Server Keep Alive the Keep Alive of CONNECT holds', async () => {
    const { broker, clock } = await timed()
    const client = await connect(broker, { keepalive: 60 })
    const [connack] = client.received
    expect(connack?.cmd === 'connack' && connack.properties?.serverKeepAlive).toBeUndefined()
    clock.advance(89_000)
    expect(await client.quiet()).toEqual([])
    clock.advance(91_000)
    expect(await lastWord(client)).toBe(0x8d)
  })

  it('[MQTT-3.2.2-21] a Server Keep Alive is what the broker goes by', async () => {
    const { broker, clock } = await timed({ limits: { maximumKeepAlive: 20 } })
    for (const keepalive of [60, 0]) {
      const client = await connect(broker, { keepalive })
      expect(client.received[0]).toMatchObject({ properties: { serverKeepAlive: 20 } })
      clock.advance(29_000)
      await client.quiet()
      clock.advance(31_000)
      expect(await lastWord(client)).toBe(0x8d)
    }
  })

  it('[MQTT-3.1.2-28] Response Information comes only to those who ask for it', async () => {
    const broker = await startBroker({ responseInformation: ({ clientId }) => `answers/${clientId}` })
    for (const [properties, expected] of [
      [{}, undefined],
      [{ requestResponseInformation: false }, undefined],
      [{ requestResponseInformation: true }, 'answers/r'],
    ] as const) {
      const [connack] = (await connect(broker, { clientId: 'r', properties })).received
      expect(connack?.cmd === 'connack' && connack.properties?.responseInformation).toBe(expected)
    }
  })

  it('[MQTT-3.14.0-1] an error before CONNACK is told by CONNACK or not at all, never by DISCONNECT', async () => {
    const broker = await startBroker()
    for (const bytes of [packet(0x30, 0), packet(0x10, 0, 4), packet(0xe0), packet(0xf0, 0x18, 0)]) {
      const client = await open(broker)
      client.sendBytes(bytes)
      await client.closed()
      expect(client.received.filter(({ cmd }) => cmd !== 'connack')).toEqual([])
    }
  })
})
