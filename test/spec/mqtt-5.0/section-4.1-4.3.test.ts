import { describe, expect, it } from 'vitest'
import { block, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, gone, pair, persistent, timed } from './clients'

describe('section 4.1: session state', () => {
  it('[MQTT-4.1.0-1] a session lives as long as its connection, whatever its expiry', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    for (const options of [persistent('s', 5), { clientId: 't' }]) {
      const client = await connect(broker, options)
      await client.subscribe('a', 1)
      clock.advance(100_000)
      await publisher.publish('a', 'still', { qos: 1 })
      expect(await client.nextMessage()).toMatchObject({ text: 'still' })
      client.send({ cmd: 'puback', messageId: 1 })
      await client.disconnect()
    }
  })

  it('[MQTT-4.1.0-2] a session ends once its connection is closed and its expiry has passed', async () => {
    const { broker, clock } = await timed()
    const client = await connect(broker, persistent('s', 10))
    await client.subscribe('a', 1)
    client.end()
    await gone(broker, 's')
    clock.advance(10_500)
    expect((await connect(broker, persistent('s', 10))).received[0]).toMatchObject({ sessionPresent: false })
  })

  it('[MQTT-4.1.0-2] a session without expiry ends with its connection', async () => {
    const broker = await startBroker()
    for (const end of ['end', 'destroy'] as const) {
      const client = await connect(broker, { clientId: 's', clean: false })
      await client.subscribe('a', 1)
      client[end]()
      await gone(broker, 's')
      expect((await connect(broker, persistent('s', 0))).received[0]).toMatchObject({ sessionPresent: false })
    }
  })

  it('[MQTT-4.1.0-2] a session with the expiry 0xFFFFFFFF does not end by time', async () => {
    const { broker, clock } = await timed()
    const client = await connect(broker, persistent('s', 0xffffffff))
    await client.disconnect()
    clock.advance(26 * 24 * 3_600_000)
    expect((await connect(broker, persistent('s'))).received[0]).toMatchObject({ sessionPresent: true })
  })
})

describe('section 4.2: network connections', () => {
  it('[MQTT-4.2.0-1] a stream that is cut anywhere is the same stream', async () => {
    const { broker, subscriber } = await pair()
    await subscriber.subscribe('a', 1)
    const client = await connect(broker)
    const wire = Buffer.concat([
      packet(0x30, string('a'), block(), Buffer.alloc(300, 0x61)),
      packet(0x32, string('a'), u16(1), block(), Buffer.alloc(3, 0x62)),
      packet(0xc0),
    ])
    for (const byte of wire) {
      client.sendBytes(Buffer.from([byte]))
      await new Promise(setImmediate)
    }
    await client.next('pingresp')
    expect((await subscriber.next('publish')).payload).toEqual(Buffer.alloc(300, 0x61))
    expect((await subscriber.next('publish')).payload).toEqual(Buffer.alloc(3, 0x62))
  })

  it('[MQTT-4.2.0-1] a megabyte each way arrives whole and in order', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a')
    const payload = Buffer.from(Array.from({ length: 1 << 18 }, (_, n) => n * 2_654_435_761).map((n) => n & 255))
    for (let n = 0; n < 4; n++) publisher.sendPublish('a', payload)
    for (let n = 0; n < 4; n++) expect(payload.equals((await subscriber.next('publish')).payload as Buffer)).toBe(true)
  })
})

describe('section 4.3: QoS', () => {
  it('[MQTT-4.3.1-1] QoS 0 is sent with QoS 0 and DUP 0, and once', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    await publisher.publish('a', 'x')
    expect(await subscriber.nextMessage()).toMatchObject({ qos: 0, dup: false })
    expect(await subscriber.quiet()).toEqual([])
  })

  it.each([
    ['[MQTT-4.3.2-1] [MQTT-4.3.2-2]', 1],
    ['[MQTT-4.3.3-1] [MQTT-4.3.3-2]', 2],
  ] as const)('%s a new message of QoS %i is sent with an unused identifier and DUP 0', async (_ids, qos) => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    const open = new Set<number>()
    for (let n = 0; n < 30; n++) {
      await publisher.publish('a', 'x', { qos })
      const message = await subscriber.next('publish')
      expect(message).toMatchObject({ qos, dup: false })
      expect(open.has(message.messageId!)).toBe(false)
      open.add(message.messageId!)
      if (n % 3 !== 0) continue
      await subscriber.acknowledge(message)
      open.delete(message.messageId!)
    }
    expect(open.size).toBe(20)
  })

  it('[MQTT-4.3.2-3] a QoS 1 message stays unacknowledged until PUBACK, over several connections', async () => {
    const { broker, publisher } = await pair()
    const first = await connect(broker, persistent('s'))
    await first.subscribe('a', 1)
    await publisher.publish('a', 'x', { qos: 1 })
    const { messageId } = await first.next('publish')
    first.destroy()
    await gone(broker, 's')
    for (let n = 0; n < 3; n++) {
      const again = await connect(broker, persistent('s'))
      expect(await again.next('publish')).toMatchObject({ messageId, dup: true })
      // PUBREC is not what a QoS 1 message waits for
      again.destroy()
      await gone(broker, 's')
    }
    const last = await connect(broker, persistent('s'))
    await last.next('publish')
    last.send({ cmd: 'puback', messageId: messageId! })
    await last.quiet()
    await last.disconnect()
    expect(await (await connect(broker, persistent('s'))).quiet()).toEqual([])
  })

  it('[MQTT-4.3.2-4] [MQTT-4.3.3-8] PUBACK and PUBREC carry the identifier that came in', async () => {
    const { publisher } = await pair()
    publisher.sendPublish('a', 'x', { qos: 1, messageId: 1000 })
    publisher.sendPublish('a', 'x', { qos: 2, messageId: 2000 })
    expect(await publisher.quiet()).toMatchObject([
      { cmd: 'puback', messageId: 1000 },
      { cmd: 'pubrec', messageId: 2000 },
    ])
  })

  it('[MQTT-4.3.2-4] PUBACK says that the message is owned: its subscribers have it in their sessions', async () => {
    const { broker, publisher } = await pair()
    await (await connect(broker, persistent('s'))).subscribe('a', 1)
    await connect(broker, persistent('s')).then((client) => client.disconnect())
    await publisher.publish('a', 'owned', { qos: 1 })
    publisher.destroy()
    expect(await (await connect(broker, persistent('s'))).nextMessage()).toMatchObject({ text: 'owned' })
  })

  it('[MQTT-4.3.2-5] after PUBACK the same identifier is a new message, DUP or not', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 0)
    for (const dup of [false, true, false]) await publisher.publish('a', `${dup}`, { qos: 1, messageId: 7, dup })
    for (const text of ['false', 'true', 'false']) expect(await subscriber.nextMessage()).toMatchObject({ text })
  })

  it('[MQTT-4.3.3-3] a QoS 2 message stays unacknowledged until PUBREC', async () => {
    const { broker, publisher } = await pair()
    const first = await connect(broker, persistent('s'))
    await first.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 2 })
    const { messageId } = await first.next('publish')
    // another packet than PUBREC does not acknowledge it
    first.send({ cmd: 'puback', messageId: messageId! })
    await first.closed()
    await gone(broker, 's')
    const again = await connect(broker, persistent('s'))
    expect(await again.next('publish')).toMatchObject({ messageId, qos: 2, dup: true })
  })

  it('[MQTT-4.3.3-4] PUBREC below 0x80 is answered with PUBREL, of 0x80 and above with nothing', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    for (const reasonCode of [0x00, 0x10]) {
      await publisher.publish('a', 'x', { qos: 2 })
      const { messageId } = await subscriber.next('publish')
      if (reasonCode === 0) subscriber.send({ cmd: 'pubrec', messageId: messageId!, reasonCode })
      else subscriber.sendBytes(packet(0x50, u16(messageId!)))
      expect(await subscriber.next('pubrel')).toMatchObject({ messageId })
      subscriber.send({ cmd: 'pubcomp', messageId: messageId! })
    }
    for (const reasonCode of [0x80, 0x83, 0x97]) {
      await publisher.publish('a', 'x', { qos: 2 })
      const { messageId } = await subscriber.next('publish')
      subscriber.send({ cmd: 'pubrec', messageId: messageId!, reasonCode })
      expect(await subscriber.quiet()).toEqual([])
    }
  })

  it('[MQTT-4.3.3-5] [MQTT-4.3.3-6] after PUBREC the PUBREL is sent again, the PUBLISH is not, until PUBCOMP', async () => {
    const { broker, publisher } = await pair()
    const first = await connect(broker, persistent('s'))
    await first.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 2 })
    const { messageId } = await first.next('publish')
    first.send({ cmd: 'pubrec', messageId: messageId! })
    await first.next('pubrel')
    first.destroy()
    await gone(broker, 's')
    for (let n = 0; n < 2; n++) {
      const again = await connect(broker, persistent('s'))
      expect(await again.next()).toMatchObject({ cmd: 'pubrel', messageId })
      expect(await again.quiet()).toEqual([])
      again.destroy()
      await gone(broker, 's')
    }
    const last = await connect(broker, persistent('s'))
    await last.next('pubrel')
    last.send({ cmd: 'pubcomp', messageId: messageId! })
    await last.quiet()
    await last.disconnect()
    expect(await (await connect(broker, persistent('s'))).quiet()).toEqual([])
  })

  it('[MQTT-4.3.3-7] a PUBLISH that was sent does not expire: it comes again after its time', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    const first = await connect(broker, persistent('s'))
    await first.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 2, properties: { messageExpiryInterval: 5 } })
    const { messageId } = await first.next('publish')
    first.destroy()
    await gone(broker, 's')
    clock.advance(60_000)
    const again = await connect(broker, persistent('s'))
    expect(await again.next('publish')).toMatchObject({ messageId, dup: true })
  })

  it('[MQTT-4.3.3-9] after a PUBREC of 0x80 or above the same identifier is a new message', async () => {
    let allowed = false
    const broker = await startBroker({ authorizePublish: () => allowed })
    const subscriber = await connect(broker)
    await subscriber.subscribe('a', 2)
    const publisher = await connect(broker)
    expect(await publisher.publish('a', 'refused', { qos: 2, messageId: 5 })).toMatchObject({ reasonCode: 0x87 })
    allowed = true
    expect(await publisher.publish('a', 'allowed', { qos: 2, messageId: 5, dup: true })).toMatchObject({
      cmd: 'pubcomp',
    })
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'allowed' })
  })

  it('[MQTT-4.3.3-10] until PUBREL the same identifier is answered and delivered to nobody again', async () => {
    const { broker, subscriber } = await pair()
    await subscriber.subscribe('a', 2)
    const client = await connect(broker, persistent('p'))
    for (let n = 0; n < 3; n++) {
      client.sendPublish('a', 'once', { qos: 2, messageId: 6, dup: n > 0 })
      expect(await client.next('pubrec')).toMatchObject({ messageId: 6 })
    }
    client.destroy()
    await gone(broker, 'p')
    const again = await connect(broker, persistent('p'))
    again.sendPublish('a', 'once', { qos: 2, messageId: 6, dup: true })
    expect((await again.next('pubrec')).reasonCode ?? 0).toBeLessThan(0x80)
    expect(await again.release(6)).toMatchObject({ messageId: 6, reasonCode: 0 })
    await subscriber.next('publish')
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-4.3.3-11] PUBREL is answered with PUBCOMP of its identifier, as often as it comes', async () => {
    const { publisher } = await pair()
    publisher.sendPublish('a', 'x', { qos: 2, messageId: 6 })
    await publisher.next('pubrec')
    expect(await publisher.release(6)).toMatchObject({ messageId: 6, reasonCode: 0 })
    expect(await publisher.release(6)).toMatchObject({ messageId: 6 })
  })

  it('[MQTT-4.3.3-12] after PUBCOMP the same identifier is a new message', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 0)
    for (const text of ['one', 'two', 'three']) await publisher.publish('a', text, { qos: 2, messageId: 6, dup: true })
    for (const text of ['one', 'two', 'three']) expect(await subscriber.nextMessage()).toMatchObject({ text })
  })

  it('[MQTT-4.3.3-13] an exchange is finished even if its message has expired meanwhile', async () => {
    const { broker, clock } = await timed()
    const client = await connect(broker, persistent('p'))
    client.sendPublish('a', 'x', { qos: 2, messageId: 6, properties: { messageExpiryInterval: 1 } })
    await client.next('pubrec')
    clock.advance(10_000)
    expect(await client.release(6)).toMatchObject({ messageId: 6, reasonCode: 0 })
    const receiver = await connect(broker, persistent('r'))
    await receiver.subscribe('b', 2)
    await client.publish('b', 'x', { qos: 2, properties: { messageExpiryInterval: 1 } })
    const message = await receiver.next('publish')
    clock.advance(10_000)
    await receiver.acknowledge(message)
    expect(await receiver.quiet()).toEqual([])
  })
})
