import { describe, expect, it, vi } from 'vitest'
import { connectClient, startBroker } from '../../support/broker'
import type { PacketOf } from '../../support/raw-client'
import { connect, gone, lastWord, pair, persistent, timed } from './clients'

describe('section 4.4: delivery retry', () => {
  it('[MQTT-4.4.0-1] a session that goes on gets what is unacknowledged again, in order and with its identifiers', async () => {
    const { broker, publisher } = await pair()
    const first = await connect(broker, persistent('s'))
    await first.subscribe('a', 2)
    for (let n = 0; n < 6; n++) await publisher.publish('a', String(n), { qos: n % 2 === 0 ? 1 : 2 })
    const sent: PacketOf<'publish'>[] = []
    for (let n = 0; n < 6; n++) sent.push(await first.next('publish'))
    first.send({ cmd: 'puback', messageId: sent[2]!.messageId! })
    first.send({ cmd: 'pubrec', messageId: sent[1]!.messageId! })
    await first.next('pubrel')
    first.destroy()
    await gone(broker, 's')
    const again = await connect(broker, persistent('s'))
    const resent = await again.quiet()
    expect(resent.filter(({ cmd }) => cmd === 'pubrel')).toMatchObject([{ messageId: sent[1]!.messageId }])
    expect(resent.filter(({ cmd }) => cmd === 'publish')).toMatchObject(
      [0, 3, 4, 5].map((n) => ({ messageId: sent[n]!.messageId, dup: true })),
    )
    expect(resent).toHaveLength(5)
  })

  it('[MQTT-4.4.0-1] nothing is sent again on the same connection, however long it takes', async () => {
    const { broker, clock } = await timed()
    const publisher = await connect(broker)
    const client = await connect(broker)
    await client.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 1 })
    await publisher.publish('a', 'x', { qos: 2 })
    await client.next('publish')
    const two = await client.next('publish')
    client.send({ cmd: 'pubrec', messageId: two.messageId! })
    await client.next('pubrel')
    clock.advance(3_600_000)
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-4.4.0-2] a PUBACK or PUBREC of 0x80 or above ends the delivery for good', async () => {
    const { broker, publisher } = await pair()
    const first = await connect(broker, persistent('s'))
    await first.subscribe('a', 2)
    for (const qos of [1, 2] as const) {
      await publisher.publish('a', 'x', { qos })
      const { messageId } = await first.next('publish')
      first.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId!, reasonCode: 0x83 })
    }
    expect(await first.quiet()).toEqual([])
    await first.disconnect()
    expect(await (await connect(broker, persistent('s'))).quiet()).toEqual([])
  })
})

describe('section 4.5: message receipt', () => {
  it('[MQTT-4.5.0-1] every matching session gets the message: connected and not, of every version', async () => {
    const { broker, subscriber, publisher } = await pair()
    await subscriber.subscribe('a/+', 1)
    const old = await connectClient(broker, { protocolVersion: 4, clientId: 'old', clean: false })
    await old.subscribe('a/#', 1)
    await old.disconnect()
    const away = await connect(broker, persistent('away'))
    await away.subscribe('+/b', 2)
    await away.disconnect()
    for (const qos of [1, 2] as const) await publisher.publish('a/b', `q${qos}`, { qos })
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'q1' })
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'q2' })
    const back = await connect(broker, persistent('away'))
    expect(await back.nextMessage()).toMatchObject({ text: 'q1', qos: 1 })
    expect(await back.nextMessage()).toMatchObject({ text: 'q2', qos: 2 })
    const oldAgain = await connectClient(broker, { protocolVersion: 4, clientId: 'old', clean: false })
    expect(await oldAgain.nextMessage()).toMatchObject({ text: 'q1', qos: 1 })
    expect(await oldAgain.nextMessage()).toMatchObject({ text: 'q2', qos: 1 })
  })
})

describe('section 4.6: message order', () => {
  it.each([0, 1, 2] as const)(
    '[MQTT-4.6.0-5] [MQTT-4.6.0-6] messages of QoS %i arrive in their order, online',
    async (qos) => {
      const { broker, publisher } = await pair()
      const receivers = []
      for (const options of [{}, { properties: { topicAliasMaximum: 3 } }, { properties: { receiveMaximum: 2 } }]) {
        const receiver = await connect(broker, options)
        receiver.autoAcknowledge = true
        await receiver.subscribe('a', qos)
        receivers.push(receiver)
      }
      publisher.autoAcknowledge = true
      for (let n = 0; n < 300; n++) publisher.sendPublish('a', String(n), { qos, messageId: (n % 1000) + 1 })
      for (const receiver of receivers)
        for (let n = 0; n < 300; n++) expect(await receiver.nextMessage()).toMatchObject({ text: String(n) })
    },
  )

  it('[MQTT-4.6.0-5] what waited comes before what is new, each in its order', async () => {
    const { broker, publisher } = await pair()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 1)
    for (let n = 0; n < 5; n++) await publisher.publish('a', String(n), { qos: 1 })
    for (let n = 0; n < 5; n++) await before.next('publish')
    before.destroy()
    await gone(broker, 's')
    for (let n = 5; n < 50; n++) await publisher.publish('a', String(n), { qos: 1 })
    const after = await connect(broker, {
      ...persistent('s'),
      properties: { sessionExpiryInterval: 10, receiveMaximum: 10 },
    })
    after.autoAcknowledge = true
    for (let n = 50; n < 60; n++) await publisher.publish('a', String(n), { qos: 1 })
    for (let n = 0; n < 60; n++) expect(await after.nextMessage()).toMatchObject({ text: String(n) })
  })

  it('[MQTT-4.6.0-5] an answer of a hook that comes late does not change the order', async () => {
    const waiting: (() => void)[] = []
    const broker = await startBroker({
      authorizePublish: (_client, { payload }) =>
        Number(payload.toString()) % 3 === 0 ? new Promise((resolve) => waiting.push(() => resolve(true))) : true,
    })
    const subscriber = await connect(broker)
    await subscriber.subscribe('a', 1)
    const publisher = await connect(broker)
    for (let n = 0; n < 10; n++) publisher.sendPublish('a', String(n), { qos: 1 })
    for (let n = 0; n < 10; n++) {
      if (n % 3 === 0) {
        // what comes behind the question waits for its answer
        await vi.waitUntil(() => waiting.length > 0)
        expect(await subscriber.quiet()).toEqual([])
        waiting.pop()!()
      }
      expect(await subscriber.nextMessage()).toMatchObject({ text: String(n) })
    }
  })

  it('[MQTT-4.6.0-1] the broker, too, sends again in the original order', async () => {
    const { broker, publisher } = await pair()
    const before = await connect(broker, persistent('s'))
    await before.subscribe('a', 2)
    for (let n = 0; n < 40; n++) await publisher.publish('a', String(n), { qos: n % 3 === 0 ? 2 : 1 })
    for (let n = 0; n < 40; n++) await before.next('publish')
    before.destroy()
    await gone(broker, 's')
    const after = await connect(broker, persistent('s'))
    for (let n = 0; n < 40; n++) expect(await after.nextMessage()).toMatchObject({ text: String(n), dup: true })
    await after.disconnect()
    expect(await lastWord(before)).toBeUndefined()
  })
})
