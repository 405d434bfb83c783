import { describe, expect, it } from 'vitest'
import { block, bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, gone, lastWord, open, persistent } from './clients'

const head = (flags: number) => bytes(string('MQTT'), 5, flags, u16(0), block())

describe('section 3.1.3: the payload of CONNECT', () => {
  it('[MQTT-3.1.3-1] the fields are read in their order: Client Identifier, Will, User Name, Password', async () => {
    let credentials: unknown
    const broker = await startBroker({
      authenticate: (client, { username, password }) => {
        credentials ??= [client.clientId, username, password?.toString()]
        return true
      },
    })
    const watcher = await connect(broker)
    await watcher.subscribe('topic')
    credentials = undefined
    const client = await open(broker)
    const fields = [string('id'), block(), string('topic'), string('payload'), string('user'), string('secret')]
    client.sendBytes(packet(0x10, head(0xc6), ...fields))
    await client.next('connack')
    expect(credentials).toEqual(['id', 'user', 'secret'])
    client.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ topic: 'topic', text: 'payload' })
  })

  it('[MQTT-3.1.3-2] a session belongs to its Client Identifier, and to no other', async () => {
    const broker = await startBroker()
    const first = await connect(broker, persistent('one'))
    await first.subscribe('a', 1)
    await first.disconnect()
    for (const clientId of ['One', 'one ', 'on', 'two'])
      expect((await connect(broker, persistent(clientId))).received[0]).toMatchObject({ sessionPresent: false })
    expect((await connect(broker, persistent('one'))).received[0]).toMatchObject({ sessionPresent: true })
  })

  it('[MQTT-3.1.3-2] names of object members are Client Identifiers like others', async () => {
    const broker = await startBroker()
    for (const clientId of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const client = await connect(broker, persistent(clientId))
      expect(client.received[0]).toMatchObject({ reasonCode: 0, sessionPresent: false })
      await client.disconnect()
      expect((await connect(broker, persistent(clientId))).received[0]).toMatchObject({ sessionPresent: true })
    }
  })

  it('[MQTT-3.1.3-3] a CONNECT without a Client Identifier is refused with 0x81', async () => {
    const broker = await startBroker()
    const client = await open(broker)
    client.sendBytes(packet(0x10, head(0x02)))
    expect(await lastWord(client)).toBe(0x81)
  })

  it('[MQTT-3.1.3-4] a Client Identifier that is not UTF-8 is refused', async () => {
    const broker = await startBroker()
    for (const name of [bytes(u16(1), 0x80), bytes(u16(3), 0xed, 0xa0, 0x80), bytes(u16(2), 0x61, 0)]) {
      const client = await open(broker)
      client.sendBytes(packet(0x10, head(0x02), name))
      expect([0x81, 0x85]).toContain(await lastWord(client))
    }
  })

  it('[MQTT-3.1.3-5] Client Identifiers of 1 to 23 digits and letters are allowed', async () => {
    const broker = await startBroker()
    const alphabet = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
    for (const letter of alphabet)
      expect((await connect(broker, { clientId: letter })).received[0]).toMatchObject({ reasonCode: 0 })
    for (let length = 2; length <= 23; length++) {
      const clientId = alphabet.slice(length, length * 2)
      expect((await connect(broker, { clientId })).received[0]).toMatchObject({ reasonCode: 0 })
    }
  })

  it('[MQTT-3.1.3-6] [MQTT-3.2.2-16] clients without an identifier each get another one', async () => {
    const broker = await startBroker()
    const assigned = new Set<string>()
    for (let n = 0; n < 20; n++) {
      const client = await open(broker)
      client.sendBytes(packet(0x10, head(n % 2 === 0 ? 0x02 : 0x00), string('')))
      const connack = await client.next('connack')
      expect(connack).toMatchObject({ reasonCode: 0, sessionPresent: false })
      assigned.add(connack.properties?.assignedClientIdentifier ?? '')
    }
    expect(assigned.size).toBe(20)
    expect(assigned.has('')).toBe(false)
  })

  it('[MQTT-3.1.3-7] the assigned Client Identifier finds the session again', async () => {
    const broker = await startBroker()
    const first = await connect(broker, { ...persistent(''), clean: true })
    const connack = first.received[0]
    const clientId = connack?.cmd === 'connack' ? connack.properties!.assignedClientIdentifier! : ''
    await first.subscribe('a', 1)
    first.end()
    await gone(broker, clientId)
    await (await connect(broker)).publish('a', 'for the nameless', { qos: 1 })
    const second = await connect(broker, persistent(clientId))
    expect(second.received[0]).toMatchObject({ sessionPresent: true })
    expect(await second.nextMessage()).toMatchObject({ text: 'for the nameless' })
  })

  it('[MQTT-3.1.3-7] a client that brings its own identifier is assigned none', async () => {
    const broker = await startBroker()
    const [connack] = (await connect(broker, { clientId: 'mine' })).received
    expect(connack?.cmd === 'connack' && connack.properties?.assignedClientIdentifier).toBeUndefined()
  })

  it('[MQTT-3.1.3-8] a Client Identifier that the application refuses is answered with 0x85 and the end', async () => {
    const broker = await startBroker({
      authenticate: ({ clientId }) => (clientId === 'bad' ? { reasonCode: 0x85 } : true),
    })
    const client = await open(broker)
    client.sendConnect({ clientId: 'bad' })
    expect(await lastWord(client)).toBe(0x85)
  })

  it('[MQTT-3.1.3-12] a User Name that is not UTF-8 is refused with 0x81', async () => {
    const broker = await startBroker()
    for (const name of [bytes(u16(1), 0xff), bytes(u16(2), 0x61, 0)]) {
      const client = await open(broker)
      client.sendBytes(packet(0x10, head(0x82), string('c'), name))
      expect(await lastWord(client)).toBe(0x81)
    }
  })
})
