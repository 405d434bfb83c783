import { describe, expect, it } from 'vitest'
import type { Denial } from '../../../src/ports/hooks'
import { FailingStore } from '../../persistence/failing-store'
import { block, bytes, packet, string, u16, userProperty } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, lastWord, pair, sizes } from './clients'

const puback = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
const denials = [
  0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99, 0x81, 0x82, 0x84, 0x86, 0x8e, 0x8f, 0x92, 0x93, 0x9b, 0xa2, 0xff,
]

/** A broker that refuses every PUBLISH as the test says. */
async function denying() {
  const says: { denial: Denial } = { denial: { reasonCode: 0x87 } }
  const broker = await startBroker({ authorizePublish: () => says.denial })
  return { broker, says }
}

describe('section 3.4: PUBACK', () => {
  it('[MQTT-3.4.2-1] PUBACK has one of its own Reason Codes, whatever the application says', async () => {
    const { broker, says } = await denying()
    const client = await connect(broker)
    for (const reasonCode of denials) {
      says.denial = { reasonCode }
      const answer = await client.publish('a', 'x', { qos: 1 })
      expect(puback.has(answer!.reasonCode!), `${reasonCode} became ${answer!.reasonCode}`).toBe(true)
      if (puback.has(reasonCode)) expect(answer!.reasonCode).toBe(reasonCode)
    }
  })

  it('[MQTT-3.4.2-1] PUBACK of a message with and without subscribers is 0x00 and 0x10', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a')
    expect(await publisher.publish('a', 'x', { qos: 1 })).toMatchObject({ reasonCode: 0 })
    expect([0x00, 0x10]).toContain((await publisher.publish('b', 'x', { qos: 1 }))!.reasonCode)
  })

  it('[MQTT-3.4.2-1] a PUBACK of a client with a Reason Code that it does not have closes the connection', async () => {
    const { broker, publisher } = await pair()
    for (const code of [0x01, 0x04, 0x92, 0xff]) {
      const client = await connect(broker)
      await client.subscribe('a', 1)
      await publisher.publish('a', 'x', { qos: 1 })
      const { messageId } = await client.next('publish')
      client.sendBytes(packet(0x40, u16(messageId!), code))
      expect([0x81, 0x82]).toContain(await lastWord(client))
    }
  })

  it.each([
    ['[MQTT-3.4.2-2] a Reason String', 1, { reasonCode: 0x87, reasonString: 'r'.repeat(40) }],
    ['[MQTT-3.4.2-3] User Properties', 1, { reasonCode: 0x87, userProperties: [['n', 'v'.repeat(40)]] }],
    ['[MQTT-3.5.2-2] a Reason String', 2, { reasonCode: 0x87, reasonString: 'r'.repeat(40) }],
    ['[MQTT-3.5.2-3] User Properties', 2, { reasonCode: 0x87, userProperties: [['n', 'v'.repeat(40)]] }],
  ] as const)('%s that would make the acknowledgement of QoS %i too large is left out', async (_name, qos, denial) => {
    const { broker, says } = await denying()
    says.denial = denial
    for (const maximumPacketSize of [30, 48, 49, 50, 51, 52, 100]) {
      const client = await connect(broker, { properties: { maximumPacketSize } })
      expect(await client.publish('a', 'x', { qos })).toMatchObject({ reasonCode: 0x87 })
      for (const { size } of sizes(client)) expect(size).toBeLessThanOrEqual(maximumPacketSize)
    }
  })
})

describe('section 3.5: PUBREC', () => {
  it('[MQTT-3.5.2-1] PUBREC has one of its own Reason Codes, whatever the application says', async () => {
    const { broker, says } = await denying()
    const client = await connect(broker)
    for (const reasonCode of denials) {
      says.denial = { reasonCode }
      const answer = await client.publish('a', 'x', { qos: 2 })
      expect(answer).toMatchObject({ cmd: 'pubrec' })
      expect(puback.has(answer!.reasonCode!), `${reasonCode} became ${answer!.reasonCode}`).toBe(true)
      if (puback.has(reasonCode)) expect(answer!.reasonCode).toBe(reasonCode)
    }
  })

  it('[MQTT-3.5.2-1] a PUBREC of a client with a Reason Code that it does not have closes the connection', async () => {
    const { broker, publisher } = await pair()
    for (const code of [0x01, 0x92, 0xff]) {
      const client = await connect(broker)
      await client.subscribe('a', 2)
      await publisher.publish('a', 'x', { qos: 2 })
      const { messageId } = await client.next('publish')
      client.sendBytes(packet(0x50, u16(messageId!), code))
      expect([0x81, 0x82]).toContain(await lastWord(client))
    }
  })
})

describe('section 3.6: PUBREL', () => {
  it('[MQTT-3.6.1-1] PUBREL with other flags closes the connection with 0x81, and releases nothing', async () => {
    const broker = await startBroker()
    for (const first of [0x60, 0x61, 0x63, 0x66, 0x6a, 0x6f]) {
      const client = await connect(broker)
      client.sendPublish('a', 'x', { qos: 2, messageId: 3 })
      await client.next('pubrec')
      client.sendBytes(packet(first, u16(3)))
      expect(await lastWord(client)).toBe(0x81)
      expect(client.received.some(({ cmd }) => cmd === 'pubcomp')).toBe(false)
    }
  })

  it('[MQTT-3.6.1-1] the broker sends PUBREL with the flags 0010', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 2 })
    const { messageId } = await subscriber.next('publish')
    subscriber.send({ cmd: 'pubrec', messageId: messageId! })
    await subscriber.next('pubrel')
    expect(sizes(subscriber).at(-1)!.first).toBe(0x62)
  })

  it('[MQTT-3.6.2-1] PUBREL of the broker is 0x00 for what it sent and 0x92 for what it does not know', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 2 })
    const { messageId } = await subscriber.next('publish')
    subscriber.send({ cmd: 'pubrec', messageId: messageId! })
    expect(await subscriber.next('pubrel')).toMatchObject({ messageId, reasonCode: 0 })
    subscriber.send({ cmd: 'pubrec', messageId: 4000 })
    expect(await subscriber.next('pubrel')).toMatchObject({ messageId: 4000, reasonCode: 0x92 })
  })

  it('[MQTT-3.6.2-1] a PUBREL of a client with a Reason Code that it does not have closes the connection', async () => {
    const broker = await startBroker()
    for (const code of [0x01, 0x10, 0x80, 0x87, 0xff]) {
      const client = await connect(broker)
      client.sendPublish('a', 'x', { qos: 2, messageId: 3 })
      await client.next('pubrec')
      client.sendBytes(packet(0x62, u16(3), code))
      expect([0x81, 0x82]).toContain(await lastWord(client))
    }
  })

  it('[MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] PUBREL and PUBCOMP fit a small Maximum Packet Size', async () => {
    const { broker } = await pair()
    const client = await connect(broker, { properties: { maximumPacketSize: 20 } })
    const reasons = block(bytes(31, string('r'.repeat(30))), userProperty('n', 'v'.repeat(30)))
    client.sendBytes(packet(0x50, u16(4000), 0x00, reasons))
    expect(await client.next('pubrel')).toMatchObject({ messageId: 4000 })
    client.sendBytes(packet(0x62, u16(4001), 0x00, reasons))
    expect(await client.next('pubcomp')).toMatchObject({ messageId: 4001 })
    expect(Math.max(...sizes(client).map(({ size }) => size))).toBeLessThanOrEqual(20)
  })
})

describe('section 3.7: PUBCOMP', () => {
  it('[MQTT-3.7.2-1] PUBCOMP of the broker is 0x00 for what it held and 0x92 for what it did not', async () => {
    const { publisher } = await pair()
    publisher.sendPublish('a', 'x', { qos: 2, messageId: 8 })
    await publisher.next('pubrec')
    expect(await publisher.release(8)).toMatchObject({ reasonCode: 0 })
    expect(await publisher.release(8)).toMatchObject({ reasonCode: 0x92 })
  })

  it('[MQTT-3.7.2-1] a PUBCOMP of a client with a Reason Code that it does not have closes the connection', async () => {
    const { broker } = await pair()
    for (const code of [0x01, 0x10, 0x80, 0xff]) {
      const client = await connect(broker)
      client.sendBytes(packet(0x70, u16(3), code))
      expect([0x81, 0x82]).toContain(await lastWord(client))
    }
  })
})

type Ack = 'puback' | 'pubrec' | 'pubcomp'

/** Packets that a client may not send, by what its message waits for. */
const wrongPackets: readonly {
  qos: 1 | 2
  waits: string
  before: readonly Ack[]
  wrong: Ack
  reasonCode?: number
}[] = [
  { qos: 1, waits: 'PUBACK', before: [], wrong: 'pubrec' },
  { qos: 1, waits: 'PUBACK', before: [], wrong: 'pubrec', reasonCode: 0x80 },
  { qos: 1, waits: 'PUBACK', before: [], wrong: 'pubcomp' },
  { qos: 2, waits: 'PUBREC', before: [], wrong: 'puback' },
  { qos: 2, waits: 'PUBREC', before: [], wrong: 'pubcomp' },
  { qos: 2, waits: 'PUBCOMP', before: ['pubrec'], wrong: 'puback' },
]

describe('acknowledgements of the wrong type', () => {
  it.each(
    wrongPackets.flatMap(({ qos, waits, before, wrong, reasonCode = 0 }) =>
      [false, true].map((kept) => ({ qos, waits, before, wrong, reasonCode, kept })),
    ),
  )(
    '[MQTT-4.13.1-1] where $waits is due for QoS $qos, $wrong with Reason Code $reasonCode closes with 0x82 (kept: $kept)',
    async ({ qos, before, wrong, reasonCode, kept }) => {
      const { broker, publisher } = await pair()
      const properties = { receiveMaximum: 1, ...(kept ? { sessionExpiryInterval: 100 } : {}) }
      const options = { clientId: 'reader', clean: !kept, properties }
      const client = await connect(broker, options)
      await client.subscribe('a', 2)
      await publisher.publish('a', 'x', { qos })
      const { messageId } = await client.next('publish')
      for (const cmd of before) {
        client.send({ cmd, messageId: messageId! })
        await client.next('pubrel')
      }
      client.send({ cmd: wrong, messageId: messageId!, reasonCode })
      expect(await lastWord(client)).toBe(0x82)
      if (!kept) return
      const again = await connect(broker, { ...options, clean: false })
      expect(await again.next()).toMatchObject({ cmd: before.length === 0 ? 'publish' : 'pubrel', messageId })
    },
  )

  it('[MQTT-4.13.1-1] PUBCOMP while PUBREL waits for its commit closes the connection; PUBREC then only repeats', async () => {
    const store = new FailingStore()
    const { broker, publisher } = await pair({ store })
    const client = await connect(broker, { clientId: 'kept', clean: false, properties: { sessionExpiryInterval: 100 } })
    await client.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 2 })
    const { messageId } = await client.next('publish')
    store.wait()
    client.send({ cmd: 'pubrec', messageId: messageId! }, { cmd: 'pubrec', messageId: messageId! })
    await expect.poll(() => store.waits).toBeGreaterThan(0)
    expect(await client.quiet()).toEqual([])
    client.send({ cmd: 'pubcomp', messageId: messageId! })
    expect(await lastWord(client)).toBe(0x82)
    store.goOn()
  })

  it('[MQTT-4.13.1-1] what comes for an identifier that waits for its commit is about nothing, and its PUBLISH follows', async () => {
    const store = new FailingStore()
    const { broker, publisher } = await pair({ store })
    const client = await connect(broker, { clientId: 'kept', clean: false, properties: { sessionExpiryInterval: 100 } })
    await client.subscribe('a', 2)
    store.wait()
    publisher.sendPublish('a', 'x', { qos: 2 })
    await expect.poll(() => store.waits).toBeGreaterThan(0)
    client.send({ cmd: 'puback', messageId: 1 }, { cmd: 'pubcomp', messageId: 1 }, { cmd: 'pubrec', messageId: 1 })
    expect(await client.next()).toMatchObject({ cmd: 'pubrel', messageId: 1, reasonCode: 0x92 })
    store.goOn()
    expect(await client.next()).toMatchObject({ cmd: 'publish', messageId: 1 })
    client.send({ cmd: 'pubrec', messageId: 1 })
    expect(await client.next()).toMatchObject({ cmd: 'pubrel', messageId: 1 })
  })
})

describe('acknowledgements of what is not in flight', () => {
  it('[MQTT-4.3.3-4] a PUBREC with 0x80 or above gets no PUBREL, whether its identifier is known or not', async () => {
    const { subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 2)
    await publisher.publish('a', 'x', { qos: 2 })
    const { messageId } = await subscriber.next('publish')
    subscriber.send({ cmd: 'pubrec', messageId: messageId!, reasonCode: 0x87 })
    for (const reasonCode of [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
      subscriber.send({ cmd: 'pubrec', messageId: 4000, reasonCode })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[extra] PUBACK, PUBREC and PUBCOMP of an unknown identifier free no other message', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { receiveMaximum: 2 } })
    await client.subscribe('one', 1)
    await client.subscribe('two', 2)
    await publisher.publish('one', 'x', { qos: 1 })
    await publisher.publish('two', 'x', { qos: 2 })
    await publisher.publish('one', 'waits', { qos: 1 })
    const one = await client.next('publish')
    await client.next('publish')
    client.send(
      { cmd: 'puback', messageId: 999 },
      { cmd: 'pubcomp', messageId: 998 },
      { cmd: 'pubrec', messageId: 997 },
    )
    expect((await client.quiet()).map(({ cmd }) => cmd)).toEqual(['pubrel'])
    client.send({ cmd: 'puback', messageId: one.messageId! })
    expect(await client.nextMessage()).toMatchObject({ text: 'waits' })
  })

  it('[MQTT-4.3.3-12] PUBLISH and PUBREL in each state of an identifier that the broker holds, or does not', async () => {
    const { publisher, subscriber } = await pair()
    await subscriber.subscribe('a')
    publisher.send({ cmd: 'pubrel', messageId: 5 })
    expect(await publisher.next()).toMatchObject({ cmd: 'pubcomp', messageId: 5, reasonCode: 0x92 })
    publisher.sendPublish('a', 'once', { qos: 2, messageId: 5 })
    expect(await publisher.next()).toMatchObject({ cmd: 'pubrec', messageId: 5 })
    publisher.sendPublish('a', 'once', { qos: 2, messageId: 5, dup: true })
    expect(await publisher.next()).toMatchObject({ cmd: 'pubrec', messageId: 5 })
    publisher.send({ cmd: 'pubrel', messageId: 5 })
    expect(await publisher.next()).toMatchObject({ cmd: 'pubcomp', messageId: 5, reasonCode: 0 })
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'once' })
    expect(await subscriber.quiet()).toEqual([])
  })
})
