import { Duplex } from 'node:stream'
import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { MqttBroker } from '../../../src/mqtt-broker'
import type { Hooks } from '../../../src/ports/hooks'
import { inProcess } from '../../../src/transport/in-process'
import { SlowStore } from '../../model/slow-store'
import { parsePackets } from '../../support/recording-output'
import { type Leave, type ReachableBroker, startReachable, type Transport, transports } from '../../support/transports'

const versions = [4, 5] as const
type Version = (typeof versions)[number]
const matrix = transports.flatMap((transport) => versions.map((version) => [transport, version] as const))

/** Answers later, as a look-up in a database does. */
const later = (): Promise<boolean> => new Promise((resolve) => setTimeout(resolve, 2, true))

const bytesOf = (version: Version, ...packets: Packet[]): Buffer =>
  Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: version })))

const connectPacket = (version: Version, clientId = 'c'): Packet => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: version,
  clientId,
  clean: true,
  keepalive: 0,
  will: { topic: 'will', payload: Buffer.from('the Will'), qos: 0, retain: false },
})

const willless = (version: Version, clientId = 'c'): Packet => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: version,
  clientId,
  clean: true,
  keepalive: 0,
})

const publishPacket = (payload: string, qos: 0 | 1 | 2 = 0, messageId?: number): Packet => ({
  cmd: 'publish',
  topic: 't',
  payload,
  qos,
  retain: false,
  dup: false,
  ...(messageId === undefined ? {} : { messageId }),
})

const ten = Array.from({ length: 10 }, (_, i) => `${i}`)

/** What subscribers and the application are told, in order. */
async function watch({ broker }: ReachableBroker): Promise<string[]> {
  const history: string[] = []
  await broker.subscribe('#', ({ payload }) => void history.push(payload.toString()))
  broker.on('clientConnected', ({ clientId }) => history.push(`${clientId} came`))
  broker.on('clientDisconnected', ({ clientId }, { byClient }) =>
    history.push(`${clientId} ${byClient ? 'left' : 'was lost'}`),
  )
  return history
}

async function reachable(transport: Transport, hooks: Hooks) {
  const reached = await startReachable(transport, { ...hooks, allowAnonymous: true })
  return { ...reached, history: await watch(reached) }
}

const whole = ['c came', ...ten, 'c left']

describe.each(matrix)('the end of a stream over %s in MQTT %i', (transport, version) => {
  const ways: Leave[] = transport === 'in-process' || transport === 'Duplex' ? ['end'] : ['end', 'vanish', 'reset']

  it.each(ways)('comes after what waits for a hook: %s', async (how) => {
    const { open, history, broker } = await reachable(transport, { authorizePublish: later })
    const client = await open()
    client.write(bytesOf(version, connectPacket(version)))
    await vi.waitFor(() => expect(client.received().length).toBeGreaterThan(0))
    client.write(bytesOf(version, ...ten.map((payload) => publishPacket(payload)), { cmd: 'disconnect' }))
    if (how === 'reset') await vi.waitFor(() => expect(history).toContain('0'))
    client.leave(how)
    await vi.waitFor(() => expect(history).toContain('c left'))
    expect(history).toEqual(whole)
    expect(broker.clients.size).toBe(0)
  })

  it('comes after a CONNECT that waits, and all behind it', async () => {
    const { open, history } = await reachable(transport, { authenticate: later, authorizePublish: later })
    const client = await open()
    client.write(
      bytesOf(version, connectPacket(version), ...ten.map((payload) => publishPacket(payload)), { cmd: 'disconnect' }),
    )
    client.leave('end')
    await vi.waitFor(() => expect(history).toContain('c left'))
    expect(history).toEqual(whole)
  })

  it('without DISCONNECT comes after what waits, and the Will after that', async () => {
    const { open, history } = await reachable(transport, { authorizePublish: later })
    const client = await open()
    client.write(bytesOf(version, connectPacket(version), ...ten.map((payload) => publishPacket(payload))))
    client.leave('end')
    await vi.waitFor(() => expect(history).toContain('the Will'))
    expect(history).toEqual(['c came', ...ten, 'c was lost', 'the Will'])
  })
})

/** Answers when the test says so. */
function gate(): { hook: () => Promise<boolean>; open: () => void; asked: () => number } {
  const waiting: ((verdict: boolean) => void)[] = []
  let isOpen = false
  let asked = 0
  return {
    hook: () => {
      asked++
      return isOpen ? later() : new Promise((resolve) => waiting.push(resolve))
    },
    open: () => {
      isOpen = true
      for (const answer of waiting.splice(0)) answer(true)
    },
    asked: () => asked,
  }
}

/** How a client ends its half: a Close frame ends both of a WebSocket. */
const halves = transports
  .filter((transport) => transport !== 'WebSocket over TLS')
  .map((transport) => [transport, transport.startsWith('WebSocket') ? 'vanish' : 'end'] as const)
const pubacks = (received: Buffer, version: Version): number =>
  parsePackets(received, version).filter(({ cmd }) => cmd === 'puback').length

describe.each(matrix)('what a client sent before it closed over %s in MQTT %i', (transport, version) => {
  it('is exchanged twice with QoS 2 under one identifier, hook by hook', async () => {
    const { open, history } = await reachable(transport, { authorizePublish: later })
    const client = await open()
    const exchange = (payload: string): Packet[] => [publishPacket(payload, 2, 1), { cmd: 'pubrel', messageId: 1 }]
    const packets = [
      connectPacket(version),
      ...exchange('first'),
      publishPacket('first again', 2, 2),
      ...exchange('second'),
    ]
    client.write(bytesOf(version, ...packets, { cmd: 'disconnect' }))
    client.leave('end')
    await vi.waitFor(() => expect(history).toContain('c left'))
    expect(history).toEqual(['c came', 'first', 'first again', 'second', 'c left'])
  })

  it('comes before what it sends over its next connection, without a Will', async () => {
    const { hook, open: answer, asked } = gate()
    const { open, history, broker } = await reachable(transport, { authorizePublish: hook })
    const client = await open()
    client.write(bytesOf(version, willless(version)))
    await vi.waitFor(() => expect(client.received().length).toBeGreaterThan(0))
    client.write(bytesOf(version, publishPacket('0')))
    await vi.waitFor(() => expect(asked()).toBe(1))
    client.write(bytesOf(version, ...ten.slice(1).map((payload) => publishPacket(payload)), { cmd: 'disconnect' }))
    client.leave('end')
    const next = await open()
    next.write(bytesOf(version, willless(version), publishPacket('next')))
    // its CONNECT has come, and the hook still thinks
    const other = await open()
    other.write(bytesOf(version, willless(version, 'other')))
    await vi.waitFor(() => expect(broker.clients.has('other')).toBe(true))
    answer()
    await vi.waitFor(() => expect(history).toContain('next'))
    expect(history.filter((entry) => !entry.startsWith('other'))).toEqual([...whole, 'c came', 'next'])
  })

  it('is finished by stop() when it is in time', async () => {
    const { hook, open: answer, asked } = gate()
    const { open, history, broker } = await reachable(transport, { authorizePublish: hook })
    const client = await open()
    client.write(
      bytesOf(version, willless(version), ...ten.map((payload) => publishPacket(payload)), { cmd: 'disconnect' }),
    )
    await vi.waitFor(() => expect(asked()).toBe(1))
    answer()
    client.leave('vanish')
    if (transport.startsWith('WebSocket')) await client.closed
    await broker.stop()
    expect(history.at(-1)).toBe('c left')
  })
})

describe.each(halves.flatMap(([transport, how]) => versions.map((version) => [transport, version, how] as const)))(
  'a client that ends its half over %s in MQTT %i',
  (transport, version, how) => {
    it('gets the answers that wait for hooks and for the store', async () => {
      const reached = await startReachable(transport, { store: new SlowStore(), authorizePublish: later })
      const history = await watch(reached)
      const client = await reached.open()
      client.write(
        bytesOf(
          version,
          { ...connectPacket(version), clean: false, properties: { sessionExpiryInterval: 60 } } as Packet,
          { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 1 }] },
          ...ten.map((payload, i) => publishPacket(payload, 1, i + 2)),
        ),
      )
      client.leave(how)
      await client.closed
      expect(pubacks(client.received(), version)).toBe(10)
      await vi.waitFor(() => expect(history).toContain('the Will'))
    })
  },
)

it('counts a connection for its address until what it sent is done', async () => {
  const { hook, open: answer, asked } = gate()
  const reached = await startReachable('WebSocket', {
    authorizePublish: hook,
    limits: { maximumConnectionsPerAddress: 1 },
  })
  const history = await watch(reached)
  const client = await reached.open()
  client.write(bytesOf(4, willless(4)))
  await vi.waitFor(() => expect(client.received().length).toBeGreaterThan(0))
  client.write(bytesOf(4, publishPacket('0')))
  await vi.waitFor(() => expect(asked()).toBe(1))
  client.leave('vanish')
  const refused = await reached.open()
  await refused.closed
  answer()
  await vi.waitFor(() => expect(history).toContain('c was lost'))
  const next = await reached.open()
  next.write(bytesOf(4, willless(4)))
  await vi.waitFor(() => expect(next.received().length).toBeGreaterThan(0))
})

it('reads what lies in the system before it gives up a socket that can no longer be written to', async () => {
  const { hook, open: answer, asked } = gate()
  const { open, history } = await reachable('TCP', { authorizePublish: hook })
  const client = await open()
  client.write(bytesOf(4, willless(4), publishPacket('0', 1, 1)))
  await vi.waitFor(() => expect(asked()).toBe(1))
  // more than one read holds, while the socket is paused
  const large = (i: number): Packet => publishPacket(`${i}`.padEnd(50_000, '.'), 1, i + 1)
  client.write(bytesOf(4, large(1), large(2), large(3)))
  client.write(bytesOf(4, { cmd: 'disconnect' }))
  client.leave('destroy')
  await client.closed
  answer()
  await vi.waitFor(() => expect(history.at(-1)).toMatch(/^c (left|was)/))
  expect(history.map((entry) => entry.replaceAll('.', ''))).toEqual(['c came', '0', '1', '2', '3', 'c left'])
})

it('ends where a stream breaks and never closes', async () => {
  const listener = inProcess()
  const broker = await MqttBroker.start({ listeners: [listener], authorizePublish: later })
  onTestFinished(() => broker.stop())
  const history = await watch({ broker, port: 0, open: () => Promise.reject(new Error('unused')) })
  const stream = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => done(),
    autoDestroy: false,
    emitClose: false,
  })
  listener.handle(stream)
  stream.push(bytesOf(4, connectPacket(4), ...ten.map((payload) => publishPacket(payload))))
  await vi.waitFor(() => expect(history).toContain('0'))
  stream.emit('error', new Error('the line is cut'))
  await vi.waitFor(() => expect(history).toContain('the Will'))
  expect(history).toEqual(['c came', ...ten, 'c was lost', 'the Will'])
})
