import { describe, expect, it } from 'vitest'
import { block, bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, pair } from './clients'

describe('section 3.3.4: actions of PUBLISH', () => {
  it('[MQTT-3.3.4-1] QoS 0 is answered by nothing, QoS 1 by PUBACK, QoS 2 by PUBREC', async () => {
    const { publisher } = await pair()
    publisher.sendPublish('a', 'x')
    expect(await publisher.quiet()).toEqual([])
    publisher.sendPublish('a', 'x', { qos: 1, messageId: 10 })
    expect(await publisher.quiet()).toMatchObject([{ cmd: 'puback', messageId: 10 }])
    publisher.sendPublish('a', 'x', { qos: 2, messageId: 11 })
    expect(await publisher.quiet()).toMatchObject([{ cmd: 'pubrec', messageId: 11 }])
  })

  it('[MQTT-3.3.4-2] overlapping subscriptions: one of them is enough for the highest QoS', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a/#', 0)
    await subscriber.subscribe('a/+', 2)
    await subscriber.subscribe('a/b', 1)
    await publisher.publish('a/b', 'x', { qos: 2 })
    const { packet: message } = await subscriber.nextMessage()
    expect(message.qos).toBe(2)
    await subscriber.acknowledge(message)
    for (const other of await subscriber.quiet()) expect(other).toMatchObject({ cmd: 'publish' })
    await publisher.publish('a/b', 'x', { qos: 1 })
    expect(await subscriber.nextMessage()).toMatchObject({ qos: 1 })
  })

  it('[MQTT-3.3.4-3] [MQTT-3.3.4-4] one copy carries the identifiers of all subscriptions that match', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a/#', 0, { properties: { subscriptionIdentifier: 1 } })
    await subscriber.subscribe('a/+', 1, { properties: { subscriptionIdentifier: 268_435_455 } })
    await subscriber.subscribe('a/b', 2, { properties: { subscriptionIdentifier: 128 } })
    await subscriber.subscribe('+/b', 1)
    await subscriber.subscribe('c', 1, { properties: { subscriptionIdentifier: 5 } })
    await publisher.publish('a/b', 'x', { qos: 1 })
    const message = await subscriber.next('publish')
    expect(await subscriber.quiet()).toEqual([])
    const identifiers = [message.properties?.subscriptionIdentifier ?? []].flat()
    expect([...identifiers].sort((a, b) => a - b)).toEqual([1, 128, 268_435_455])
  })

  it('[MQTT-3.3.4-3] a retained message carries the identifier of the subscription that brought it', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('a', 'x', { retain: true, qos: 1 })
    await subscriber.subscribe('a', 1, { properties: { subscriptionIdentifier: 77 } })
    expect((await subscriber.next('publish')).properties).toMatchObject({ subscriptionIdentifier: 77 })
  })

  it('[MQTT-3.3.4-3] a subscription that is replaced has its new identifier, or none', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 1, { properties: { subscriptionIdentifier: 1 } })
    await subscriber.subscribe('a', 1, { properties: { subscriptionIdentifier: 2 } })
    await publisher.publish('a', 'x', { qos: 1 })
    expect((await subscriber.next('publish')).properties).toMatchObject({ subscriptionIdentifier: 2 })
    await subscriber.subscribe('a', 1)
    await publisher.publish('a', 'x', { qos: 1 })
    expect((await subscriber.next('publish')).properties?.subscriptionIdentifier).toBeUndefined()
  })

  it('[MQTT-3.3.4-6] a Subscription Identifier in a PUBLISH of a client closes the connection', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a')
    publisher.sendBytes(packet(0x30, string('a'), block(bytes(11, 1)), 0x61))
    expect([0x81, 0x82]).toContain(await lastWord(publisher))
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.4-7] more than Receive Maximum in flight, in one write, closes the connection with 0x93', async () => {
    const { subscriber, publisher } = await pair({ limits: { receiveMaximum: 3 } })
    expect(publisher.received[0]).toMatchObject({ properties: { receiveMaximum: 3 } })
    await subscriber.subscribe('a', 2)
    const publish = (n: number) => packet(0x34, string('a'), u16(n), block(), 0x61)
    publisher.sendBytes(Buffer.concat([1, 2, 3].map(publish)))
    for (let n = 0; n < 3; n++) await publisher.next('pubrec')
    publisher.sendBytes(publish(4))
    expect(await lastWord(publisher)).toBe(0x93)
    const messages = (await subscriber.quiet()).filter(({ cmd }) => cmd === 'publish')
    expect(messages).toHaveLength(3)
  })

  it('[MQTT-3.3.4-7] an exchange that is over makes room again', async () => {
    const { publisher } = await pair({ limits: { receiveMaximum: 2 } })
    for (let n = 0; n < 20; n++) {
      publisher.sendPublish('a', 'x', { qos: 2, messageId: 1 })
      publisher.sendPublish('a', 'x', { qos: 2, messageId: 2 })
      await publisher.next('pubrec')
      await publisher.next('pubrec')
      await publisher.release(1)
      await publisher.release(2)
    }
    expect(await publisher.quiet()).toEqual([])
  })

  it('[MQTT-3.3.4-9] no more than the Receive Maximum of the client is sent before it acknowledges', async () => {
    const { broker, publisher } = await pair()
    for (const receiveMaximum of [1, 2, 7]) {
      const client = await connect(broker, { properties: { receiveMaximum } })
      await client.subscribe(`r/${receiveMaximum}`, 2)
      for (let n = 0; n < 12; n++)
        await publisher.publish(`r/${receiveMaximum}`, String(n), { qos: n % 2 === 0 ? 1 : 2 })
      const open = (await client.quiet()).filter((packetOf) => packetOf.cmd === 'publish')
      expect(open).toHaveLength(receiveMaximum)
      for (let n = 0; n < 12; n++) {
        const message = open.shift() ?? (await client.next('publish'))
        expect(message.payload.toString()).toBe(String(n))
        if (message.qos === 2) {
          client.send({ cmd: 'pubrec', messageId: message.messageId! })
          await client.next('pubrel')
          // PUBREC alone gives nothing back
          expect((await client.quiet()).filter(({ cmd }) => cmd === 'publish')).toEqual([])
          client.send({ cmd: 'pubcomp', messageId: message.messageId! })
        } else client.send({ cmd: 'puback', messageId: message.messageId! })
        for (const more of await client.quiet()) if (more.cmd === 'publish') open.push(more)
        expect(open.length).toBe(Math.min(receiveMaximum, 11 - n))
      }
    }
  })

  it('[MQTT-3.3.4-9] a PUBREC of 0x80 or above gives its place back', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { receiveMaximum: 1 } })
    await client.subscribe('a', 2)
    for (const text of ['one', 'two']) await publisher.publish('a', text, { qos: 2 })
    const first = await client.next('publish')
    client.send({ cmd: 'pubrec', messageId: first.messageId!, reasonCode: 0x80 })
    expect(await client.nextMessage()).toMatchObject({ text: 'two' })
  })

  it('[MQTT-3.3.4-10] [MQTT-4.9.0-3] a full window delays no other packet, nor QoS 0', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { receiveMaximum: 1 } })
    await client.subscribe('a', 1)
    await publisher.publish('a', 'one', { qos: 1 })
    await publisher.publish('a', 'two', { qos: 1 })
    await client.next('publish')
    expect(await client.quiet()).toEqual([])
    expect((await client.subscribe('b', 0)).granted).toEqual([0])
    expect(await client.publish('x', '', { qos: 1 })).toMatchObject({ cmd: 'puback' })
    expect(await client.publish('x', '', { qos: 2 })).toMatchObject({ cmd: 'pubcomp' })
    await publisher.publish('b', 'at most once')
    expect(await client.nextMessage()).toMatchObject({ text: 'at most once' })
    expect((await client.unsubscribe('b')).granted).toEqual([0])
  })

  it('[MQTT-3.3.4-8] a client whose own window is full may still acknowledge and ask', async () => {
    const broker = await startBroker({ limits: { receiveMaximum: 1 } })
    const client = await connect(broker)
    client.sendPublish('a', 'x', { qos: 2, messageId: 5 })
    await client.next('pubrec')
    await client.subscribe('b', 1)
    await client.quiet()
    expect(await client.release(5)).toMatchObject({ messageId: 5 })
  })
})
