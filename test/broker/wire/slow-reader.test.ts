import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, it, vi } from 'vitest'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { type StreamClient, startReachable, type Transport, transports } from '../../support/transports'

const versions = [4, 5] as const
type Version = (typeof versions)[number]
/** The streams of the application's own take every write at once. */
const matrix = transports
  .filter((transport) => transport !== 'Duplex')
  .flatMap((transport) => versions.map((version) => [transport, version] as const))

const bytesOf = (version: Version, ...packets: Packet[]): Buffer =>
  Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: version })))

const connectPacket = (version: Version, clientId: string, keepalive: number): Packet => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: version,
  clientId,
  clean: true,
  keepalive,
})

const image = Buffer.alloc(200_000, 'x')

/** A broker, a client with a Keep Alive of 4 seconds that has stopped to read, and images on their way to it. */
async function slowReader(transport: Transport, version: Version) {
  const clock = new SimulatedClock(Date.now())
  const { broker, open } = await startReachable(transport, {
    clock,
    allowAnonymous: true,
    limits: { maximumOutgoingBytes: 65_536 },
  })
  const errors: string[] = []
  broker.on('clientError', ({ code }) => errors.push(code))
  const other = await open()
  other.write(bytesOf(version, connectPacket(version, 'other', 0)))
  await vi.waitFor(() => expect(other.received().length).toBeGreaterThan(0))
  /** All that other clients wrote before has arrived by then. */
  const roundTrip = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      const { length } = other.received()
      other.write(bytesOf(version, { cmd: 'pingreq' }))
      await vi.waitFor(() => expect(other.received().length).toBeGreaterThan(length), { interval: 1 })
    }
  }
  const client: StreamClient = await open()
  client.write(bytesOf(version, connectPacket(version, 'slow', 4)))
  client.write(bytesOf(version, { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'images', qos: 0 }] }))
  await vi.waitFor(() => expect(client.received().length).toBeGreaterThan(5))
  client.pause()
  const dropped = broker.statistics.droppedMessages
  while (broker.statistics.droppedMessages === dropped) {
    for (let i = 0; i < 10; i++) await broker.publish({ topic: 'images', payload: image })
    await roundTrip()
  }
  const pass = async (seconds: number, each: () => void = () => undefined): Promise<void> => {
    for (let i = 0; i < seconds; i++) {
      each()
      await roundTrip()
      clock.advance(1000)
      await roundTrip()
    }
  }
  const connected = (): boolean => broker.clients.has('slow')
  return { broker, client, errors, pass, connected }
}

describe.each(matrix)('a slow reader over %s in MQTT %i', (transport, version) => {
  it('stays as long as it sends PINGREQ in time, and goes on when it reads', async () => {
    const { client, errors, pass, connected } = await slowReader(transport, version)
    await pass(20, () => client.write(bytesOf(version, { cmd: 'pingreq' })))
    expect([connected(), errors]).toEqual([true, []])
    client.resume()
    const answers = (): Buffer => client.received()
    await vi.waitFor(() => expect(answers().indexOf(Buffer.from('d000', 'hex'))).toBeGreaterThan(0))
  })

  it('goes when it neither reads nor sends', async () => {
    const { errors, pass, connected } = await slowReader(transport, version)
    await pass(9)
    expect([connected(), errors]).toEqual([false, ['GNATMQ_KEEP_ALIVE_TIMEOUT']])
  })

  it('goes when what it sent before fills its place, and it reads no more', async () => {
    const { client, errors, pass, connected } = await slowReader(transport, version)
    const publish: Packet = { cmd: 'publish', topic: 't', payload: image, qos: 0, retain: false, dup: false }
    for (let i = 0; i < 5; i++) client.write(bytesOf(version, publish))
    await pass(24)
    expect([connected(), errors]).toEqual([false, ['GNATMQ_KEEP_ALIVE_TIMEOUT']])
  })
})
