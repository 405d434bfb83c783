import { expect, it, vi } from 'vitest'
import { MqttBroker } from '../../src'
import { MemoryStore } from '../../src/persistence/memory-store'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { connectClient, openClient, startBroker } from '../support/broker'

const none = { qos0: 0, qos1: 0, qos2: 0 }

it('a broker that does not run counts nothing', () => {
  const { connections, droppedMessages, receivedMessages, refusedConnections } = new MqttBroker().statistics
  expect([connections, droppedMessages, receivedMessages, refusedConnections]).toEqual([0, 0, none, {}])
})

it.each([4, 5] as const)(
  'the statistics count what clients send and get, by QoS: version %d',
  async (protocolVersion) => {
    const broker = await startBroker()
    const reader = await connectClient(broker, { protocolVersion })
    const publisher = await connectClient(broker, { protocolVersion })
    reader.autoAcknowledge = publisher.autoAcknowledge = true
    await reader.subscribe('#', 2)
    for (let n = 0; n < 3; n++) await publisher.publish('a', 'x', { qos: 0 })
    for (let n = 0; n < 2; n++) await publisher.publish('a', 'x', { qos: 1 })
    await publisher.publish('a', 'x', { qos: 2 })
    await publisher.publish('nobody/is/there', 'x', { qos: 0 })
    await vi.waitFor(() => expect(reader.received.filter(({ cmd }) => cmd === 'publish')).toHaveLength(7))
    expect(broker.statistics).toMatchObject({
      receivedMessages: { qos0: 4, qos1: 2, qos2: 1 },
      sentMessages: { qos0: 4, qos1: 2, qos2: 1 },
      droppedMessages: 0,
    })
  },
)

it('the bytes that come and go are counted', async () => {
  const broker = await startBroker()
  const client = await connectClient(broker)
  const { receivedBytes, sentBytes } = broker.statistics
  await client.quiet()
  expect(broker.statistics).toMatchObject({ receivedBytes: receivedBytes + 2, sentBytes: sentBytes + 2 })
})

it('a message that one receiver does not get is counted with its reason', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({
    clock,
    limits: { maximumQueuedMessages: 1 },
    authorizeDelivery: (_client, { topic }) => topic !== 'secret',
  })
  const publisher = await connectClient(broker, { protocolVersion: 5 })
  const small = await connectClient(broker, { protocolVersion: 5, properties: { maximumPacketSize: 100 } })
  await small.subscribe('#', 0)
  await publisher.publish('a', 'x'.repeat(100), { qos: 0 })
  await publisher.publish('secret', 'x', { qos: 0 })
  await publisher.quiet()
  expect(broker.statistics.dropped).toMatchObject({ tooLarge: 1, notAuthorized: 1, queueFull: 0, expired: 0 })
  await small.disconnect()
  const absent = await connectClient(broker, { clientId: 'absent', clean: false })
  await absent.subscribe('#', 1)
  await absent.disconnect()
  await vi.waitFor(() => expect(broker.statistics.clients).toBe(1))
  await publisher.publish('a', 'kept', { qos: 1, properties: { messageExpiryInterval: 1 } })
  await publisher.publish('a', 'one too many', { qos: 1 })
  expect(broker.statistics.dropped).toMatchObject({ queueFull: 1, expired: 0 })
  clock.advance(2000)
  await publisher.publish('a', 'in its place', { qos: 1 })
  expect(broker.statistics).toMatchObject({ droppedMessages: 4, dropped: { queueFull: 1, expired: 1, slowReader: 0 } })
})

it('a connection that is refused is counted by the code of its error', async () => {
  const broker = await startBroker({ authenticate: (_client, { username }) => username === 'a' })
  for (let n = 0; n < 2; n++) await (await openClient(broker)).connect({ username: 'b', password: 'b' })
  const malformed = await openClient(broker)
  malformed.sendBytes(Buffer.from([0xff, 0]))
  await malformed.closed()
  await connectClient(broker, { username: 'a', password: 'a' })
  expect(broker.statistics.refusedConnections).toEqual({ GNATMQ_BAD_CREDENTIALS: 2, GNATMQ_PROTOCOL_ERROR: 1 })
})

/** Answers later, and refuses while it is told to. */
class LateStore extends MemoryStore {
  refuses = false

  override async commit(changes: Parameters<MemoryStore['commit']>[0]): Promise<void> {
    await null
    if (this.refuses) throw new Error('the disk is full')
    super.commit(changes)
  }
}

it('commits are counted, those that the store refuses too, and the time that they take', async () => {
  const clock = new SimulatedClock()
  const store = new LateStore()
  const broker = await startBroker({ store, clock })
  const client = await connectClient(broker, {
    clientId: 'a',
    protocolVersion: 5,
    properties: { sessionExpiryInterval: 60 },
  })
  await client.subscribe('#', 1)
  const { commits } = broker.statistics
  await client.publish('a', 'kept', { qos: 1 })
  expect(broker.statistics).toMatchObject({ commits: commits + 1, refusedCommits: 0, commitMs: 0 })
  store.refuses = true
  broker.on('storeError', () => undefined)
  expect(await client.publish('a', 'refused', { qos: 1 })).toMatchObject({ cmd: 'puback', reasonCode: 0x97 })
  expect(broker.statistics).toMatchObject({ commits: commits + 2, refusedCommits: 1 })
  store.refuses = false
})
