import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, it, vi } from 'vitest'
import type { Hooks } from '../../src/ports/hooks'
import { type Leave, type ReachableBroker, startReachable, type Transport, transports } from '../support/transports'

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
