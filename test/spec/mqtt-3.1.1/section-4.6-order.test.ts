import { describe, expect, it } from 'vitest'
import { connectClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'

const kept = { clientId: 'kept', clean: false }
const count = 100
const ascending = Array.from({ length: count }, (_, i) => String(i))

/** Receives messages and acknowledges each until `count` have come; gives their texts. */
async function receiveAll(client: RawClient): Promise<string[]> {
  client.autoAcknowledge = true
  const texts: string[] = []
  while (texts.length < count) texts.push((await client.nextMessage()).text)
  expect(await client.quiet()).toEqual([])
  return texts
}

describe('MQTT 3.1.1 section 4.6, message ordering', () => {
  it('[MQTT-4.6.0-1] PUBLISH packets are sent again in their order', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, kept)
    await first.subscribe('a', 2)
    for (let i = 0; i < 30; i++) await first.publish('a', String(i), { qos: i % 3 === 0 ? 2 : 1 })
    const sent = (await first.quiet()).filter((message) => message.cmd === 'publish')
    // those in the middle are acknowledged, out of order
    for (const i of [7, 4, 13, 1]) first.send({ cmd: 'puback', messageId: sent[i]!.messageId! })
    await first.quiet()
    await first.disconnect()
    const expected = sent.filter((_, i) => ![7, 4, 13, 1].includes(i)).map(({ messageId }) => messageId)
    for (let i = 0; i < 2; i++) {
      const again = await connectClient(broker, kept)
      expect((await again.quiet()).map(({ messageId }) => messageId)).toEqual(expected)
      await again.disconnect()
    }
  })

  it('[MQTT-4.6.0-1] what waited comes behind what is sent again', async () => {
    const broker = await startBroker({ limits: { maximumInflight: 10 } })
    const first = await connectClient(broker, kept)
    await first.subscribe('a', 1)
    const publisher = await connectClient(broker)
    for (const text of ascending.slice(0, 50)) await publisher.publish('a', text, { qos: 1 })
    await first.disconnect()
    for (const text of ascending.slice(50)) await publisher.publish('a', text, { qos: 1 })
    expect(await receiveAll(await connectClient(broker, kept))).toEqual(ascending)
  })

  /** Sends PUBLISH packets in one write and gives what comes back. */
  async function answersTo(qos: 1 | 2, identifiers: readonly number[]): Promise<unknown[]> {
    const client = await connectClient(await startBroker())
    const publish = { cmd: 'publish', topic: 'a', payload: 'x', qos, dup: false, retain: false } as const
    client.send(...identifiers.map((messageId) => ({ ...publish, messageId })))
    return (await client.quiet()).map((packet) => [packet.cmd, packet.messageId])
  }

  it('[MQTT-4.6.0-2] PUBACK packets of the server have the order of the PUBLISH packets', async () => {
    const identifiers = [900, 3, 65_535, 17, 1, 400]
    expect(await answersTo(1, identifiers)).toEqual(identifiers.map((messageId) => ['puback', messageId]))
  })

  it('[MQTT-4.6.0-3] PUBREC packets of the server have the order of the PUBLISH packets', async () => {
    const identifiers = [900, 3, 65_535, 17, 1, 400]
    expect(await answersTo(2, identifiers)).toEqual(identifiers.map((messageId) => ['pubrec', messageId]))
  })

  it('[MQTT-4.6.0-4] PUBREL packets of the server have the order of the PUBREC packets', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 2)
    for (let i = 0; i < 6; i++) await client.publish('a', String(i), { qos: 2 })
    const sent = (await client.quiet()).map(({ messageId }) => messageId!)
    const order = [3, 0, 5, 1, 4, 2].map((i) => sent[i]!)
    client.send(...order.map((messageId) => ({ cmd: 'pubrec', messageId }) as const))
    expect((await client.quiet()).map((packet) => [packet.cmd, packet.messageId])).toEqual(
      order.map((id) => ['pubrel', id]),
    )
  })

  it.each([0, 1, 2] as const)(
    '[MQTT-4.6.0-5] [MQTT-4.6.0-6] messages of QoS %i reach a subscriber in their order',
    async (qos) => {
      const broker = await startBroker()
      const subscriber = await connectClient(broker)
      await subscriber.subscribe('a', qos)
      const publisher = await connectClient(broker)
      for (const text of ascending) publisher.sendPublish('a', text, { qos })
      expect(await receiveAll(subscriber)).toEqual(ascending)
    },
  )

  it.each([1, 2] as const)(
    '[MQTT-4.6.0-6] also through a window that is smaller than their number (QoS %i)',
    async (qos) => {
      const broker = await startBroker({ limits: { maximumInflight: 3 } })
      const subscriber = await connectClient(broker)
      await subscriber.subscribe('#', qos)
      const publisher = await connectClient(broker)
      for (const text of ascending) publisher.sendPublish('a', text, { qos })
      await publisher.quiet()
      expect(await receiveAll(subscriber)).toEqual(ascending)
    },
  )

  it('[MQTT-4.6.0-6] also if the application decides about each message, one later than the other', async () => {
    const broker = await startBroker({
      authorizePublish: async (_client, message) => {
        const turns = 10 - (Number(message.payload.toString()) % 10)
        for (let i = 0; i < turns; i++) await Promise.resolve()
        return true
      },
    })
    const subscriber = await connectClient(broker)
    await subscriber.subscribe('a', 1)
    const publisher = await connectClient(broker)
    for (const text of ascending) publisher.sendPublish('a', text, { qos: 1 })
    expect(await receiveAll(subscriber)).toEqual(ascending)
  })

  it('[MQTT-4.6.0-6] also while the subscriber goes and comes back', async () => {
    const broker = await startBroker({ limits: { maximumInflight: 4 } })
    const publisher = await connectClient(broker)
    let subscriber = await connectClient(broker, kept)
    await subscriber.subscribe('a', 1)
    for (const text of ascending) publisher.sendPublish('a', text, { qos: 1 })
    await publisher.quiet()
    const texts: string[] = []
    while (texts.length < count) {
      // each connection acknowledges three of four, and leaves
      for (let i = 0; i < 3 && texts.length < count; i++) {
        const message = await subscriber.nextMessage()
        texts.push(message.text)
        await subscriber.acknowledge(message.packet)
      }
      await subscriber.disconnect()
      subscriber = await connectClient(broker, kept)
    }
    expect(texts).toEqual(ascending)
    expect(await subscriber.quiet()).toEqual([])
  })
})
