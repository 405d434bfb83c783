import { Client } from './client.js'
import { inParallel } from './loop.js'

/** Connections that do nothing but stay. */
export class Idle {
  clients = []
  failure = null

  constructor(job, label) {
    this.job = job
    this.label = label
  }

  async open() {
    const { job } = this
    await inParallel(job.connections, 128, async (index) => {
      const client = new Client(job, (error) => {
        this.failure ??= error
      })
      this.clients[index] = client
      await client.connect({ clientId: `${this.label}-i${index}`, version: job.version })
    })
    return this.snapshot()
  }

  snapshot() {
    if (this.failure) throw this.failure
    return { connected: this.clients.length }
  }

  finish() {
    this.close()
    if (this.failure) throw this.failure
    return { missing: 0, extra: 0 }
  }

  close() {
    for (const client of this.clients) client?.close()
  }
}
