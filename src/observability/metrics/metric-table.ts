import type { BrokerHistograms, BrokerStatistics, CountsByQoS, HistogramCounts } from '../../ports/statistics'

/** The metrics of a broker. */
export interface MeasuredBroker {
  readonly state: string
  readonly statistics: BrokerStatistics
  /** Throws where the broker does not run. */
  histograms(): BrokerHistograms
}

/** One value of a metric. No label is a client or a topic: there would be a series for each of them. */
export interface MetricValue {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  /** Where it is not that of the metric: the parts of a histogram. */
  readonly metricName?: string
}

export interface Metric {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly values: (broker: MeasuredBroker) => readonly MetricValue[]
}

type Read<T> = (statistics: BrokerStatistics) => T

const gauge = (name: string, help: string, read: Read<number>): Metric => ({
  name: `gnatmq_${name}`,
  help,
  type: 'gauge',
  values: ({ statistics }) => [{ labels: {}, value: read(statistics) }],
})

const counter = (name: string, help: string, read: Read<number>): Metric => ({
  ...gauge(name, help, read),
  type: 'counter',
})

/** One counter for each of several labels. */
const counters = (name: string, help: string, label: string, read: Read<Readonly<Record<string, number>>>): Metric => ({
  name: `gnatmq_${name}`,
  help,
  type: 'counter',
  values: ({ statistics }) =>
    Object.entries(read(statistics)).map(([key, value]) => ({ labels: { [label]: key }, value })),
})

const histogram = (name: string, help: string, read: (all: BrokerHistograms) => HistogramCounts): Metric => ({
  name: `gnatmq_${name}`,
  help,
  type: 'histogram',
  values: (broker) => (broker.state === 'running' ? histogramValues(`gnatmq_${name}`, read(broker.histograms())) : []),
})

function histogramValues(name: string, { bounds, counts, count, sum }: HistogramCounts): MetricValue[] {
  let below = 0
  const buckets = counts.map((more, i) => {
    below += more
    const le = bounds[i] === undefined ? '+Inf' : String(bounds[i])
    return { metricName: `${name}_bucket`, labels: { le }, value: below }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: {}, value: sum },
    { metricName: `${name}_count`, labels: {}, value: count },
  ]
}

const byQoS = ({ qos0, qos1, qos2 }: CountsByQoS): Record<string, number> => ({ 0: qos0, 1: qos1, 2: qos2 })

/** The reasons as labels: `slow_reader`. */
function snakeCased(counts: object): Record<string, number> {
  const entries = Object.entries(counts) as [string, number][]
  return Object.fromEntries(
    entries.map(([name, count]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), count]),
  )
}

/** Every metric, in the order of its text. */
export function metricTable(): readonly Metric[] {
  return [
    {
      name: 'gnatmq_up',
      help: 'Whether the broker runs.',
      type: 'gauge',
      values: ({ state }) => [{ labels: {}, value: state === 'running' ? 1 : 0 }],
    },
    gauge('connections', 'Open connections, before and after CONNECT.', (s) => s.connections),
    gauge('clients', 'Connected clients.', (s) => s.clients),
    gauge('clients_maximum', 'The most clients that were connected at a time.', (s) => s.maximumClients),
    gauge('sessions', 'Sessions of connected and absent clients.', (s) => s.sessions),
    gauge('subscriptions', 'Subscriptions of all sessions.', (s) => s.subscriptions),
    gauge('shared_subscriptions', 'Subscriptions of shared groups.', (s) => s.sharedSubscriptions),
    gauge('retained_messages', 'Topics with a retained message.', (s) => s.retainedMessages),
    gauge('retained_bytes', 'Bytes of retained messages.', (s) => s.retainedBytes),
    gauge('queued_messages', 'Messages that wait in sessions.', (s) => s.queuedMessages),
    gauge('queued_bytes', 'Bytes of messages that wait in sessions.', (s) => s.queuedBytes),
    gauge('outgoing_bytes', 'Bytes that wait for slow readers.', (s) => s.outgoingBytes),
    gauge(
      'memory_bytes',
      'Memory that clients make the broker hold, as limits.memory counts it.',
      (s) => s.memoryBytes,
    ),
    counter('accepted_connections_total', 'Connections that were let in.', (s) => s.acceptedConnections),
    counter('accepted_clients_total', 'CONNECT packets that were accepted.', (s) => s.acceptedClients),
    counters(
      'refused_connections_total',
      'Connections that were refused before their CONNECT was accepted, by the code of the error.',
      'code',
      (s) => s.refusedConnections as Record<string, number>,
    ),
    counter('expired_sessions_total', 'Sessions whose Session Expiry Interval was over.', (s) => s.expiredSessions),
    counters('received_messages_total', 'PUBLISH packets of clients, by QoS.', 'qos', (s) => byQoS(s.receivedMessages)),
    counters('sent_messages_total', 'PUBLISH packets to clients, by QoS.', 'qos', (s) => byQoS(s.sentMessages)),
    counter('received_bytes_total', 'Bytes of MQTT packets of clients.', (s) => s.receivedBytes),
    counter('sent_bytes_total', 'Bytes of MQTT packets to clients.', (s) => s.sentBytes),
    counters('dropped_messages_total', 'Messages that one receiver did not get, by reason.', 'reason', (s) =>
      snakeCased(s.dropped),
    ),
    counter('refused_subscriptions_total', 'Subscriptions refused for want of room.', (s) => s.refusedSubscriptions),
    counter(
      'refused_retained_messages_total',
      'Messages not retained because of a bound.',
      (s) => s.refusedRetainedMessages,
    ),
    counter('commits_total', 'Commits that the store was asked for.', (s) => s.commits),
    counter('refused_commits_total', 'Commits that the store refused.', (s) => s.refusedCommits),
    histogram(
      'commit_duration_seconds',
      'Time of commits that the store did not answer at once.',
      (h) => h.commitSeconds,
    ),
    histogram('hook_duration_seconds', 'Time of hooks that answered with a promise.', (h) => h.hookSeconds),
    histogram('event_loop_delay_seconds', 'How much later than it should a timer came.', (h) => h.loopDelaySeconds),
    histogram('received_message_size_bytes', 'Size of PUBLISH packets of clients.', (h) => h.messageBytes),
  ]
}
