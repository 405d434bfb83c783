import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'
import { encode } from '../../support/raw-client'
import { connectBytes, Flag, illFormed } from './connect-bytes'

const { cleanSession, password, reserved, userName, will, willQoS1, willQoS2, willRetain } = Flag

/** Sends a CONNECT that is wrong and expects the end without a CONNACK. */
async function expectRefusedSilently(connect: Uint8Array): Promise<void> {
  const client = await openClient(await startBroker())
  client.sendBytes(connect)
  await client.closed()
  expect(client.received).toEqual([])
}

async function expectAccepted(connect: Uint8Array): Promise<void> {
  const client = await openClient(await startBroker())
  client.sendBytes(connect)
  expect(await client.next()).toMatchObject({ cmd: 'connack', returnCode: 0 })
  expect(await client.quiet()).toEqual([])
}

describe('MQTT 3.1.1 section 3.1, CONNECT comes first and once', () => {
  it.each([
    ['PUBLISH', packet(0x30, string('a'))],
    ['SUBSCRIBE', packet(0x82, u16(1), string('a'), 0)],
    ['PINGREQ', packet(0xc0)],
    ['DISCONNECT', packet(0xe0)],
    ['PUBACK', packet(0x40, u16(1))],
  ])('[MQTT-3.1.0-1] %s before CONNECT closes the connection', async (_name, first) => {
    await expectRefusedSilently(bytes(first, connectBytes()))
  })

  it('[MQTT-3.1.0-2] a second CONNECT closes the connection', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { clientId: 'twice' })
    client.sendConnect({ clientId: 'twice' })
    await client.closed()
    expect(client.received).toHaveLength(1)
    expect(broker.clients.size).toBe(0)
  })

  it('[MQTT-3.1.0-2] a second CONNECT behind the first closes the connection', async () => {
    const client = await openClient(await startBroker())
    client.sendBytes(bytes(connectBytes(), connectBytes()))
    await client.closed()
    expect(client.received.length).toBeLessThanOrEqual(1)
  })
})

describe('MQTT 3.1.1 section 3.1.2, variable header', () => {
  it.each(['MQTX', 'mqtt', 'MQIsdp', 'MQTTX', ''])(
    '[MQTT-3.1.2-1] the protocol name %j is not taken for MQTT 3.1.1',
    async (name) => {
      const broker = await startBroker()
      const client = await openClient(broker)
      client.sendBytes(connectBytes({ name: string(name) }))
      await client.closed()
      expect(client.received.filter((connack) => connack.cmd !== 'connack' || connack.returnCode === 0)).toEqual([])
      expect(broker.clients.size).toBe(0)
    },
  )

  it.each([0, 1, 2, 3, 0x84, 0xff])(
    '[MQTT-3.1.2-2] protocol level %i gets return code 1 and the end of the connection',
    async (level) => {
      const client = await openClient(await startBroker())
      client.sendBytes(connectBytes({ level }))
      expect(await client.next()).toMatchObject({ cmd: 'connack', returnCode: 1, sessionPresent: false })
      await client.closed()
      expect(client.received).toHaveLength(1)
    },
  )

  it('[MQTT-3.1.2-3] the reserved flag closes the connection', async () => {
    await expectRefusedSilently(connectBytes({ flags: cleanSession | reserved }))
  })

  it.each([
    ['Will QoS 1', willQoS1],
    ['Will QoS 2', willQoS2],
    ['Will Retain', willRetain],
  ])('[MQTT-3.1.2-11] %s without the Will flag closes the connection', async (_name, flag) => {
    await expectRefusedSilently(connectBytes({ flags: cleanSession | flag }))
  })

  it('[MQTT-3.1.2-11] a Will in the payload without the Will flag closes the connection', async () => {
    await expectRefusedSilently(connectBytes({ payload: [string('c'), string('topic'), string('message')] }))
  })

  it.each([1, 2, 3])('[MQTT-3.1.2-13] Will QoS %i without the Will flag closes the connection', async (qos) => {
    await expectRefusedSilently(connectBytes({ flags: cleanSession | (qos << 3) }))
  })

  it('[MQTT-3.1.2-14] Will QoS 3 closes the connection', async () => {
    const payload = [string('c'), string('topic'), string('message')]
    await expectRefusedSilently(connectBytes({ flags: cleanSession | will | willQoS1 | willQoS2, payload }))
  })

  it.each([0, 1, 2])('[MQTT-3.1.2-14] Will QoS %i is accepted', async (qos) => {
    const payload = [string('c'), string('topic'), string('message')]
    await expectAccepted(connectBytes({ flags: cleanSession | will | (qos << 3), payload }))
  })

  it('[MQTT-3.1.2-15] Will Retain without the Will flag closes the connection', async () => {
    await expectRefusedSilently(connectBytes({ flags: cleanSession | willRetain }))
  })

  it.each([
    ['topic and message', [string('c')]],
    ['message', [string('c'), string('topic')]],
  ])('[MQTT-3.1.2-9] the Will flag without %s closes the connection', async (_what, payload) => {
    await expectRefusedSilently(connectBytes({ flags: cleanSession | will, payload }))
  })

  it('[MQTT-3.1.2-18] a user name without its flag closes the connection', async () => {
    await expectRefusedSilently(connectBytes({ payload: [string('c'), string('name')] }))
  })

  it('[MQTT-3.1.2-19] the User Name flag without a user name closes the connection', async () => {
    await expectRefusedSilently(connectBytes({ flags: cleanSession | userName }))
  })

  it('[MQTT-3.1.2-20] a password without its flag closes the connection', async () => {
    const payload = [string('c'), string('name'), string('password')]
    await expectRefusedSilently(connectBytes({ flags: cleanSession | userName, payload }))
  })

  it('[MQTT-3.1.2-21] the Password flag without a password closes the connection', async () => {
    const payload = [string('c'), string('name')]
    await expectRefusedSilently(connectBytes({ flags: cleanSession | userName | password, payload }))
  })

  it('[MQTT-3.1.2-22] a password without a user name closes the connection', async () => {
    const payload = [string('c'), string('password')]
    await expectRefusedSilently(connectBytes({ flags: cleanSession | password, payload }))
  })
})

describe('MQTT 3.1.1 section 3.1.2.10, Keep Alive', () => {
  it('[MQTT-3.1.2-24] a silent client is disconnected after one and a half times Keep Alive, with its Will', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    const watcher = await connectClient(broker)
    await watcher.subscribe('will', 0)
    const client = await connectClient(broker, { keepalive: 10, will: { topic: 'will', payload: 'gone' } })
    clock.advance(14_000)
    expect(await watcher.quiet()).toEqual([])
    expect(client.isClosed).toBe(false)
    clock.advance(2_500)
    await client.closed()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'gone' })
  })

  it.each([
    ['PINGREQ', packet(0xc0), 'pingresp'],
    ['PUBLISH', packet(0x32, string('a'), u16(1)), 'puback'],
    ['SUBSCRIBE', packet(0x82, u16(1), string('a'), 0), 'suback'],
  ] as const)('[MQTT-3.1.2-24] %s is a sign of life', async (_name, sign, answer) => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    const client = await connectClient(broker, { keepalive: 10 })
    for (let i = 0; i < 5; i++) {
      clock.advance(14_000)
      client.sendBytes(sign)
      await client.next(answer)
    }
    clock.advance(16_500)
    await client.closed()
  })

  it('[MQTT-3.1.2-24] with Keep Alive 0 a client may be silent for ever', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, limits: { maximumKeepAlive: 0 } })
    const client = await connectClient(broker, { keepalive: 0 })
    clock.advance(864_000_000)
    expect(await client.quiet()).toEqual([])
  })
})

describe('MQTT 3.1.1 section 3.1.3, payload', () => {
  it('[MQTT-3.1.3-1] the fields are read in the order of the specification', async () => {
    const seen: unknown[] = []
    const broker = await startBroker({
      authenticate: (client, credentials) => {
        seen.push(client.clientId, credentials.username, credentials.password?.toString())
        return true
      },
    })
    const watcher = await connectClient(broker, { clientId: 'w' })
    await watcher.subscribe('third/fourth', 0)
    seen.length = 0
    const client = await openClient(broker)
    const payload = ['first', 'third/fourth', 'will', 'name', 'secret'].map(string)
    client.sendBytes(connectBytes({ flags: cleanSession | will | userName | password, payload }))
    expect(await client.next('connack')).toMatchObject({ returnCode: 0 })
    client.end()
    expect(await watcher.nextMessage()).toMatchObject({ topic: 'third/fourth', text: 'will' })
    expect(seen).toEqual(['first', 'name', 'secret'])
  })

  it('[MQTT-3.1.3-2] sessions are told apart by the Client Identifier, character for character', async () => {
    const broker = await startBroker()
    for (const clientId of ['lamp', 'Lamp', 'lamp ']) {
      const client = await connectClient(broker, { clientId, clean: false })
      await client.subscribe(`to/${clientId}`, 1)
      await client.disconnect()
    }
    const publisher = await connectClient(broker)
    for (const clientId of ['lamp', 'Lamp', 'lamp ']) await publisher.publish(`to/${clientId}`, clientId, { qos: 1 })
    for (const clientId of ['Lamp', 'lamp ', 'lamp']) {
      const client = await connectClient(broker, { clientId, clean: false })
      expect((await client.quiet()).map((packet) => packet.cmd === 'publish' && packet.topic)).toEqual([
        `to/${clientId}`,
      ])
    }
  })

  it('[MQTT-3.1.3-3] a CONNECT without a Client Identifier closes the connection', async () => {
    await expectRefusedSilently(connectBytes({ payload: [] }))
  })

  it.each(illFormed)('[MQTT-3.1.3-4] a Client Identifier with %s closes the connection', async (_why, field) => {
    await expectRefusedSilently(connectBytes({ payload: [field] }))
  })

  it.each(['a', 'Z', '0', '0123456789abcdefghijklm', 'nopqrstuvwxyzABCDEFGHIJ', 'KLMNOPQRSTUVWXYZ'])(
    '[MQTT-3.1.3-5] the Client Identifier %s is allowed',
    async (clientId) => {
      const broker = await startBroker()
      const client = await openClient(broker)
      expect(await client.connect({ clientId })).toMatchObject({ returnCode: 0 })
      expect(broker.clients.has(clientId)).toBe(true)
    },
  )

  it('[MQTT-3.1.3-6] clients without an identifier get one each', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: '' })
    const second = await connectClient(broker, { clientId: '' })
    expect(broker.clients.size).toBe(2)
    for (const clientId of broker.clients.keys()) expect(clientId).not.toBe('')
    expect(await first.quiet()).toEqual([])
    await second.subscribe('a', 0)
    await first.publish('a', 'x', { qos: 1 })
    expect(await second.nextMessage()).toMatchObject({ text: 'x' })
  })

  it('[MQTT-3.1.3-8] no identifier and no CleanSession: return code 2 and the end of the connection', async () => {
    const client = await openClient(await startBroker())
    client.sendBytes(connectBytes({ flags: 0, payload: [string('')] }))
    expect(await client.next()).toMatchObject({ cmd: 'connack', returnCode: 2, sessionPresent: false })
    await client.closed()
  })

  it('[MQTT-3.1.3-9] an identifier that the application rejects: return code 2 and the end of the connection', async () => {
    const broker = await startBroker({ authenticate: ({ clientId }) => clientId === 'good' || { reasonCode: 0x85 } })
    await connectClient(broker, { clientId: 'good' })
    const client = await openClient(broker)
    expect(await client.connect({ clientId: 'bad' })).toMatchObject({ returnCode: 2, sessionPresent: false })
    await client.closed()
    expect([...broker.clients.keys()]).toEqual(['good'])
  })

  it.each(illFormed)('[MQTT-3.1.3-10] a Will Topic with %s closes the connection', async (_why, field) => {
    const payload = [string('c'), field, string('message')]
    await expectRefusedSilently(connectBytes({ flags: cleanSession | will, payload }))
  })

  it.each(illFormed)('[MQTT-3.1.3-11] a user name with %s closes the connection', async (_why, field) => {
    await expectRefusedSilently(connectBytes({ flags: cleanSession | userName, payload: [string('c'), field] }))
  })
})

describe('MQTT 3.1.1 section 3.1.4, response', () => {
  it.each([
    ['an empty body', packet(0x10)],
    ['a body that ends in the protocol name', packet(0x10, u16(4), Buffer.from('MQ'))],
    ['a body that ends before Keep Alive', packet(0x10, string('MQTT'), 4, 2)],
    [
      'a Client Identifier longer than the packet',
      packet(0x10, string('MQTT'), 4, 2, u16(0), u16(9), Buffer.from('c')),
    ],
    ['bytes behind its payload', connectBytes({ payload: [string('c'), Buffer.from([0])] })],
    ['a Remaining Length of five bytes', Buffer.from('10ffffffff7f', 'hex')],
  ])('[MQTT-3.1.4-1] a CONNECT with %s closes the connection without CONNACK', async (_what, connect) => {
    await expectRefusedSilently(connect)
  })

  it('[MQTT-3.1.4-2] a client with the identifier of a connected one takes its place', async () => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('will', 0)
    const first = await connectClient(broker, { clientId: 'one', will: { topic: 'will', payload: 'taken over' } })
    const second = await connectClient(broker, { clientId: 'one' })
    await first.closed()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'taken over' })
    expect(await second.quiet()).toEqual([])
    expect(broker.clients.size).toBe(2)
  })

  it('[MQTT-3.1.4-2] the place is taken with its session, while the first connection is open', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'one', clean: false })
    await first.subscribe('a', 1)
    const second = await openClient(broker)
    expect(await second.connect({ clientId: 'one', clean: false })).toMatchObject({ sessionPresent: true })
    await first.closed()
    await second.publish('a', 'x', { qos: 1 })
    expect(await second.nextMessage()).toMatchObject({ text: 'x' })
  })

  it('[MQTT-3.1.4-3] an accepted CONNECT keeps or drops the session as its CleanSession says', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'one', clean: false })
    await first.subscribe('a', 1)
    await first.disconnect()
    const kept = await openClient(broker)
    expect(await kept.connect({ clientId: 'one', clean: false })).toMatchObject({ sessionPresent: true })
    await kept.disconnect()
    const clean = await openClient(broker)
    expect(await clean.connect({ clientId: 'one', clean: true })).toMatchObject({ sessionPresent: false })
    await clean.publish('a', 'x', { qos: 1 })
    expect(await clean.quiet()).toEqual([])
  })

  it('[MQTT-3.1.4-3] a CONNECT that is refused leaves the session as it was', async () => {
    const broker = await startBroker({ authenticate: (_client, { username }) => username === 'owner' })
    const owner = { clientId: 'one', username: 'owner', password: 'x' }
    const first = await connectClient(broker, { ...owner, clean: false })
    await first.subscribe('a', 1)
    await first.disconnect()
    const intruder = await openClient(broker)
    expect((await intruder.connect({ clientId: 'one', username: 'other', clean: true })).returnCode).not.toBe(0)
    const again = await openClient(broker)
    expect(await again.connect({ ...owner, clean: false })).toMatchObject({ sessionPresent: true })
  })

  it('[MQTT-3.1.4-4] an accepted CONNECT gets a CONNACK with return code 0', async () => {
    const client = await openClient(await startBroker())
    client.sendConnect()
    await client.next('connack')
    expect(client.receivedBytes).toEqual(Buffer.from('20020000', 'hex'))
  })

  it.each([
    ['at once', () => false],
    ['later', () => Promise.resolve(false)],
  ])('[MQTT-3.1.4-5] nothing behind a CONNECT that is refused %s is looked at', async (_when, no) => {
    const broker = await startBroker({ authenticate: ({ clientId }) => (clientId === 'watcher' ? true : no()) })
    const watcher = await connectClient(broker, { clientId: 'watcher' })
    await watcher.subscribe('#', 0)
    const client = await openClient(broker)
    const connect = encode({ cmd: 'connect', clientId: 'refused', protocolId: 'MQTT', protocolVersion: 4, clean: true })
    client.sendBytes(bytes(connect, packet(0x31, string('secret'), Buffer.from('x')), packet(0xc0)))
    expect((await client.next('connack')).returnCode).not.toBe(0)
    await client.closed()
    await clientGone(broker, 'refused')
    expect(client.received).toHaveLength(1)
    expect(await watcher.quiet()).toEqual([])
    await watcher.subscribe('secret', 0)
    expect(await watcher.quiet()).toEqual([])
  })
})
