/**
 * What is measured. `kind` says how (measure.js), `job` is what the load gets (load.js). `quick` marks what
 * `--quick` runs, `relay` what a relay without MQTT can do too, `rounds` how many rounds are enough, `fresh` what needs a
 * process of its own, since it changes what others would find there: memory, and a backlog.
 */
const load = {
  kind: 'loop',
  pattern: 'one',
  publishers: 1,
  subscribers: 1,
  qos: 0,
  window: 20,
  payloadBytes: 16,
  credit: 1000,
  version: 4,
  properties: 'none',
  alias: false,
  rate: 0,
}

const loop = (id, title, job, more = {}) => ({
  id,
  title,
  kind: 'loop',
  job: { ...load, ...job },
  relay:
    more.tls !== true &&
    (job.qos ?? 0) === 0 &&
    (job.version ?? 4) === 4 &&
    ['one', 'pairs'].includes(job.pattern ?? 'one'),
  ...more,
})

const quick = { quick: true }
const many = { publishers: 50, credit: 100 }
const fan = { subscribers: 500, credit: 32 }
const pairs = { pattern: 'pairs', publishers: 50, subscribers: 50, credit: 100 }
const wild = { pattern: 'wild', publishers: 100, subscribers: 100, credit: 50 }

const core = [
  loop('a1', 'one to one, QoS 0, 16 B', { credit: 2000 }, quick),
  loop('a2', 'one to one, QoS 0, 256 B', { payloadBytes: 256 }),
  loop('a3', 'one to one, QoS 0, 4 KiB', { credit: 100, payloadBytes: 4096 }),
  loop('b0', '50 to one, QoS 0', many, quick),
  loop('b1', '50 to one, QoS 1', { ...many, qos: 1 }),
  loop('c0', 'one to 500, QoS 0', fan, quick),
  loop('c1', 'one to 500, QoS 1', { ...fan, qos: 1 }),
  loop('d0', '50 pairs, QoS 0', pairs, quick),
  loop('d1', '50 pairs, QoS 1', { ...pairs, qos: 1 }, quick),
  loop('d2', '50 pairs, QoS 2', { ...pairs, qos: 2 }, quick),
  loop('e', '10,000 filters with wildcards, 4 matches each', wild, quick),
]

const paced = (id, title, job, more = {}) => ({ ...loop(id, title, { ...job, credit: 1 }, more), kind: 'paced' })

/** More rounds say no more, and take long. */
const long = { fresh: true, rounds: 3 }

/** The disturbance runs in a process of its own; the steady traffic is 10 pairs with QoS 1. */
const share = (id, title, disturbance, more = {}) => ({
  id,
  title,
  kind: 'share',
  fresh: true,
  job: { ...load, pattern: 'pairs', publishers: 10, subscribers: 10, credit: 100, qos: 1 },
  disturbance: { version: 4, ...disturbance },
  ...more,
})

/** Disturbances that know whether the broker keeps up with them. */
const pressed = { kind: 'pressed' }

/** A tenth with `+`, a tenth with `#`, no two the same. */
const filters = { clients: 100, filtersOfPacket: 100, version: 4 }

const routing = (id, title, count) => ({
  id,
  title,
  kind: 'filters',
  job: { ...load, ...filters, kind: 'filters', filters: count, messages: 100_000 },
  ...long,
})

const inVersion5 = core.map(({ id, title, job }) =>
  loop(`${id}-v5`, `${title}, MQTT 5`, { ...job, version: 5 }, id === 'd1' ? quick : {}),
)

const properties = [
  loop('a2-user', 'a2, MQTT 5 with two user properties', { payloadBytes: 256, version: 5, properties: 'user' }),
  loop('d1-user', 'd1, MQTT 5 with two user properties', { ...pairs, qos: 1, version: 5, properties: 'user' }),
  loop('a2-alias', 'a2, MQTT 5 with a Topic Alias', { payloadBytes: 256, version: 5, alias: true }),
  loop('d1-alias', 'd1, MQTT 5 with a Topic Alias', { ...pairs, qos: 1, version: 5, alias: true }),
]

export const scenarios = [
  ...core,
  paced('f', 'paced, 5,000 messages a second', { rate: 5000 }, quick),
  paced('latency', '50 pairs, QoS 1, 20,000 messages a second', { ...pairs, qos: 1, rate: 20_000 }),
  { id: 'g', title: 'idle connections', kind: 'idle', job: { kind: 'idle', connections: 10_000, version: 4 }, ...long },
  {
    id: 'h',
    title: 'queue of one offline session, QoS 1',
    kind: 'queue',
    job: { ...load, kind: 'queue', qos: 1, messages: 20_000, credit: 20_000 },
    ...long,
  },
  ...inVersion5,
  ...properties,
  loop('a2-tls', 'a2, TLS 1.3', { payloadBytes: 256 }, { tls: true }),
  loop('d1-tls', 'd1, TLS 1.3', { ...pairs, qos: 1 }, { tls: true }),
  loop('unique', 'one to one, QoS 0, topics that never repeat', { pattern: 'unique' }, quick),
  routing('routing-10k', '10,000 filters, a fifth with wildcards', 10_000),
  routing('routing-100k', '100,000 filters, a fifth with wildcards', 100_000),
  routing('routing-1m', 'a million filters, a fifth with wildcards', 1_000_000),
  share('slow', 'steady traffic beside a subscriber that never reads', {
    kind: 'flood',
    rate: 10_000,
    payloadBytes: 4096,
  }),
  share(
    'storm',
    'steady traffic while 10,000 clients connect, 2,000 a second',
    { kind: 'storm', connections: 10_000, rate: 2000 },
    pressed,
  ),
  share(
    'churn',
    'steady traffic with 10,000 SUBSCRIBE and UNSUBSCRIBE a second',
    { kind: 'churn', rate: 10_000 },
    pressed,
  ),
  share(
    'misses',
    'steady traffic with 20,000 messages a second whose topics never repeat and nobody wants',
    { ...load, kind: 'misses', rate: 20_000 },
    pressed,
  ),
  share(
    'million',
    'steady traffic beside a million subscriptions',
    { ...filters, kind: 'million', filters: 1_000_000, filtersOfPacket: 500 },
    long,
  ),
]

const disturbed = [
  { key: 'share', title: '% of the undisturbed rate', better: 'more' },
  { key: 'time', title: '% of the CPU time left to the traffic', better: 'more' },
]

/** The figures of each kind, the first being the one that brokers are compared by. `better` says which way is good. */
export const figures = {
  loop: [
    { key: 'cpu', title: 'µs CPU a delivered message', better: 'less' },
    { key: 'rate', title: 'delivered messages a second', better: 'more' },
  ],
  paced: [
    { key: 'cpu', title: 'µs CPU a delivered message', better: 'less' },
    { key: 'median', title: 'µs median latency', better: 'less' },
    { key: 'p99', title: 'µs latency, 99th percentile', better: 'less' },
  ],
  idle: [
    { key: 'bytes', title: 'bytes of memory a connection', better: 'less' },
    { key: 'connect', title: 'µs CPU a connect', better: 'less' },
  ],
  queue: [
    { key: 'store', title: 'µs CPU a stored message', better: 'less' },
    { key: 'drain', title: 'µs CPU a drained message', better: 'less' },
    { key: 'bytes', title: 'bytes of memory a stored message', better: 'less' },
  ],
  filters: [
    { key: 'publish', title: 'µs CPU a message with a topic that never repeats', better: 'less' },
    { key: 'subscribe', title: 'µs CPU a filter subscribed', better: 'less' },
    { key: 'unsubscribe', title: 'µs CPU a filter unsubscribed', better: 'less' },
    { key: 'bytes', title: 'bytes of memory a subscription', better: 'less' },
  ],
  share: disturbed,
  pressed: [...disturbed, { key: 'pace', title: '% of the pace of the disturbance kept', better: 'more' }],
}
