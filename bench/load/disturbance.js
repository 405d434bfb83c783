import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.js'
import { Failing } from './failing.js'
import { inPackets } from './filters.js'
import { encodePublish, encodeSubscribe, encodeUnsubscribe } from './packets.js'
import { PublishBuffer } from './publish-buffer.js'

const tickMs = 5

/** What a broker that holds a publisher back leaves in this process, in bytes. */
const heldBytes = 1024 * 1024

/** What a broker may still have to do when many subscriptions were acknowledged. */
const settleMs = 500

/** A flood must have filled what the kernel buffers before it shows. */
const floodSeconds = 1

/**
 * Calls `act` with the number of the first and the count of those that are due, `rate` in a second, until `seconds` are
 * over or `stopped` says so. Sleeps in between: it shares a core.
 */
async function paced(rate, seconds, stopped, act) {
  const start = performance.now()
  let done = 0
  for (;;) {
    const elapsed = Math.min((performance.now() - start) / 1000, seconds)
    const due = Math.floor(elapsed * rate) - done
    if (due > 0 && !stopped()) act(done, due)
    done += Math.max(0, due)
    if (elapsed >= seconds || stopped()) return
    await sleep(tickMs)
  }
}

/**
 * Something that goes on beside the steady traffic. `open` and `prepare` come before the clock starts, `run` is what is
 * measured: it resolves only when the broker has done all that was asked of it, and its `pace` says how much of the pace
 * that was asked for was kept, in per cent.
 */
class Disturbance extends Failing {
  clients = []

  constructor(job, label) {
    super()
    this.job = job
    this.label = label
    this.stopped = () => this.failure !== null
  }

  async client(index) {
    const client = new Client(this.job, this.failed)
    this.clients.push(client)
    await this.unlessFailing(client.connect({ clientId: `${this.label}-d${index}`, version: this.job.version }))
    return client
  }

  async atPace(seconds, act) {
    const start = performance.now()
    const result = await this.unlessFailing(act())
    return { ...result, pace: Math.min(100, (seconds * 100_000) / (performance.now() - start)) }
  }

  open() {}

  prepare() {}

  /** What a broker could not undo at once if the clients simply went. */
  leave() {}

  finish() {
    this.close()
    if (this.failure) throw this.failure
    return { missing: 0, extra: 0 }
  }

  close() {
    for (const client of this.clients) client.close()
  }
}

/** Clients that connect at a steady rate, and stay. Ends when all are connected, which a busy broker may let wait. */
export class Storm extends Disturbance {
  run({ seconds }) {
    const { rate } = this.job
    const connections = Math.min(this.job.connections, Math.round(rate * seconds * 5))
    const connecting = []
    const connect = (first, count) => {
      for (let index = first; index < first + count; index++) {
        const connected = this.client(index)
        connected.catch(this.failed)
        connecting.push(connected)
      }
    }
    return this.atPace(connections / rate, async () => {
      await paced(rate, connections / rate, this.stopped, connect)
      await Promise.all(connecting)
      return { connected: connecting.length }
    })
  }
}

/** Clients that subscribe and unsubscribe all the time. `rate` counts both. */
export class Churn extends Disturbance {
  async open() {
    for (let index = 0; index < 10; index++) await this.client(index)
  }

  run({ seconds }) {
    const churn = (first, count) => {
      for (let turn = first; turn < first + count; turn++) this.turn(turn)
    }
    return this.atPace(seconds, async () => {
      await paced(this.job.rate / 2, seconds, this.stopped, churn)
      await Promise.all(this.clients.map((client) => client.ping()))
    })
  }

  turn(turn) {
    const { version } = this.job
    const filters = [turn % 2 === 0 ? `churn/${turn}/+` : `churn/${turn}`]
    const packetIdentifier = (turn % 65_535) + 1
    const client = this.clients[turn % this.clients.length]
    client.send(encodeSubscribe({ packetIdentifier, filters, qos: 0, version }))
    client.send(encodeUnsubscribe({ packetIdentifier, filters, version }))
  }
}

/** A subscriber that never reads, and a publisher that fills its connection. */
export class Flood extends Disturbance {
  async open() {
    const { version, payloadBytes } = this.job
    const subscriber = await this.client(0)
    this.publisher = await this.client(1)
    await this.unlessFailing(subscriber.subscribe(['flood/0'], 0, version))
    subscriber.socket.pause()
    this.packet = encodePublish({ topic: 'flood/0', version, payload: Buffer.alloc(payloadBytes) })
  }

  prepare() {
    return this.run({ seconds: floodSeconds })
  }

  async run({ seconds }) {
    const { publisher, packet } = this
    await paced(this.job.rate, seconds, this.stopped, (_, count) => {
      for (let sent = 0; sent < count && publisher.socket.writableLength < heldBytes; sent++) publisher.send(packet)
    })
    if (this.failure) throw this.failure
    return {}
  }
}

/** A publisher whose every message has a topic of its own, without subscribers. */
export class Misses extends Disturbance {
  async open() {
    const { rate } = this.job
    this.buffer = new PublishBuffer({ ...this.job, pattern: 'unique', qos: 0, rate: 0 }, 0, rate)
    this.publisher = await this.client(0)
  }

  run({ seconds }) {
    const { publisher, buffer } = this
    const { rate } = this.job
    let sent = 0
    // packets that wait in this process must not be written over: a broker that is behind gets them later
    const publish = (wanted) => {
      while (sent < wanted && publisher.socket.writableLength < heldBytes) {
        const count = Math.min(wanted - sent, rate)
        publisher.send(buffer.slice(sent, count))
        sent += count
      }
    }
    return this.atPace(seconds, async () => {
      await paced(rate, seconds, this.stopped, (first, count) => publish(first + count))
      for (const all = Math.floor(seconds * rate); sent < all && !this.failure; publish(all)) await sleep(tickMs)
      await publisher.ping()
      return { sent }
    })
  }
}

/** Many subscriptions that stand there and match nothing of the steady traffic. */
export class Million extends Disturbance {
  async open() {
    for (let index = 0; index < this.job.clients; index++) await this.client(index)
  }

  async prepare() {
    await this.unlessFailing(inPackets('subscribe', this.clients, this.job))
    await sleep(settleMs)
  }

  leave() {
    return this.unlessFailing(inPackets('unsubscribe', this.clients, this.job))
  }

  async run({ seconds }) {
    await this.unlessFailing(sleep(seconds * 1000))
    return {}
  }
}
