import { describe, expect, it } from 'vitest'
import { block, bytes, packet, string, u32 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, pair, persistent, sizes, timed } from './clients'

describe('section 3.12: PINGREQ', () => {
  it('[MQTT-3.12.4-1] each PINGREQ is answered with a PINGRESP', async () => {
    const { subscriber } = await pair()
    subscriber.sendBytes('c0 00 c0 00 c0 00')
    for (let n = 0; n < 3; n++) await subscriber.next('pingresp')
    expect(await subscriber.quiet()).toEqual([])
    expect(sizes(subscriber).filter(({ first }) => first === 0xd0)).toHaveLength(4)
  })
})

describe('section 3.14: DISCONNECT', () => {
  it('[MQTT-3.14.1-1] reserved flags of DISCONNECT are answered with 0x81, and the Will goes out', async () => {
    const { broker, subscriber } = await pair()
    await subscriber.subscribe('will')
    const will = { topic: 'will', payload: Buffer.from('x'), qos: 0 as const, retain: false }
    const client = await connect(broker, { will })
    client.sendBytes('e1 00')
    expect(await lastWord(client)).toBe(0x81)
    await subscriber.next('publish')
  })

  it('[MQTT-3.14.2-1] DISCONNECT has one of its own Reason Codes, whatever the application says', async () => {
    const own = [
      0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
    ]
    const allowed = new Set([...own, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2])
    const broker = await startBroker()
    for (const code of [...allowed, 0x04, 0x10, 0x18, 0x84, 0x85, 0x86, 0x88, 0x8a, 0x8c, 0x91, 0x92, 0xff]) {
      const client = await connect(broker, { clientId: 'd' })
      broker.clients.get('d')!.disconnect(code)
      const word = await lastWord(client)
      expect(allowed.has(word!), `${code} became ${word}`).toBe(true)
      if (allowed.has(code)) expect(word).toBe(code)
    }
  })

  it('[MQTT-3.14.2-1] a DISCONNECT of a client with a Reason Code that it does not have is answered with 0x81 or 0x82', async () => {
    const broker = await startBroker()
    for (const code of [0x01, 0x10, 0x8e, 0x9c, 0xff]) {
      const client = await connect(broker)
      client.sendBytes(packet(0xe0, code))
      expect([0x81, 0x82]).toContain(await lastWord(client))
    }
  })

  it('[MQTT-3.14.2-2] a DISCONNECT of the broker has no Session Expiry Interval', async () => {
    const broker = await startBroker()
    const taken = await connect(broker, persistent('s'))
    await connect(broker, persistent('s'))
    await taken.closed()
    const last = taken.received.at(-1)
    expect(last?.cmd).toBe('disconnect')
    expect(last?.cmd === 'disconnect' && last.properties?.sessionExpiryInterval).toBeUndefined()
  })

  it('[MQTT-3.14.2-2] a session without expiry that DISCONNECT would revive is a Protocol Error', async () => {
    const broker = await startBroker()
    const client = await connect(broker, { clientId: 's' })
    client.sendBytes(packet(0xe0, 0, block(bytes(17, u32(100)))))
    expect(await lastWord(client)).toBe(0x82)
    expect((await connect(broker, persistent('s'))).received[0]).toMatchObject({ sessionPresent: false })
  })

  it('[extra] the Session Expiry Interval of a DISCONNECT replaces that of CONNECT', async () => {
    const { broker, clock } = await timed()
    const shorter = await connect(broker, persistent('short', 1000))
    shorter.sendBytes(packet(0xe0, 0, block(bytes(17, u32(10)))))
    await shorter.closed()
    const longer = await connect(broker, persistent('long', 10))
    longer.sendBytes(packet(0xe0, 0, block(bytes(17, u32(1000)))))
    await longer.closed()
    const none = await connect(broker, persistent('none', 10))
    none.sendBytes(packet(0xe0, 0, block(bytes(17, u32(0)))))
    await none.closed()
    expect((await connect(broker, persistent('none'))).received[0]).toMatchObject({ sessionPresent: false })
    clock.advance(20_000)
    expect((await connect(broker, persistent('short'))).received[0]).toMatchObject({ sessionPresent: false })
    expect((await connect(broker, persistent('long'))).received[0]).toMatchObject({ sessionPresent: true })
  })

  it.each([
    ['[MQTT-3.14.2-3] a Reason String', { reasonString: 'r'.repeat(40) }],
    ['[MQTT-3.14.2-4] User Properties', { userProperties: [['n', 'v'.repeat(40)] as const] }],
  ])('%s that would make DISCONNECT too large is left out', async (_name, explanation) => {
    const broker = await startBroker()
    for (const maximumPacketSize of [30, 45, 46, 47, 48, 49, 50, 51, 100]) {
      const client = await connect(broker, { clientId: 'd', properties: { maximumPacketSize } })
      broker.clients.get('d')!.disconnect(0x98, explanation)
      expect(await lastWord(client)).toBe(0x98)
      for (const { size } of sizes(client)) expect(size).toBeLessThanOrEqual(maximumPacketSize)
    }
  })

  it('[MQTT-3.14.4-1] [MQTT-3.14.4-2] after its DISCONNECT the broker sends nothing more and closes', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { clientId: 'd' })
    await client.subscribe('a', 1)
    client.pause()
    for (let n = 0; n < 10; n++) await publisher.publish('a', String(n), { qos: 1 })
    broker.clients.get('d')!.disconnect(0x98)
    await publisher.publish('a', 'late', { qos: 1 })
    client.sendBytes('c0 00 c0 00')
    client.resume()
    await client.closed()
    expect(client.received.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x98 })
    expect(client.receivedBytes.includes('late')).toBe(false)
  })

  it('[MQTT-3.14.4-1] what a client sends behind its DISCONNECT is not acted upon', async () => {
    const { broker, subscriber } = await pair()
    await subscriber.subscribe('#')
    const client = await connect(broker)
    client.sendBytes(bytes(packet(0xe0), packet(0x30, string('a'), block(), 0x61), packet(0xc0)))
    await client.closed()
    expect(client.received).toHaveLength(1)
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.14.4-3] DISCONNECT 0x00 takes the Will with it, other codes do not', async () => {
    const { broker, subscriber } = await pair()
    await subscriber.subscribe('will/#')
    for (const reasonCode of [0x00, 0x04, 0x80, 0x83, 0x98]) {
      const topic = `will/${reasonCode}`
      const client = await connect(broker, { will: { topic, payload: Buffer.from('x'), qos: 0, retain: false } })
      client.send({ cmd: 'disconnect', reasonCode })
      await client.closed()
    }
    const topics = (await subscriber.quiet()).map((message) =>
      message.cmd === 'publish' ? message.topic : message.cmd,
    )
    expect(topics).toEqual(['will/4', 'will/128', 'will/131', 'will/152'])
  })
})
