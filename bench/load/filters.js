import { setTimeout as sleep } from 'node:timers/promises'
import { Failing } from './failing.js'
import { encodePublish } from './packets.js'
import { payloadOf } from './publish-buffer.js'
import { Publisher } from './publisher.js'
import { Subscriber } from './subscriber.js'

const digits = (value, count) => String(value).padStart(count, '0')

/** Of ten filters the first has a `+`, the second a `#`, the others no wildcard. */
const wildcardEnds = ['+/state', '#']

/** Filter number `index` of a client: no other filter, of this client or another, is the same or overlaps it. */
function filterOf(root, client, index) {
  return `${root}/${digits(client, 3)}/${digits(index, 5)}/${wildcardEnds[index % 10] ?? 'temp/state'}`
}

export function filtersOf(root, client, from, to) {
  return Array.from({ length: to - from }, (_, offset) => filterOf(root, client, from + offset))
}

/**
 * `method` is 'subscribe' or 'unsubscribe'. All clients at once; each waits for the answer to one packet before it sends
 * the next. A failure of a connection is the caller's to see: its answer never comes.
 */
export async function inPackets(method, clients, { root = 'fleet', filters, filtersOfPacket, version }) {
  const each = filters / clients.length
  const all = async (client, index) => {
    for (let from = 0; from < each; from += filtersOfPacket) {
      const part = filtersOf(root, index, from, Math.min(from + filtersOfPacket, each))
      if (method === 'subscribe') await client.subscribe(part, 0, version)
      else await client.unsubscribe(part, version)
    }
  }
  await Promise.all(clients.map(all))
  return { filters }
}

/** Coprime to every count of filters, so that all get their turn, and neighbours are far apart. */
const stride = 7919

/** The client of whose wildcard filters exactly one matches message number `sequence`, and its topic, which never repeats. */
export function messageOf(root, clients, filters, sequence) {
  const wildcard = (sequence * stride) % ((filters / 10) * wildcardEnds.length)
  const client = wildcard % clients
  const nth = Math.floor(wildcard / clients)
  const index = Math.floor(nth / wildcardEnds.length) * 10 + (nth % wildcardEnds.length)
  const topic = `${root}/${digits(client, 3)}/${digits(index, 5)}/${digits(sequence, 7)}/state`
  return { client, topic }
}

/** How long nothing may arrive until what is missing counts as lost. */
const patienceMs = 5000
const quietMs = 50

/**
 * What runs before the clock starts: code that has not run yet is slow in Node, on both sides. Few filters: the memory of
 * many would be free again, and those that are measured would seem to need none.
 */
const early = { root: 'early', filtersOfClient: 10, messages: 20_000 }

/**
 * Many filters, spread over some clients: subscribed, published to in a closed loop with messages that one wildcard
 * filter matches each, and unsubscribed. `filters` is a multiple of ten times `clients`.
 */
export class Filters extends Failing {
  subscribers = []
  publishers = []
  missing = 0
  extra = 0

  constructor(job, label) {
    super()
    this.job = job
    this.label = label
  }

  open() {
    return this.unlessFailing(this.connect())
  }

  async connect() {
    const { job, label, failed, publishers } = this
    const { version } = job
    this.wake = () => {
      if (this.scheduled) return
      this.scheduled = true
      setImmediate(() => {
        this.scheduled = false
        this.pump()
      })
    }
    const settings = { job, publishers, wake: this.wake }
    for (let index = 0; index < job.clients; index++) {
      this.subscribers[index] = new Subscriber(job, failed, settings)
      await this.subscribers[index].connect({ clientId: `${label}-f${index}`, version })
    }
    // what is sent is cut from `bytes`; there is no topic that comes again
    const buffer = {
      first: null,
      slice: (sent, count) => this.bytes.subarray(sent * this.size, (sent + count) * this.size),
    }
    this.publisher = new Publisher(job, failed, { job, buffer, fanout: 1, wake: this.wake })
    publishers.push(this.publisher)
    await this.publisher.connect({ clientId: `${label}-p`, version })
    await this.unlessFailing(this.step('early'))
  }

  /** `step` is 'subscribe', 'encode', 'publish' or 'unsubscribe'. */
  run({ step }) {
    return this.unlessFailing(this.step(step))
  }

  async step(step) {
    if (step === 'early') {
      const small = { ...this.job, ...early, filters: this.job.clients * early.filtersOfClient }
      await inPackets('subscribe', this.subscribers, small)
      this.encode(small)
      await this.publish(small)
      return inPackets('unsubscribe', this.subscribers, small)
    }
    const whole = { root: 'fleet', ...this.job }
    if (step === 'publish') return this.publish(whole)
    if (step === 'encode') return this.encode(whole)
    return inPackets(step, this.subscribers, whole)
  }

  encode({ root, clients, filters, messages, version, payloadBytes }) {
    const payload = payloadOf(0, payloadBytes)
    this.wanted = new Array(clients).fill(0)
    const packets = Array.from({ length: messages }, (_, sequence) => {
      const { client, topic } = messageOf(root, clients, filters, sequence)
      this.wanted[client]++
      return encodePublish({ topic, version, payload })
    })
    this.bytes = Buffer.concat(packets)
    this.size = packets[0].length
    this.publisher.sent = 0
    this.publisher.delivered = 0
    for (const subscriber of this.subscribers) subscriber.count = 0
  }

  pump() {
    const { publisher, target, job } = this
    if (!target || publisher.pending || this.failure) return
    const open = Math.min(job.credit - (publisher.sent - publisher.delivered), target - publisher.sent)
    if (open > 0) publisher.publish(open)
  }

  /** Resolves when all were delivered, or when nothing has come for a while; counts what was lost or came twice. */
  async publish({ messages }) {
    const { publisher, subscribers } = this
    this.target = messages
    this.wake()
    let seen = 0
    let since = performance.now()
    while (publisher.delivered < messages && performance.now() - since < patienceMs && !this.failure) {
      await sleep(1)
      if (publisher.delivered === seen) continue
      seen = publisher.delivered
      since = performance.now()
    }
    const delivered = publisher.delivered
    await sleep(quietMs)
    this.target = 0
    subscribers.forEach((subscriber, index) => {
      this.missing += Math.max(0, this.wanted[index] - subscriber.count)
      this.extra += Math.max(0, subscriber.count - this.wanted[index])
    })
    return { sent: publisher.sent, delivered }
  }

  snapshot() {
    if (this.failure) throw this.failure
    return {}
  }

  finish() {
    const { missing, extra } = this
    this.close()
    if (this.failure) throw this.failure
    return { missing, extra }
  }

  close() {
    for (const client of [...this.publishers, ...this.subscribers]) client.close()
  }
}
