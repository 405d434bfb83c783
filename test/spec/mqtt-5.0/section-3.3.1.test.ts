import { describe, expect, it } from 'vitest'
import { block, packet, string, u16 } from '../../protocol/packet-bytes'
import { connect, gone, lastWord, pair, persistent } from './clients'

describe('section 3.3.1: flags of PUBLISH', () => {
  it('[MQTT-3.3.1-1] what is sent again has DUP', async () => {
    const { broker, publisher } = await pair()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 2)
    await publisher.publish('a', 'one', { qos: 1 })
    await publisher.publish('a', 'two', { qos: 2 })
    expect(await before.nextMessage()).toMatchObject({ text: 'one', dup: false })
    expect(await before.nextMessage()).toMatchObject({ text: 'two', dup: false })
    before.end()
    await gone(broker, 's')
    const after = await connect(broker, persistent('s'))
    expect(await after.nextMessage()).toMatchObject({ text: 'one', dup: true })
    expect(await after.nextMessage()).toMatchObject({ text: 'two', dup: true })
  })

  it('[MQTT-3.3.1-1] what waited unsent has no DUP when it is first sent', async () => {
    const { broker, publisher } = await pair()
    await (await connect(broker, persistent('s'))).subscribe('a', 2).then(() => undefined)
    await connect(broker, persistent('s')).then((client) => client.disconnect())
    await publisher.publish('a', 'one', { qos: 1 })
    await publisher.publish('a', 'two', { qos: 2 })
    const after = await connect(broker, persistent('s'))
    expect(await after.nextMessage()).toMatchObject({ text: 'one', dup: false })
    expect(await after.nextMessage()).toMatchObject({ text: 'two', dup: false })
  })

  it('[MQTT-3.3.1-2] [MQTT-4.3.1-1] QoS 0 leaves with DUP 0, and a QoS 0 PUBLISH with DUP closes the connection', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 0)
    publisher.sendPublish('a', 'again', { qos: 1, dup: true })
    expect(await subscriber.nextMessage()).toMatchObject({ qos: 0, dup: false })
    publisher.sendBytes(packet(0x38, string('a'), block(), 0x61))
    expect([0x81, 0x82]).toContain(await lastWord(publisher))
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-3] DUP of an incoming PUBLISH is not passed on', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    for (const qos of [1, 2] as const) {
      publisher.sendPublish('a', 'x', { qos, dup: true })
      expect(await subscriber.nextMessage()).toMatchObject({ qos, dup: false })
    }
  })

  it('[MQTT-3.3.1-4] QoS 3 closes the connection with 0x81', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    publisher.sendBytes(packet(0x36, string('a'), u16(1), block(), 0x61))
    expect(await lastWord(publisher)).toBe(0x81)
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-5] a retained PUBLISH replaces the one before', async () => {
    const { subscriber, publisher } = await pair()
    for (const qos of [0, 1, 2] as const) await publisher.publish('a', `kept ${qos}`, { qos, retain: true })
    await publisher.publish('b', 'other', { retain: true })
    await publisher.quiet()
    await subscriber.subscribe('a', 2)
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'kept 2', retain: true, qos: 2 })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-6] an empty retained PUBLISH reaches subscribers and clears the topic', async () => {
    const { broker, subscriber, publisher } = await pair()
    await publisher.publish('a', 'kept', { retain: true, qos: 1 })
    await subscriber.subscribe('a', 1, { rh: 2 })
    await publisher.publish('a', '', { retain: true, qos: 1 })
    expect(await subscriber.nextMessage()).toMatchObject({ topic: 'a', text: '' })
    const late = await connect(broker)
    await late.subscribe('a')
    expect(await late.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-7] an empty retained PUBLISH is not stored, even with properties', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('a', '', { retain: true, qos: 1 })
    await publisher.publish('b', '', { retain: true, qos: 1, properties: { contentType: 'none' } })
    await subscriber.subscribe('#')
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-8] a PUBLISH without RETAIN leaves the retained message as it is', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('a', 'kept', { retain: true, qos: 1 })
    await publisher.publish('a', 'passing', { qos: 1 })
    await publisher.publish('a', '', { qos: 1 })
    await publisher.publish('b', 'passing', { qos: 1 })
    await subscriber.subscribe('#')
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'kept' })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-9] Retain Handling 0 brings retained messages every time', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('a/b', 'kept', { retain: true, qos: 1 })
    for (let n = 0; n < 3; n++) {
      await subscriber.subscribe('a/+', 1, { rh: 0 })
      expect(await subscriber.nextMessage()).toMatchObject({ text: 'kept', retain: true })
      expect(await subscriber.quiet()).toEqual([])
    }
  })

  it('[MQTT-3.3.1-10] Retain Handling 1 brings retained messages for a new subscription only', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('a', 'kept', { retain: true, qos: 1 })
    await subscriber.subscribe('a', 1, { rh: 1 })
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'kept' })
    await subscriber.subscribe('a', 1, { rh: 1 })
    expect(await subscriber.quiet()).toEqual([])
    await subscriber.unsubscribe('a')
    await subscriber.subscribe('a', 1, { rh: 1 })
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'kept' })
  })

  it('[MQTT-3.3.1-11] Retain Handling 2 brings no retained messages', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('a', 'kept', { retain: true, qos: 1 })
    await subscriber.subscribe('a', 1, { rh: 2 })
    await subscriber.subscribe('a', 1, { rh: 2 })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-12] without Retain As Published what is sent on has RETAIN 0', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2, { rap: false })
    for (const qos of [0, 1, 2] as const) {
      await publisher.publish('a', 'x', { qos, retain: true })
      expect(await subscriber.nextMessage()).toMatchObject({ qos, retain: false })
    }
  })

  it('[MQTT-3.3.1-13] with Retain As Published what is sent on has the RETAIN that came', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2, { rap: true })
    for (const qos of [0, 1, 2] as const) {
      for (const retain of [true, false]) {
        await publisher.publish('a', 'x', { qos, retain })
        expect(await subscriber.nextMessage()).toMatchObject({ qos, retain })
      }
    }
  })
})
