import { describe, expect, it, vi } from 'vitest'
import type { ExplainCause, ExplainRequest, Explanation, MqttBroker, MqttBrokerOptions } from '../../../src/index'
import { MemoryStore } from '../../../src/persistence/memory-store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import type { ConnectOptions, RawClient, SubscribeOptions } from '../../support/raw-client'

interface Scene {
  readonly broker: MqttBroker
  readonly clock: SimulatedClock
  readonly publisher: RawClient
  /** Connects the client `one`, which subscribes. */
  connect(filter: string | null, qos?: 0 | 1 | 2, options?: ConnectOptions, how?: SubscribeOptions): Promise<RawClient>
  /** The same, and it goes away; its session stays. */
  leave(filter: string, qos?: 0 | 1 | 2): Promise<void>
}

interface Case {
  readonly title: string
  readonly cause: ExplainCause
  readonly delivered?: Explanation['delivered']
  readonly options?: MqttBrokerOptions
  readonly request?: Partial<ExplainRequest>
  /** A part of the details of the check that decides. */
  readonly details?: object
  readonly set: (scene: Scene) => Promise<unknown>
}

const kept: ConnectOptions = { clean: false, protocolVersion: 5, properties: { sessionExpiryInterval: 100 } }

async function open(options: MqttBrokerOptions = {}): Promise<Scene> {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock, ...options })
  const publisher = await connectClient(broker, { clientId: 'publisher', protocolVersion: 5 })
  const connect: Scene['connect'] = async (filter, qos = 1, connectOptions = { protocolVersion: 5 }, how = {}) => {
    const client = await connectClient(broker, { clientId: 'one', ...connectOptions })
    if (filter !== null) await client.subscribe(filter, qos, how)
    return client
  }
  const leave: Scene['leave'] = async (filter, qos) => {
    const client = await connect(filter, qos, kept)
    const gone = clientGone(broker, 'one')
    await client.disconnect()
    await gone
  }
  return { broker, clock, publisher, connect, leave }
}

const cases: Case[] = [
  { title: 'nothing keeps it', cause: 'none', delivered: 'now', set: ({ connect }) => connect('a/#') },
  {
    title: 'the topic has a wildcard',
    cause: 'topic invalid',
    request: { topic: 'a/#' },
    set: ({ connect }) => connect('#'),
  },
  { title: 'there is no session', cause: 'no session', set: async () => undefined },
  {
    title: 'the session has expired',
    cause: 'session expired',
    details: { why: 'expired' },
    set: async ({ clock, leave }) => {
      await leave('a/#')
      clock.advance(101_000)
    },
  },
  {
    title: 'the session has ended with its connection',
    cause: 'session ended',
    details: { why: 'disconnected' },
    set: async ({ broker, connect }) => {
      const client = await connect('a/#')
      const gone = clientGone(broker, 'one')
      await client.disconnect()
      await gone
    },
  },
  {
    title: 'no subscription',
    cause: 'no subscription',
    details: { subscriptions: 1 },
    set: ({ connect }) => connect('b/#'),
  },
  {
    title: 'the topic is hidden from a wildcard',
    cause: 'hidden from wildcard',
    request: { topic: '$x/1' },
    details: { filters: ['#'] },
    set: ({ connect }) => connect('#'),
  },
  {
    title: 'No Local',
    cause: 'no local',
    request: { publisher: 'one' },
    set: ({ connect }) => connect('a/#', 1, { protocolVersion: 5 }, { nl: true }),
  },
  {
    title: 'the publisher may not publish it',
    cause: 'publisher denied',
    request: { publisher: 'publisher' },
    options: { authorizePublish: (_client, { topic }) => topic !== 'a/1' },
    set: ({ connect }) => connect('a/#'),
  },
  {
    title: 'authorizeDelivery denies it',
    cause: 'denied',
    options: { authorizeDelivery: ({ clientId }, { topic }) => clientId !== 'one' || topic !== 'a/1' },
    set: ({ connect }) => connect('a/#'),
  },
  {
    title: 'the rights of the client do not allow it any more',
    cause: 'denied',
    set: async ({ broker, connect }) => {
      await connect('a/#')
      await broker.clients.get('one')!.setRights([
        { permission: 'allow', action: 'subscribe', filter: '#' },
        { permission: 'allow', action: 'deliver', filter: 'a/2' },
      ])
    },
  },
  { title: 'QoS 0 while the client is away', cause: 'offline', request: { qos: 0 }, set: ({ leave }) => leave('a/#') },
  { title: 'QoS 0 by the subscription', cause: 'offline', request: { qos: 2 }, set: ({ leave }) => leave('a/#', 0) },
  {
    title: 'the client is away, and the message waits',
    cause: 'absent',
    delivered: 'later',
    set: ({ leave }) => leave('a/#'),
  },
  {
    title: 'the queue is full by messages',
    cause: 'queue full',
    options: { limits: { maximumQueuedMessages: 2 } },
    details: { queuedMessages: 2, maximumQueuedMessages: 2, ofTopic: 1, firstOfTopic: 2 },
    set: async ({ leave, publisher }) => {
      await leave('a/#')
      for (const topic of ['a/2', 'a/1']) await publisher.publish(topic, 'x', { qos: 1 })
    },
  },
  {
    title: 'the queue is full by bytes',
    cause: 'queue bytes full',
    options: { limits: { maximumQueuedBytes: 100 } },
    request: { size: 50 },
    details: { queuedBytes: 63 },
    set: async ({ leave, publisher }) => {
      await leave('a/#')
      await publisher.publish('a/2', 'x'.repeat(60), { qos: 1 })
    },
  },
  {
    title: 'all queues together are full',
    cause: 'all queues full',
    options: { limits: { maximumTotalQueuedMessages: 2, maximumQueuedMessages: 1000 } },
    set: async ({ broker, leave, publisher }) => {
      const other = await connectClient(broker, { clientId: 'other', clean: false })
      await other.subscribe('b', 1)
      const gone = clientGone(broker, 'other')
      await other.disconnect()
      await gone
      await leave('a/#')
      for (let n = 0; n < 2; n++) await publisher.publish('b', 'x', { qos: 1 })
    },
  },
  {
    title: 'a former message has been dropped by a full queue',
    cause: 'queue full',
    delivered: 'now',
    options: { limits: { maximumQueuedMessages: 1 } },
    details: { reason: 'queueFull', topic: 'a/1', dropped: 1 },
    set: async ({ connect, leave, publisher }) => {
      await leave('a/#')
      for (let n = 0; n < 2; n++) await publisher.publish('a/1', 'x', { qos: 1 })
      const client = await connect(null, 1, { ...kept })
      await client.acknowledge((await client.nextMessage()).packet)
      await client.quiet()
    },
  },
  {
    title: 'a former message has expired',
    cause: 'expired',
    delivered: 'now',
    details: { reason: 'expired', topic: 'a/1' },
    set: async ({ clock, connect, leave, publisher }) => {
      await leave('a/#')
      await publisher.publish('a/1', 'x', { qos: 1, properties: { messageExpiryInterval: 1 } })
      clock.advance(2000)
      const client = await connect(null, 1, kept)
      expect(await client.quiet()).toEqual([])
    },
  },
  {
    title: 'the packet is too large for the client',
    cause: 'too large',
    request: { size: 100 },
    details: { maximumPacketSize: 100 },
    set: ({ connect }) => connect('a/#', 1, { protocolVersion: 5, properties: { maximumPacketSize: 100 } }),
  },
  {
    title: 'the window is full',
    cause: 'window full',
    delivered: 'later',
    details: { inflight: 2, window: 2 },
    set: async ({ connect, publisher }) => {
      const client = await connect('a/#', 1, { protocolVersion: 5, properties: { receiveMaximum: 2 } })
      for (let n = 0; n < 2; n++) await publisher.publish('a/2', 'x', { qos: 1 })
      await client.nextMessage()
    },
  },
  {
    title: 'the window is full by bytes',
    cause: 'window bytes full',
    delivered: 'later',
    options: { limits: { maximumInflightBytes: 100 } },
    request: { size: 100 },
    set: async ({ connect, publisher }) => {
      await connect('a/#', 1, kept)
      await publisher.publish('a/2', 'x'.repeat(50), { qos: 1 })
    },
  },
  {
    title: 'others wait before it',
    cause: 'window full',
    delivered: 'later',
    set: async ({ connect, publisher }) => {
      await connect('a/#', 1, { protocolVersion: 5, properties: { receiveMaximum: 1 } })
      for (let n = 0; n < 3; n++) await publisher.publish('a/2', 'x', { qos: 1 })
    },
  },
  {
    title: 'the shared group has given it to another',
    cause: 'shared group',
    details: { filter: '$share/g/a/#', members: 2, last: 'other' },
    options: { sharedSubscriptionStrategy: 'sticky' },
    set: async ({ broker, connect, publisher }) => {
      const other = await connectClient(broker, { clientId: 'other' })
      await other.subscribe('$share/g/a/#', 1)
      await publisher.publish('a/1', 'x', { qos: 1 })
      await connect('$share/g/a/#')
      await publisher.publish('a/1', 'x', { qos: 1 })
    },
  },
  {
    title: 'the topic retains nothing',
    cause: 'nothing retained',
    request: { retained: true },
    set: ({ connect }) => connect('a/#'),
  },
  {
    title: 'Retain Handling 2 brings no retained messages',
    cause: 'retain handling',
    request: { retained: true },
    set: async ({ broker, connect }) => {
      await broker.publish({ topic: 'a/1', payload: 'x', retain: true })
      await connect('a/#', 1, { protocolVersion: 5 }, { rh: 2 })
    },
  },
  {
    title: 'a shared subscription brings no retained messages',
    cause: 'shared group',
    request: { retained: true },
    set: async ({ broker, connect }) => {
      await broker.publish({ topic: 'a/1', payload: 'x', retain: true })
      await connect('$share/g/a/#')
    },
  },
  {
    title: 'the client reads too slowly',
    cause: 'slow reader',
    request: { qos: 0 },
    options: { limits: { maximumOutgoingBytes: 65_536 } },
    set: async ({ broker, connect, publisher }) => {
      const client = await connect('a/#', 0)
      client.pause()
      await vi.waitFor(async () => {
        for (let n = 0; n < 20; n++) await publisher.publish('a/2', Buffer.alloc(60_000), { qos: 0 })
        await publisher.quiet()
        expect((await broker.session('one'))!.dropped.slowReader).toBeGreaterThan(0)
      })
    },
  },
]

describe('explain names the cause where', () => {
  it.each(cases)('$title', async ({ cause, delivered = 'no', details, options, request, set }) => {
    const scene = await open(options)
    await set(scene)
    const answer = await scene.broker.explain({ clientId: 'one', topic: 'a/1', ...request })
    const shown = JSON.stringify(answer.checks)
    expect([answer.cause, answer.delivered], shown).toEqual([cause, delivered])
    const decisive = answer.checks.filter(({ passed }) => !passed)
    expect(decisive.length === 0, shown).toBe(cause === 'none')
    if (details !== undefined)
      expect(decisive.map((check) => check.details)).toContainEqual(expect.objectContaining(details))
  })
})

it('more than twenty causes are told apart', () => {
  expect(new Set(cases.map(({ cause }) => cause)).size).toBeGreaterThan(20)
})

it('what is still in the store is told of', async () => {
  const store = new MemoryStore()
  const first = await startBroker({ store })
  const client = await connectClient(first, { clientId: 'one', clean: false })
  await client.subscribe('a/#', 1)
  await client.disconnect()
  await first.publish({ topic: 'a/1', payload: 'x', qos: 1 })
  await first.stop()
  const second = await startBroker({ store })
  const { cause, checks } = await second.explain({ clientId: 'one', topic: 'a/1' })
  expect([cause, checks.map(({ check, passed }) => `${check} ${passed}`)]).toEqual([
    'absent',
    [
      'topic true',
      'session true',
      'subscription true',
      'qos true',
      'connection false',
      'restored false',
      'queue false',
      'room true',
    ],
  ])
})

it('asks hooks as they are asked for a message, and stands what they do', async () => {
  const { broker, connect } = await open({
    authorizeDelivery: (client) => {
      if (client.clientId === 'one') throw new Error('of the hook')
      return true
    },
  })
  await connect('a/#')
  expect((await broker.explain({ clientId: 'one', topic: 'a/1' })).cause).toBe('denied')
})

it('refuses wrong arguments', async () => {
  const { broker } = await open()
  const code = 'GNATMQ_OPTION_INVALID'
  for (const request of [
    {},
    { clientId: 'a' },
    { clientId: 'a', topic: 'b', qos: 3 },
    { clientId: 'a', topic: 'b', size: -1 },
  ])
    await expect(broker.explain(request as never)).rejects.toMatchObject({ code })
  await expect(broker.explain({ clientId: 'a', topics: 'b' } as never)).rejects.toThrow(/did you mean topic/)
})
