import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.js'
import { encodePublish, encodeSubscribe, encodeUnsubscribe } from './packets.js'

const tickMs = 5

/** Calls `act` `rate` times a second until `seconds` are over or `stopped` says so. Sleeps in between: it shares a core. */
async function paced(rate, seconds, stopped, act) {
  const start = performance.now()
  let done = 0
  for (;;) {
    const elapsed = Math.min((performance.now() - start) / 1000, seconds)
    for (const due = Math.floor(elapsed * rate); done < due && !stopped(); done++) act(done)
    if (elapsed >= seconds || stopped()) return
    await sleep(tickMs)
  }
}

class Disturbance {
  clients = []
  failure = null

  constructor(job, label) {
    this.job = job
    this.label = label
    this.failed = (error) => {
      this.failure ??= error
    }
  }

  async client(index) {
    const client = new Client(this.job, this.failed)
    this.clients.push(client)
    await client.connect({ clientId: `${this.label}-d${index}`, version: this.job.version })
    return client
  }

  open() {}

  finish() {
    this.close()
    if (this.failure) throw this.failure
    return { missing: 0, extra: 0 }
  }

  close() {
    for (const client of this.clients) client.close()
  }
}

/** Clients that connect at a steady rate, and stay. */
export class Storm extends Disturbance {
  async run() {
    const { connections, rate } = this.job
    const connecting = []
    await paced(
      rate,
      connections / rate,
      () => this.failure,
      (index) => {
        const connected = this.client(index)
        connected.catch(this.failed)
        connecting.push(connected)
      },
    )
    await Promise.all(connecting)
    if (this.failure) throw this.failure
    return { connected: connecting.length }
  }
}

/** Clients that subscribe and unsubscribe all the time. `rate` counts both. */
export class Churn extends Disturbance {
  async open() {
    for (let index = 0; index < 10; index++) await this.client(index)
  }

  async run({ seconds }) {
    const { rate, version } = this.job
    const qos = 0
    await paced(
      rate / 2,
      seconds,
      () => this.failure,
      (turn) => {
        const filters = [turn % 2 === 0 ? `churn/${turn}/+` : `churn/${turn}`]
        const packetIdentifier = (turn % 65_535) + 1
        const client = this.clients[turn % this.clients.length]
        client.send(encodeSubscribe({ packetIdentifier, filters, qos, version }))
        client.send(encodeUnsubscribe({ packetIdentifier, filters, version }))
      },
    )
    if (this.failure) throw this.failure
  }
}

/** A subscriber that never reads, and a publisher that fills its connection. */
export class Flood extends Disturbance {
  async open() {
    const { version, payloadBytes } = this.job
    const subscriber = await this.client(0)
    this.publisher = await this.client(1)
    subscriber.send(encodeSubscribe({ packetIdentifier: 1, filters: ['flood/0'], qos: 0, version }))
    await subscriber.answer(9)
    subscriber.socket.pause()
    this.packet = encodePublish({ topic: 'flood/0', version, payload: Buffer.alloc(payloadBytes) })
  }

  async run({ seconds }) {
    const { publisher, packet } = this
    await paced(
      this.job.rate,
      seconds,
      () => this.failure,
      () => {
        // a broker that holds the publisher back does not fill this process
        if (publisher.socket.writableLength < 1024 * 1024) publisher.send(packet)
      },
    )
    if (this.failure) throw this.failure
  }
}
