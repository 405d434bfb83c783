import { describe, expect, it } from 'vitest'
import { block, bytes, packet, string, u16, u32, userProperty } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import type { ConnectOptions } from '../../support/raw-client'
import { connect, gone, lastWord, open, persistent, sizes, timed } from './clients'

type Will = NonNullable<ConnectOptions['will']>

const will = (options: Partial<Will> = {}): Will => ({
  topic: 'will',
  payload: Buffer.from('last words'),
  qos: 0,
  retain: false,
  ...options,
})

async function watched() {
  const broker = await startBroker()
  const watcher = await connect(broker)
  await watcher.subscribe('will', 2)
  return { broker, watcher }
}

async function watchedInTime() {
  const { broker, clock } = await timed()
  const watcher = await connect(broker)
  await watcher.subscribe('will', 2)
  return { broker, clock, watcher }
}

describe('section 3.1.2.5: the Will', () => {
  it('[MQTT-3.1.2-7] [MQTT-3.1.2-8] the Will is published when the connection breaks', async () => {
    const { broker, watcher } = await watched()
    const client = await connect(broker, { will: will() })
    expect(await watcher.quiet()).toEqual([])
    client.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ topic: 'will', text: 'last words' })
  })

  it('[MQTT-3.1.2-8] the Will is published when the client closes without DISCONNECT', async () => {
    const { broker, watcher } = await watched()
    const client = await connect(broker, { will: will() })
    client.end()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'last words' })
  })

  it('[MQTT-3.1.2-8] the Will is published when the broker closes because of a Protocol Error', async () => {
    const { broker, watcher } = await watched()
    const client = await connect(broker, { will: will() })
    client.sendConnect({ protocolVersion: 5 })
    await client.closed()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'last words' })
  })

  it('[MQTT-3.1.2-8] the Will is published for DISCONNECT 0x04 and not for 0x00', async () => {
    const { broker, watcher } = await watched()
    const asking = await connect(broker, { will: will({ payload: Buffer.from('asked for') }) })
    asking.send({ cmd: 'disconnect', reasonCode: 4 })
    await asking.closed()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'asked for' })
    const normal = await connect(broker, { will: will({ payload: Buffer.from('taken back') }) })
    await normal.disconnect()
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-8] the Will waits for its Will Delay Interval', async () => {
    const { broker, clock, watcher } = await watchedInTime()
    const client = await connect(broker, {
      ...persistent('w', 1000),
      will: will({ properties: { willDelayInterval: 60 } }),
    })
    client.end()
    await gone(broker, 'w')
    clock.advance(59_000)
    expect(await watcher.quiet()).toEqual([])
    clock.advance(1_500)
    expect(await watcher.nextMessage()).toMatchObject({ text: 'last words' })
  })

  it('[MQTT-3.1.2-8] the end of the session publishes the Will before its delay is over', async () => {
    const { broker, clock, watcher } = await watchedInTime()
    const client = await connect(broker, {
      ...persistent('w', 10),
      will: will({ properties: { willDelayInterval: 60 } }),
    })
    client.end()
    await gone(broker, 'w')
    clock.advance(9_000)
    expect(await watcher.quiet()).toEqual([])
    clock.advance(1_500)
    expect(await watcher.nextMessage()).toMatchObject({ text: 'last words' })
  })

  it('[MQTT-3.1.2-8] a new connection with Clean Start ends the session, and so publishes the delayed Will', async () => {
    const { broker, watcher } = await watchedInTime()
    const client = await connect(broker, {
      ...persistent('w', 1000),
      will: will({ properties: { willDelayInterval: 60 } }),
    })
    client.end()
    await gone(broker, 'w')
    expect(await watcher.quiet()).toEqual([])
    await connect(broker, { ...persistent('w'), clean: true })
    expect(await watcher.nextMessage()).toMatchObject({ text: 'last words' })
  })

  it('[MQTT-3.1.2-9] the Will Topic, Payload, QoS and Will Properties are those of CONNECT', async () => {
    const { broker, watcher } = await watched()
    const client = await connect(broker, {
      will: will({
        qos: 1,
        properties: {
          payloadFormatIndicator: true,
          messageExpiryInterval: 100,
          contentType: 'text/plain',
          responseTopic: 'answer',
          correlationData: Buffer.from([1, 2, 0]),
        },
      }),
    })
    client.destroy()
    const { packet: message } = await watcher.nextMessage()
    expect(message).toMatchObject({ topic: 'will', qos: 1, retain: false })
    expect(message.properties).toMatchObject({
      payloadFormatIndicator: true,
      messageExpiryInterval: 100,
      contentType: 'text/plain',
      responseTopic: 'answer',
      correlationData: Buffer.from([1, 2, 0]),
    })
  })

  it('[MQTT-3.1.2-9] a Will Flag without Will Properties, Topic or Payload is refused with 0x81', async () => {
    const broker = await startBroker()
    for (const parts of [[], [block()], [block(), string('w')], [string('w'), string('p')]]) {
      const client = await open(broker)
      client.sendBytes(packet(0x10, string('MQTT'), 5, 0x06, u16(0), block(), string('c'), ...parts))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.1.2-10] a Will that was published is not published again', async () => {
    const { broker, watcher } = await watched()
    const first = await connect(broker, { ...persistent('w'), will: will() })
    first.destroy()
    await watcher.nextMessage()
    const second = await connect(broker, persistent('w'))
    second.destroy()
    await gone(broker, 'w')
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-10] a Will that was taken back by DISCONNECT 0x00 is gone from the session', async () => {
    const { broker, clock, watcher } = await watchedInTime()
    const first = await connect(broker, {
      ...persistent('w', 10),
      will: will({ properties: { willDelayInterval: 5 } }),
    })
    await first.disconnect()
    clock.advance(20_000)
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-11] [MQTT-3.1.2-13] Will QoS or Will Retain without Will Flag is refused with 0x81', async () => {
    const broker = await startBroker()
    for (const flags of [0x0a, 0x12, 0x22, 0x2a]) {
      const client = await open(broker)
      client.sendBytes(packet(0x10, string('MQTT'), 5, flags, u16(0), block(), string('c')))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.1.2-12] Will QoS 0, 1 and 2 are used, and 3 is refused with 0x81', async () => {
    const { broker, watcher } = await watched()
    for (const qos of [0, 1, 2] as const) {
      const client = await connect(broker, { will: will({ qos }) })
      client.destroy()
      const { packet: message } = await watcher.nextMessage()
      expect(message.qos).toBe(qos)
      await watcher.acknowledge(message)
    }
    const bad = await open(broker)
    bad.sendBytes(
      packet(0x10, string('MQTT'), 5, 0x1e, u16(0), block(), string('c'), block(), string('w'), string('p')),
    )
    expect(await lastWord(bad)).toBe(0x81)
  })

  it('[MQTT-3.1.2-14] without Will Retain nobody finds the Will later', async () => {
    const { broker, watcher } = await watched()
    const client = await connect(broker, { will: will() })
    client.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ retain: false })
    const late = await connect(broker)
    await late.subscribe('will')
    expect(await late.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-15] with Will Retain the Will becomes the retained message', async () => {
    const { broker, watcher } = await watched()
    const client = await connect(broker, { will: will({ retain: true }) })
    client.destroy()
    await watcher.nextMessage()
    const late = await connect(broker)
    await late.subscribe('will')
    expect(await late.nextMessage()).toMatchObject({ text: 'last words', retain: true })
  })

  it('[MQTT-3.1.3-9] a client that is back within the Will Delay Interval has no Will sent', async () => {
    const { broker, clock, watcher } = await watchedInTime()
    const options = { ...persistent('w', 1000), will: will({ properties: { willDelayInterval: 60 } }) }
    const first = await connect(broker, options)
    first.destroy()
    await gone(broker, 'w')
    clock.advance(30_000)
    const second = await connect(broker, persistent('w', 1000))
    clock.advance(60_000)
    expect(await watcher.quiet()).toEqual([])
    expect(second.isClosed).toBe(false)
  })

  it('[MQTT-3.1.3-9] a takeover within the Will Delay Interval sends no Will, without a delay it does', async () => {
    const { broker, clock, watcher } = await watchedInTime()
    await connect(broker, { ...persistent('w', 1000), will: will({ properties: { willDelayInterval: 60 } }) })
    await connect(broker, { ...persistent('w', 1000), will: will({ payload: Buffer.from('at once') }) })
    clock.advance(120_000)
    expect(await watcher.quiet()).toEqual([])
    await connect(broker, persistent('w', 1000))
    expect(await watcher.nextMessage()).toMatchObject({ text: 'at once' })
  })

  it('[MQTT-3.1.3-10] User Properties of the Will keep their order and their repetitions', async () => {
    const { broker, watcher } = await watched()
    const properties = [userProperty('b', '1'), userProperty('a', '2'), userProperty('b', '3'), userProperty('b', '1')]
    const client = await open(broker)
    const payload = [string('c'), block(bytes(24, u32(0)), ...properties), string('will'), string('x')]
    client.sendBytes(packet(0x10, string('MQTT'), 5, 0x06, u16(0), block(), ...payload))
    await client.next('connack')
    client.destroy()
    await watcher.next('publish')
    expect(
      sizes(watcher)
        .at(-1)!
        .bytes.includes(bytes(...properties)),
    ).toBe(true)
  })

  it('[MQTT-3.1.3-11] a Will Topic that is not UTF-8 is refused', async () => {
    const broker = await startBroker()
    for (const topic of [bytes(u16(2), 0xc3, 0x28), bytes(u16(2), 0x61, 0x00)]) {
      const client = await open(broker)
      client.sendBytes(packet(0x10, string('MQTT'), 5, 0x06, u16(0), block(), string('c'), block(), topic, string('p')))
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.2.2-12] [MQTT-3.2.2-13] a Will that the broker cannot publish refuses the connection with 0x9B or 0x9A', async () => {
    const broker = await startBroker({ maximumQoS: 1, retainAvailable: false })
    const high = await open(broker)
    high.sendConnect({ will: will({ qos: 2 }) })
    expect(await lastWord(high)).toBe(0x9b)
    const retained = await open(broker)
    retained.sendConnect({ will: will({ retain: true }) })
    expect(await lastWord(retained)).toBe(0x9a)
    expect((await connect(broker, { will: will({ qos: 1 }) })).received[0]).toMatchObject({ reasonCode: 0 })
  })

  it('[MQTT-3.14.4-3] DISCONNECT 0x00 takes the Will back even if bytes with an error follow', async () => {
    const { broker, watcher } = await watched()
    const client = await connect(broker, { will: will() })
    client.sendBytes('e0 00 f0 00')
    await client.closed()
    expect(await watcher.quiet()).toEqual([])
  })
})
