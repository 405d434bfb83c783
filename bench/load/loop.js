import { setTimeout as sleep } from 'node:timers/promises'
import { encodePublish } from './packets.js'
import { PublishBuffer } from './publish-buffer.js'
import { Publisher } from './publisher.js'
import { RawPublisher, RawSubscriber } from './raw.js'
import { Subscriber } from './subscriber.js'
import { patterns, topicOf } from './topics.js'
import { Verification } from './verification.js'

/** Connections that are opened at once. */
const openedAtOnce = 64
const stallMs = 700
/** At the end: how long nothing may arrive until the rest counts as lost, and until it is certain that nothing more comes. */
const lateMs = 1000
const quietMs = 50

export async function inParallel(count, atOnce, open) {
  let next = 0
  const worker = async () => {
    while (next < count) await open(next++)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker))
}

/**
 * The closed loop: publishers and subscribers, with a bound on what is undelivered. With `rate` it is an open loop
 * instead: that many messages a second, each with the time when it is due.
 */
export class Loop {
  publishers = []
  subscribers = []
  lost = 0
  failure = null
  #scheduled = false
  #stopped = true
  #stall = null

  constructor(job, label) {
    this.job = job
    this.label = label
    this.pattern = patterns[job.pattern]
    this.fanout = this.pattern.fanout(job)
    this.wake = () => {
      if (this.#scheduled || this.#stopped || job.rate > 0) return
      this.#scheduled = true
      setImmediate(this.turn)
    }
    this.turn = () => {
      this.#scheduled = false
      if (this.#stopped) return
      if (job.raw && job.pattern === 'one') this.shareDeliveries()
      for (let index = 0; index < this.publishers.length; index++) this.publishers[index].pump()
    }
    this.failed = (error) => {
      this.failure ??= error
      this.#stopped = true
    }
  }

  get delivered() {
    return this.subscribers.reduce((sum, subscriber) => sum + subscriber.count, 0)
  }

  get expected() {
    return this.publishers.reduce((sum, publisher) => sum + publisher.sent, 0) * this.fanout
  }

  /** Without packets it is not known whose message it was: all publishers have the same share. */
  shareDeliveries() {
    const share = this.delivered / this.publishers.length
    for (const publisher of this.publishers) publisher.delivered = share
  }

  async open() {
    const { job } = this
    const failing = new Promise((_, reject) => {
      const { failed } = this
      this.failed = (error) => {
        failed(error)
        reject(error)
      }
    })
    failing.catch(() => {})
    const opened = (async () => {
      await inParallel(job.subscribers, openedAtOnce, (index) => this.openSubscriber(index))
      await inParallel(job.publishers, openedAtOnce, (index) => this.openPublisher(index))
      await sleep(100)
    })()
    await Promise.race([opened, failing])
    this.countBytes()
    this.#stopped = false
    if (job.rate > 0) this.pace()
    else {
      this.wake()
      this.watch()
    }
  }

  async openSubscriber(index) {
    const { job } = this
    const fail = (error) => this.failed(error)
    if (job.raw) {
      this.subscribers[index] = new RawSubscriber(job, fail, { job, publishers: this.publishers, wake: this.wake })
      return this.subscribers[index].greet(job.pattern === 'pairs' ? index : 0)
    }
    const verification = job.verify ? new Verification(job, fail) : null
    const subscriber = new Subscriber(job, fail, { job, publishers: this.publishers, wake: this.wake, verification })
    this.subscribers[index] = subscriber
    await subscriber.connect({ clientId: `${this.label}-s${index}`, version: job.version })
    await subscriber.subscribe(this.pattern.filters(index), job.qos, job.version)
  }

  async openPublisher(index) {
    const { job } = this
    const fail = (error) => this.failed(error)
    const longest = Math.min(job.credit, job.qos > 0 ? job.window : job.credit)
    const buffer = new PublishBuffer(job, index, longest)
    const settings = { job, buffer, fanout: this.fanout, wake: this.wake }
    const publisher = new (job.raw ? RawPublisher : Publisher)(job, fail, settings)
    this.publishers[index] = publisher
    if (job.raw) return publisher.greet(job.pattern === 'pairs' ? index : 0)
    await publisher.connect({ clientId: `${this.label}-p${index}`, version: job.version })
  }

  /** Where a subscriber has one publisher and nothing to acknowledge, bytes are enough. */
  countBytes() {
    const { job } = this
    if (job.verify || job.qos > 0 || job.rate > 0) return
    const { properties, version, pattern } = job
    const payload = Buffer.alloc(job.payloadBytes)
    const { length } = encodePublish({ topic: topicOf(pattern, 0, 0), version, properties, payload })
    this.subscribers.forEach((subscriber, index) => {
      const source = pattern === 'pairs' ? this.publishers[index] : this.publishers[0]
      const single = pattern === 'pairs' || this.publishers.length === 1
      if (single) subscriber.countBytes(length, source)
      else if (job.raw) subscriber.countBytes(length, null)
    })
  }

  /** Busy on purpose: a timer is not exact enough for messages that are 50 µs apart. */
  pace() {
    const start = performance.now()
    let sequence = 0
    const turn = () => {
      if (this.#stopped) return
      const due = ((performance.now() - start) / 1000) * this.job.rate
      for (; sequence < due; sequence++)
        this.publishers[sequence % this.publishers.length].publishAt(start + (sequence * 1000) / this.job.rate)
      setImmediate(turn)
    }
    turn()
  }

  /** When nothing arrives for a while, messages were lost: they are counted, and the window opens again. */
  watch() {
    let seen = -1
    let since = performance.now()
    this.#stall = setInterval(() => {
      const { delivered } = this
      if (delivered !== seen) {
        seen = delivered
        since = performance.now()
      } else if (performance.now() - since > stallMs) {
        for (const publisher of this.publishers) {
          this.lost += publisher.sent * this.fanout - publisher.delivered
          publisher.delivered = publisher.sent * this.fanout
        }
        since = performance.now()
        this.wake()
      }
    }, 100)
  }

  /** `latencies` true starts their record, and ends it with the next call. */
  snapshot({ latencies = false } = {}) {
    if (this.failure) throw this.failure
    const recorded = this.subscribers.flatMap((subscriber) => subscriber.latencies ?? [])
    for (const subscriber of this.subscribers) subscriber.latencies = latencies ? [] : null
    return { delivered: this.delivered, latencies: recorded }
  }

  /** Stops sending, waits for what is under way, and answers what did not come (positive) or came too often (negative). */
  async finish() {
    this.#stopped = true
    let last = this.delivered
    let quietSince = performance.now()
    // also when all are there: a message that came twice may hide one that is still to come
    const patienceMs = () => (this.delivered < this.expected ? lateMs : quietMs)
    while (performance.now() - quietSince < patienceMs() && !this.failure) {
      await sleep(10)
      if (this.delivered === last) continue
      last = this.delivered
      quietSince = performance.now()
    }
    const result = { sent: this.expected, delivered: this.delivered, ...this.mismatch() }
    this.close()
    if (this.failure) throw this.failure
    return result
  }

  /** Counted for each publisher and for each subscriber, so that a loss here and a repetition there do not cancel out. */
  mismatch() {
    const { job, publishers, subscribers } = this
    let missing = 0
    let extra = 0
    const compare = (got, wanted) => {
      missing += Math.max(0, wanted - got)
      extra += Math.max(0, got - wanted)
    }
    subscribers.forEach((subscriber, index) => {
      const sources = this.pattern.sources(index) ?? publishers.map((_, publisher) => publisher)
      compare(
        subscriber.count,
        sources.reduce((sum, source) => sum + (publishers[source]?.sent ?? 0), 0),
      )
    })
    const repeated = subscribers.reduce((sum, subscriber) => sum + subscriber.repeated, 0)
    const countedBySource = !(job.raw && job.pattern === 'one') && this.lost === 0
    if (countedBySource && missing === 0 && extra === 0)
      for (const publisher of publishers) compare(publisher.delivered, publisher.sent * this.fanout)
    return { missing, extra: extra + repeated }
  }

  close() {
    clearInterval(this.#stall)
    this.#stopped = true
    for (const client of [...this.publishers, ...this.subscribers]) client?.close()
  }
}
