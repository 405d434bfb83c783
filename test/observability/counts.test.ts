import { beforeAll, describe, expect, it, vi } from 'vitest'
import { MqttBroker } from '../../src/index'
import { prometheusText } from '../../src/observability/metrics/index'
import { MemoryStore } from '../../src/persistence/memory-store'
import type { BrokerStatistics } from '../../src/ports/statistics'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { RawClient } from '../support/raw-client'

/*
 * One workload, whose size is known: every counter of `statistics`, metric, topic below $SYS and field of a session is what it must be.
 *
 * pub     sends 5 messages of QoS 0, 2 of QoS 1 and 1 of QoS 2
 * sub     gets the 6 below a/, in a session that ends with its connection, and is the only member of a shared group
 * absent  has a queue of 2 messages, and the third of QoS 1 or 2 is dropped
 * brief   leaves a session of a second
 * small   takes packets of 50 bytes, and is sent one of 100
 * Two more are refused.
 */

/** Answers each commit later. */
class LateStore extends MemoryStore {
  override async commit(changes: Parameters<MemoryStore['commit']>[0]): Promise<void> {
    super.commit(changes)
  }
}

/** The clock is advanced by so many seconds, with a publication below $SYS in each; all traffic comes before. */
const TICKS = 4
/** Bytes of the packets of `pub`: header, topic with its length, identifier, payload. */
const small = 2 + 5 + 10
const publishSizes = [small, small, small, small + 2, small + 2, small + 2, 2 + 5 + 20, 2 + 5 + 100]

async function work(broker: MqttBroker, clock: SimulatedClock): Promise<RawClient[]> {
  const clients: RawClient[] = []
  const connect = async (options: Parameters<RawClient['connect']>[0]): Promise<RawClient> => {
    const client = await RawClient.open(broker.port)
    clients.push(client)
    await client.connect({ username: 'u', password: 'right', ...options })
    client.autoAcknowledge = true
    return client
  }
  const leave = async (client: RawClient): Promise<void> => {
    const { clients: before } = broker.statistics
    await client.disconnect()
    await vi.waitFor(() => expect(broker.statistics.clients).toBe(before - 1))
  }
  const pub = await connect({ clientId: 'pub' })
  const sub = await connect({ clientId: 'sub' })
  await sub.subscribe(['a/#', '$share/g/s'], 1)
  const absent = await connect({ clientId: 'absent', clean: false })
  await absent.subscribe('a/#', 1)
  await leave(absent)
  await leave(await connect({ clientId: 'brief', protocolVersion: 5, properties: { sessionExpiryInterval: 1 } }))
  const properties = { maximumPacketSize: 50 }
  await (await connect({ clientId: 'small', protocolVersion: 5, properties })).subscribe('big', 0)
  for (let n = 0; n < 2; n++) await (await connect({ clientId: `no-${n}`, password: 'wrong' })).closed()
  for (const qos of [0, 0, 0, 1, 1, 2] as const) await pub.publish('a/1', 'x'.repeat(10), { qos })
  await pub.publish('r/1', 'x'.repeat(20), { qos: 0, retain: true })
  await pub.publish('big', 'x'.repeat(100), { qos: 0 })
  await pub.quiet()
  await vi.waitFor(() => expect(sub.received.filter(({ cmd }) => cmd === 'publish')).toHaveLength(6))
  await sub.quiet()
  clock.advance(TICKS * 1000)
  await vi.waitFor(() => expect(broker.statistics).toMatchObject({ sessions: 4, connections: 3, commits: 9 }))
  return clients
}

async function measured(sysInterval: number | undefined) {
  const clock = new SimulatedClock()
  const broker = await MqttBroker.start({
    port: 0,
    clock,
    store: new LateStore(),
    sysInterval,
    limits: { maximumQueuedMessages: 2 },
    authenticate: async (_client, { password }) => `${password}` === 'right',
  })
  prometheusText(broker)
  const clients = await work(broker, clock)
  const system: Record<string, string> = {}
  for await (const { topic, payload } of broker.retained('$SYS/#')) system[topic.slice(12)] = `${payload}`
  const sessions = new Map<string, object>()
  for await (const session of broker.sessions()) sessions.set(session.clientId, session)
  const { statistics } = broker
  const text = prometheusText(broker)
  const received = clients.reduce((sum, { socket }) => sum + socket.bytesWritten, 0)
  const sent = clients.reduce((sum, { receivedBytes }) => sum + receivedBytes.length, 0)
  for (const client of clients) client.destroy()
  await broker.stop()
  return { statistics, text, system, sessions, received, sent, start: clock.wallTime() - TICKS * 1000 }
}

let plain: Awaited<ReturnType<typeof measured>>
let withSystem: typeof plain

beforeAll(async () => {
  plain = await measured(undefined)
  withSystem = await measured(1000)
})

/** All counts but those of bytes on the wire, which the sockets count too, and of memory. */
const expected: Omit<BrokerStatistics, 'receivedBytes' | 'sentBytes' | 'memoryBytes'> = {
  connections: 3,
  clients: 3,
  sessions: 4,
  subscriptions: 4,
  sharedSubscriptions: 1,
  retainedMessages: 1,
  retainedBytes: 23,
  queuedMessages: 2,
  queuedBytes: 26,
  outgoingBytes: 0,
  droppedMessages: 2,
  dropped: { slowReader: 0, queueFull: 1, expired: 0, tooLarge: 1, notAuthorized: 0 },
  receivedMessages: { qos0: 5, qos1: 2, qos2: 1 },
  sentMessages: { qos0: 3, qos1: 3, qos2: 0 },
  refusedSubscriptions: 0,
  refusedRetainedMessages: 0,
  refusedConnections: { GNATMQ_BAD_CREDENTIALS: 2 },
  acceptedConnections: 7,
  acceptedClients: 5,
  maximumClients: 3,
  expiredSessions: 1,
  // absent: session, subscription, two messages, its end of connection; brief: session, end of connection, end; r/1
  commits: 9,
  refusedCommits: 0,
  // the end of brief is committed in the first second of four that pass at once
  commitMs: 3000,
}

describe('statistics', () => {
  it('are exactly what happened', () => {
    const { receivedBytes, sentBytes, memoryBytes, ...others } = plain.statistics
    expect(others).toEqual(expected)
    expect([receivedBytes, sentBytes]).toEqual([plain.received, plain.sent])
    expect(memoryBytes).toBeGreaterThan(0)
  })
})

describe('metrics', () => {
  const gauges = {
    gnatmq_up: 1,
    gnatmq_connections: expected.connections,
    gnatmq_clients: expected.clients,
    gnatmq_clients_maximum: expected.maximumClients,
    gnatmq_sessions: expected.sessions,
    gnatmq_subscriptions: expected.subscriptions,
    gnatmq_shared_subscriptions: 1,
    gnatmq_retained_messages: 1,
    gnatmq_retained_bytes: 23,
    gnatmq_queued_messages: 2,
    gnatmq_queued_bytes: 26,
    gnatmq_outgoing_bytes: 0,
    gnatmq_accepted_connections_total: 7,
    gnatmq_accepted_clients_total: 5,
    'gnatmq_refused_connections_total{code="GNATMQ_BAD_CREDENTIALS"}': 2,
    gnatmq_expired_sessions_total: 1,
    'gnatmq_received_messages_total{qos="0"}': 5,
    'gnatmq_received_messages_total{qos="1"}': 2,
    'gnatmq_received_messages_total{qos="2"}': 1,
    'gnatmq_sent_messages_total{qos="0"}': 3,
    'gnatmq_sent_messages_total{qos="1"}': 3,
    'gnatmq_sent_messages_total{qos="2"}': 0,
    'gnatmq_dropped_messages_total{reason="slow_reader"}': 0,
    'gnatmq_dropped_messages_total{reason="queue_full"}': 1,
    'gnatmq_dropped_messages_total{reason="expired"}': 0,
    'gnatmq_dropped_messages_total{reason="too_large"}': 1,
    'gnatmq_dropped_messages_total{reason="not_authorized"}': 0,
    gnatmq_refused_subscriptions_total: 0,
    gnatmq_refused_retained_messages_total: 0,
    gnatmq_commits_total: 9,
    gnatmq_refused_commits_total: 0,
    gnatmq_commit_duration_seconds_count: 9,
    gnatmq_commit_duration_seconds_sum: 3,
    'gnatmq_commit_duration_seconds_bucket{le="0.0005"}': 8,
    'gnatmq_commit_duration_seconds_bucket{le="2.5"}': 8,
    'gnatmq_commit_duration_seconds_bucket{le="5"}': 9,
    'gnatmq_commit_duration_seconds_bucket{le="+Inf"}': 9,
    gnatmq_hook_duration_seconds_count: 7,
    gnatmq_hook_duration_seconds_sum: 0,
    'gnatmq_hook_duration_seconds_bucket{le="+Inf"}': 7,
    // a tick each tenth of a second; there is nothing before the first to compare it with
    gnatmq_event_loop_delay_seconds_count: TICKS * 10 - 1,
    gnatmq_event_loop_delay_seconds_sum: 0,
    gnatmq_received_message_size_bytes_count: publishSizes.length,
    gnatmq_received_message_size_bytes_sum: publishSizes.reduce((sum, size) => sum + size),
    'gnatmq_received_message_size_bytes_bucket{le="16"}': 0,
    'gnatmq_received_message_size_bytes_bucket{le="64"}': 7,
    'gnatmq_received_message_size_bytes_bucket{le="256"}': 8,
  }

  it.each(Object.entries(gauges))('%s is %d', (name, value) => {
    expect(plain.text).toContain(`\n${name} ${value}\n`)
  })

  it('have the bytes, and every series stands in this table', () => {
    const { received, sent, statistics, text } = plain
    const others = {
      gnatmq_received_bytes_total: received,
      gnatmq_sent_bytes_total: sent,
      gnatmq_memory_bytes: statistics.memoryBytes,
    }
    for (const [name, value] of Object.entries(others)) expect(text).toContain(`\n${name} ${value}\n`)
    const names = [...text.matchAll(/^(gnatmq\S+) /gm)].map(([, name]) => name!)
    const known = [...Object.keys(gauges), ...Object.keys(others)]
    expect(names.filter((name) => !known.includes(name) && !name.includes('_bucket{'))).toEqual([])
  })
})

/** Packets or bytes that came in the first second, and none since. */
const load = (count: number, minutes: number): string => {
  const kept = Math.exp(-1 / (60 * minutes))
  return (count * 60 * (1 - kept) * kept ** (TICKS - 1)).toFixed(2)
}

describe('topics below $SYS', () => {
  it('are exactly what happened, each of them', () => {
    const { received, sent, statistics, system } = withSystem
    const { 'heap/current': heap, version, ...others } = system
    const own = Object.keys(system).length
    const counts = {
      'publish/received': 8,
      'publish/sent': 6,
      'publish/dropped': 2,
      'bytes/received': received,
      'bytes/sent': sent,
      sockets: 7,
      connections: 5,
    }
    const loads = Object.entries(counts).flatMap(([name, count]) =>
      [1, 5, 15].map((minutes) => [`load/${name}/${minutes}min`, load(count, minutes)] as const),
    )
    expect(others).toEqual({
      uptime: `${TICKS} seconds`,
      'clients/connected': '3',
      'clients/active': '3',
      'clients/disconnected': '1',
      'clients/inactive': '1',
      'clients/total': '4',
      'clients/maximum': '3',
      'clients/expired': '1',
      'subscriptions/count': '4',
      'shared_subscriptions/count': '1',
      // these topics themselves are retained
      'retained messages/count': String(1 + own),
      'messages/stored': String(3 + own),
      'store/messages/count': String(3 + own),
      'store/messages/bytes': expect.stringMatching(/^\d+$/),
      'publish/messages/received': '8',
      'publish/messages/sent': '6',
      'publish/messages/dropped': '2',
      'bytes/received': String(received),
      'bytes/sent': String(sent),
      ...Object.fromEntries(loads),
    })
    expect(Number(heap)).toBeGreaterThan(0)
    expect(version).toMatch(/^gnatmq version \d/)
    expect(statistics.commits).toBe(expected.commits)
  })
})

describe('sessions', () => {
  const none = { slowReader: 0, queueFull: 0, expired: 0, tooLarge: 0, notAuthorized: 0 }
  const rows: [name: string, fields: object][] = [
    [
      'pub',
      { dropped: none, subscriptions: 0, inflightMessages: 0, heldMessages: 0, durable: false, expiryInterval: 0 },
    ],
    [
      'sub',
      { dropped: none, subscriptions: 2, inflightMessages: 0, inflightBytes: 0, outgoingBytes: 0, username: 'u' },
    ],
    [
      'small',
      {
        dropped: { ...none, tooLarge: 1 },
        subscriptions: 1,
        limits: expect.objectContaining({ maximumPacketSize: 50 }),
      },
    ],
    [
      'absent',
      { dropped: { ...none, queueFull: 1 }, subscriptions: 1, client: undefined, durable: true, will: undefined },
    ],
  ]

  it.each(rows)('%s is as it was left', (name, fields) => {
    expect([...plain.sessions.keys()]).toEqual(['absent', 'pub', 'small', 'sub'])
    expect(plain.sessions.get(name)).toMatchObject(fields)
  })

  it('absent has two messages, since the start', () => {
    const queue = { messages: 2, bytes: 26, storedMessages: 0, oldestAt: new Date(plain.start) }
    expect(plain.sessions.get('absent')).toMatchObject({ queue })
  })
})
