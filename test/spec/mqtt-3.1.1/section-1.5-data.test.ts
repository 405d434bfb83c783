import { describe, expect, it } from 'vitest'
import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, openClient, startBroker } from '../../support/broker'
import { connectBytes, Flag, illFormed, nullCharacter } from './connect-bytes'

/** Each packet of a client that holds a string, around a string. */
const holders: readonly (readonly [name: string, around: (field: Buffer) => Buffer])[] = [
  ['the Topic Name of PUBLISH', (field) => packet(0x30, field)],
  ['the Topic Filter of SUBSCRIBE', (field) => packet(0x82, u16(1), field, 0)],
  ['the Topic Filter of UNSUBSCRIBE', (field) => packet(0xa2, u16(1), field)],
]

const connectHolders: readonly (readonly [name: string, around: (field: Buffer) => Buffer])[] = [
  ['the Client Identifier', (field) => connectBytes({ payload: [field] })],
  [
    'the Will Topic',
    (field) => connectBytes({ flags: Flag.cleanSession | Flag.will, payload: [string('c'), field, string('bye')] }),
  ],
  [
    'the user name',
    (field) => connectBytes({ flags: Flag.cleanSession | Flag.userName, payload: [string('c'), field] }),
  ],
]

describe('MQTT 3.1.1 section 1.5.3, UTF-8 encoded strings', () => {
  for (const [holder, around] of holders) {
    it.each(illFormed)(`[MQTT-1.5.3-1] %s in ${holder} closes the connection`, async (_why, field) => {
      const broker = await startBroker()
      const client = await connectClient(broker)
      client.sendBytes(around(field))
      await client.closed()
      expect(client.received).toHaveLength(1)
    })

    it(`[MQTT-1.5.3-2] U+0000 in ${holder} closes the connection`, async () => {
      const broker = await startBroker()
      const client = await connectClient(broker)
      client.sendBytes(around(nullCharacter))
      await client.closed()
      expect(client.received).toHaveLength(1)
    })
  }

  for (const [holder, around] of connectHolders) {
    it.each(illFormed)(`[MQTT-1.5.3-1] %s in ${holder} of CONNECT closes the connection`, async (_why, field) => {
      const client = await openClient(await startBroker())
      client.sendBytes(around(field))
      await client.closed()
      expect(client.received).toEqual([])
    })

    it(`[MQTT-1.5.3-2] U+0000 in ${holder} of CONNECT closes the connection`, async () => {
      const client = await openClient(await startBroker())
      client.sendBytes(around(nullCharacter))
      await client.closed()
      expect(client.received).toEqual([])
    })
  }

  it('[MQTT-1.5.3-3] U+FEFF at the head of a topic is part of it', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker)
    const topic = '\uFEFFlamp'
    await client.subscribe([topic, 'lamp'], 0)
    client.sendPublish(topic, 'marked')
    client.sendPublish('lamp', 'plain')
    expect(await client.nextMessage()).toMatchObject({ topic, text: 'marked' })
    expect(await client.nextMessage()).toMatchObject({ topic: 'lamp', text: 'plain' })
    expect(await client.quiet()).toEqual([])
    expect(client.receivedBytes.includes(bytes(u16(7), Buffer.from('efbbbf', 'hex'), Buffer.from('lamp')))).toBe(true)
  })

  it('[MQTT-1.5.3-3] U+FEFF at the head of a Client Identifier is part of it', async () => {
    const broker = await startBroker()
    await connectClient(broker, { clientId: '\uFEFFc' })
    await connectClient(broker, { clientId: 'c' })
    expect([...broker.clients.keys()].sort()).toEqual(['c', '\uFEFFc'])
  })
})
