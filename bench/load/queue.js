import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.js'
import { disconnectPacket } from './packets.js'
import { PublishBuffer } from './publish-buffer.js'
import { Publisher } from './publisher.js'
import { Subscriber } from './subscriber.js'
import { patterns } from './topics.js'

const patienceMs = 30_000

/** One session that is away while messages of QoS 1 are stored for it, and then comes back for them. */
export class Queue {
  failure = null
  publishers = []

  constructor(job, label) {
    this.job = job
    this.identity = { clientId: `${label}-queue`, version: job.version }
    this.label = label
    this.failed = (error) => {
      this.failure ??= error
    }
    this.settings = { job, publishers: this.publishers, wake() {} }
  }

  async open() {
    const { job } = this
    const away = new Subscriber(job, this.failed, this.settings)
    await away.connect({ ...this.identity, clean: false })
    await away.subscribe(patterns.one.filters(0), 1, job.version)
    away.closing = true
    away.send(disconnectPacket)
    away.socket.end()
    await once(away.socket, 'close')
    const buffer = new PublishBuffer(job, 0, job.window)
    const wake = () => this.store()
    this.publisher = new Publisher(job, this.failed, { job, buffer, fanout: 1, wake })
    this.publishers.push(this.publisher)
    await this.publisher.connect({ clientId: `${this.label}-p0`, version: job.version })
  }

  /** Publishes all messages and resolves when all are acknowledged. */
  async run({ step }) {
    if (step === 'drain') return this.drain()
    this.storing = true
    this.store()
    await this.until(() => this.publisher.sent === this.job.messages && this.publisher.inflight === 0)
    return { stored: this.publisher.sent }
  }

  store() {
    const { publisher, job } = this
    if (!this.storing || publisher.pending) return
    const open = Math.min(job.window - publisher.inflight, job.messages - publisher.sent)
    if (open > 0) publisher.publish(open)
  }

  async drain() {
    this.subscriber = new Subscriber(this.job, this.failed, this.settings)
    const present = await this.subscriber.connect({ ...this.identity, clean: false })
    if (!present) throw new Error('the broker lost the session')
    await this.until(() => this.subscriber.count >= this.job.messages)
    return { drained: this.subscriber.count }
  }

  async until(condition) {
    const end = performance.now() + patienceMs
    while (!condition()) {
      if (this.failure) throw this.failure
      if (performance.now() > end) throw new Error('the queue did not move on within 30 seconds')
      await sleep(1)
    }
  }

  snapshot() {
    if (this.failure) throw this.failure
    return {}
  }

  async finish() {
    await sleep(50)
    const got = this.subscriber.count
    const { messages } = this.job
    const { repeated } = this.subscriber
    this.close()
    if (this.failure) throw this.failure
    const ended = new Client(this.job, this.failed)
    await ended.connect(this.identity)
    ended.close()
    return { missing: Math.max(0, messages - got), extra: Math.max(0, got - messages) + repeated }
  }

  close() {
    this.publisher?.close()
    this.subscriber?.close()
  }
}
