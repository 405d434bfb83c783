import { channel } from 'node:diagnostics_channel'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it, onTestFinished, vi } from 'vitest'
import type { BrokerEvents, MqttBroker, MqttBrokerOptions } from '../../src/index'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { clientGone, connectClient, startBroker } from '../support/broker'

/** What a broker tells of sessions, messages and retained messages, in short. */
async function toldBy(options: MqttBrokerOptions = {}): Promise<{ broker: MqttBroker; told: string[] }> {
  const broker = await startBroker(options)
  const told: string[] = []
  broker.on('sessionCreated', ({ clientId }) => told.push(`created ${clientId}`))
  broker.on('sessionResumed', ({ clientId }) => told.push(`resumed ${clientId}`))
  broker.on('sessionEnded', (clientId, why) => told.push(`ended ${clientId} ${why}`))
  return { broker, told }
}

it('sessions are told of, from their beginning to their end', async () => {
  const clock = new SimulatedClock()
  const { broker, told } = await toldBy({ clock })
  const expected: string[] = []
  const expectTold = async (...more: string[]): Promise<void> => {
    expected.push(...more)
    await vi.waitFor(() => expect(told).toEqual(expected))
  }
  const leave = async (clientId: string): Promise<void> => {
    const gone = clientGone(broker, clientId)
    broker.disconnect(clientId)
    await gone
  }
  await connectClient(broker, { clientId: 'plain' })
  await leave('plain')
  await expectTold('created plain', 'ended plain disconnected')
  await connectClient(broker, { clientId: 'kept', protocolVersion: 5, properties: { sessionExpiryInterval: 10 } })
  await leave('kept')
  await connectClient(broker, { clientId: 'kept', clean: false, protocolVersion: 5 })
  await expectTold('created kept', 'resumed kept')
  await connectClient(broker, { clientId: 'kept', protocolVersion: 5, properties: { sessionExpiryInterval: 10 } })
  await expectTold('ended kept replaced', 'created kept')
  await leave('kept')
  clock.advance(11_000)
  await expectTold('ended kept expired')
  for (const end of ['deleted', 'revoked'] as const) {
    await connectClient(broker, { clientId: end, clean: false })
    if (end === 'deleted') await broker.deleteSession(end)
    else await broker.revoke({ clientId: end })
    await expectTold(`created ${end}`, `ended ${end} ${end}`)
  }
})

it('sessions that no client has had, and those of the application, are not told of', async () => {
  const { broker, told } = await toldBy({
    authorizeSubscribe: () => true,
    authorizePublish: (_client, { topic }) => topic !== 'will',
  })
  const end = await broker.subscribe('a', { qos: 1, durable: 'own' }, () => undefined)
  end({ forget: true })
  await vi.waitFor(() => expect(broker.statistics.sessions).toBe(0))
  const will = { topic: 'will', payload: Buffer.from(''), qos: 0 as const, retain: false }
  const refused = await connectClient(broker, { clientId: 'refused', will })
  await refused.closed()
  expect(told).toEqual([])
})

it('a message that a session does not get is told of, with its reason and its topic', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({
    clock,
    limits: { maximumQueuedMessages: 1 },
    authorizeDelivery: (_client, { topic }) => topic !== 'secret',
  })
  const dropped: string[] = []
  broker.on('messageDropped', (drop) => dropped.push(Object.values(drop).join(' ')))
  const publisher = await connectClient(broker, { protocolVersion: 5 })
  const small = await connectClient(broker, {
    clientId: 'small',
    protocolVersion: 5,
    properties: { maximumPacketSize: 100 },
  })
  await small.subscribe(['a/#', 'secret'], 0)
  await publisher.publish('a/1', 'x'.repeat(100), { qos: 0 })
  await publisher.publish('secret', 'x', { qos: 1 })
  await vi.waitFor(() => expect(dropped.splice(0)).toEqual(['small a/1 tooLarge 1', 'small secret notAuthorized 1']))
  await small.disconnect()
  const absent = await connectClient(broker, { clientId: 'absent', clean: false })
  await absent.subscribe('#', 1)
  await absent.disconnect()
  await vi.waitFor(() => expect(broker.statistics.clients).toBe(1))
  await publisher.publish('kept', 'x', { qos: 1, properties: { messageExpiryInterval: 1 } })
  await publisher.publish('one/too/many', 'x', { qos: 1 })
  clock.advance(2000)
  await publisher.publish('in/its/place', 'x', { qos: 1 })
  await vi.waitFor(() => expect(dropped).toEqual(['absent one/too/many queueFull 1', 'absent kept expired 1']))
  expect((await broker.session('absent'))?.dropped).toMatchObject({ queueFull: 1, expired: 1 })
})

it('messages of QoS 0 for a slow reader are told of, each with its topic', async () => {
  const broker = await startBroker({ limits: { maximumOutgoingBytes: 65_536 } })
  const topics = new Set<string | undefined>()
  broker.on('messageDropped', ({ clientId, topic, reason }) => topics.add(`${clientId} ${topic} ${reason}`))
  const slow = await connectClient(broker, { clientId: 'slow' })
  await slow.subscribe('#', 0)
  slow.pause()
  const publisher = await connectClient(broker)
  await vi.waitFor(async () => {
    for (let n = 0; n < 20; n++) await publisher.publish(`a/${n % 2}`, Buffer.alloc(60_000), { qos: 0 })
    await publisher.quiet()
    expect([...topics].sort()).toEqual(['slow a/0 slowReader', 'slow a/1 slowReader'])
  }, 10_000)
})

it.each([
  [1, true],
  [2, true],
  [1, false],
  [2, false],
] as const)('an acknowledgement of QoS %d is told of, clean session: %s', async (qos, clean) => {
  const broker = await startBroker()
  const acknowledged: string[] = []
  broker.on('messageAcknowledged', ({ topic, packetIdentifier }, { clientId }) =>
    acknowledged.push(`${clientId} ${topic} ${packetIdentifier}`),
  )
  const client = await connectClient(broker, { clientId: 'one', clean })
  client.autoAcknowledge = true
  await client.subscribe('a', qos)
  const publisher = await connectClient(broker)
  await publisher.publish('a', 'x', { qos })
  await vi.waitFor(() => expect(acknowledged).toEqual(['one a 1']))
})

it('what a topic retains is told of', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock })
  const changes: string[] = []
  broker.on('retainedChanged', (topic, message) => changes.push(`${topic}=${message?.payload ?? 'nothing'}`))
  await broker.publish({ topic: 'a', payload: '1', retain: true })
  await broker.publish({ topic: 'a', payload: '2', retain: true })
  await broker.publish({ topic: 'a', payload: '', retain: true })
  await broker.publish({ topic: 'a', payload: '', retain: true })
  await broker.publish({ topic: 'b', payload: '1', retain: true, properties: { messageExpiryInterval: 1 } })
  clock.advance(2000)
  await broker.publish({ topic: 'c', payload: '1', retain: true })
  await broker.deleteRetained('c')
  await vi.waitFor(() => expect(changes).toEqual(['a=1', 'a=2', 'a=nothing', 'b=1', 'b=nothing', 'c=1', 'c=nothing']))
})

it('a listener may do what it likes: it finds no step half done', async () => {
  const { broker, told } = await toldBy({ limits: { maximumQueuedMessages: 1 } })
  broker.on('sessionEnded', () => void broker.publish({ topic: 'x', payload: 'y', retain: true }))
  broker.on('retainedChanged', () => void broker.deleteRetained('x'))
  let drops = 0
  broker.on('messageDropped', ({ clientId }) => {
    drops++
    void broker.deleteSession(clientId)
  })
  const client = await connectClient(broker, { clientId: 'one', clean: false })
  await client.subscribe('a', 1)
  await client.disconnect()
  await vi.waitFor(() => expect(broker.statistics.clients).toBe(0))
  for (let n = 0; n < 3; n++) await broker.publish({ topic: 'a', payload: 'x', qos: 1 })
  await vi.waitFor(() => expect(told).toEqual(['created one', 'ended one deleted']))
  await vi.waitFor(() => expect([drops, broker.statistics.retainedMessages]).toEqual([1, 0]))
})

it('listeners that cause their event anew keep nobody from having a turn', async () => {
  const broker = await startBroker()
  let count = 0
  const again = (): void => void broker.publish({ topic: 'a', payload: String(++count), retain: true })
  broker.on('retainedChanged', again)
  again()
  for (let turn = 0; turn < 10; turn++) await nextTurn()
  broker.off('retainedChanged', again)
  expect(count).toBeGreaterThan(10)
  const client = await connectClient(broker)
  expect(await client.quiet()).toEqual([])
})

it('every event is a channel of diagnostics_channel too', async () => {
  const seen: string[] = []
  const brokers = new Set<unknown>()
  const names = ['client:connected', 'client:subscribed', 'message:published', 'session:ended', 'broker:closed']
  for (const name of names) {
    const note = (message: unknown): void => {
      const { broker, ...values } = message as { broker: MqttBroker }
      brokers.add(broker)
      seen.push(`${name} ${Object.keys(values)}`)
    }
    channel(`gnatmq:${name}`).subscribe(note)
    onTestFinished(() => void channel(`gnatmq:${name}`).unsubscribe(note))
  }
  const broker = await startBroker()
  expect(broker.listenerCount('published')).toBe(1)
  const client = await connectClient(broker)
  await client.subscribe('a')
  await client.publish('a', 'x', { qos: 1 })
  await client.disconnect()
  await vi.waitFor(() => expect(broker.statistics.clients).toBe(0))
  await broker.stop()
  expect(seen).toEqual([
    'client:connected client',
    'client:subscribed client,subscription',
    'message:published message,client',
    'session:ended clientId,why',
    'broker:closed ',
  ])
  expect([...brokers]).toEqual([broker])
})

it('nothing is built where nobody listens', async () => {
  const broker = await startBroker({ limits: { maximumQueuedMessages: 1 } })
  const built: (keyof BrokerEvents)[] = []
  const emit = vi.spyOn(broker, 'emit').mockImplementation((...args) => built.push(args[0]) > 0)
  const client = await connectClient(broker, { clientId: 'one', clean: false })
  await client.subscribe('a', 1)
  await broker.publish({ topic: 'a', payload: 'x', qos: 1, retain: true })
  await client.acknowledge((await client.nextMessage()).packet)
  await client.disconnect()
  await vi.waitFor(() => expect(broker.statistics.clients).toBe(0))
  for (let n = 0; n < 3; n++) await broker.publish({ topic: 'a', payload: 'x', qos: 1 })
  await broker.deleteSession('one')
  expect(built.filter((name) => /message|retained|Ended/.test(name))).toEqual([])
  emit.mockRestore()
})
