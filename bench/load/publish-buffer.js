import { encodePublish } from './packets.js'
import { epochAt, epochOf, patterns } from './topics.js'

/** A payload: 0 publisher (uint32), 4 sequence number (uint32), 8 time of sending (double), 16 'x' up to the end. */
export const publisherAt = 0
export const sequenceAt = 4
export const timeAt = 8

/** Packet Identifiers come round after this many packets, far more than are ever in flight. */
const identifiers = 1000

export function payloadOf(publisher, length) {
  const payload = Buffer.alloc(length, 'x')
  payload.fill(0, 0, 16)
  payload.writeUInt32LE(publisher, publisherAt)
  return payload
}

/** The packets of one publisher, encoded once, in a cycle, so that any number of them in a row is one slice. */
export class PublishBuffer {
  /** The first packet of a publisher that uses a Topic Alias: it alone has the topic. */
  first = null

  constructor(job, publisher, longestSlice) {
    const { qos, version, properties, pattern } = job
    const topics = patterns[pattern].topics(publisher)
    const payload = payloadOf(publisher, job.payloadBytes)
    const encode = (topic, packetIdentifier, alias) =>
      encodePublish({ topic, qos, packetIdentifier, version, properties, alias, payload })
    const alias = job.alias ? 1 : undefined
    if (job.alias) this.first = encode(topics[0], identifiers, alias)
    // a paced packet bears its time, and may still wait in the socket when the next one is stamped
    this.cycle = qos > 0 || job.rate > 0 ? identifiers : topics.length
    const cycle = Array.from({ length: this.cycle }, (_, index) =>
      encode(job.alias ? '' : topics[index % topics.length], index + 1, alias),
    )
    this.length = cycle[0].length
    const turns = Math.ceil((this.cycle + longestSlice) / this.cycle)
    this.bytes = Buffer.concat(Array.from({ length: turns }, () => Buffer.concat(cycle)))
    this.payloadAt = this.length - job.payloadBytes
    this.epochAt = pattern === 'unique' ? cycle[0].indexOf('unique/') + epochAt : -1
    this.numbered = job.verify
  }

  /** `count` packets that follow `sent` others. */
  slice(sent, count) {
    const from = (sent % this.cycle) * this.length
    if (this.numbered) this.number(from, sent, count)
    if (this.epochAt >= 0) this.renew(from, sent, count)
    return this.bytes.subarray(from, from + count * this.length)
  }

  number(from, sent, count) {
    for (let index = 0; index < count; index++)
      this.bytes.writeUInt32LE(sent + index, from + index * this.length + this.payloadAt + sequenceAt)
  }

  renew(from, sent, count) {
    for (let index = 0, at = from + this.epochAt; index < count; index++, at += this.length) {
      let epoch = epochOf(sent + index)
      for (let digit = 4; digit >= 0; digit--) {
        this.bytes[at + digit] = 48 + (epoch % 10)
        epoch = Math.floor(epoch / 10)
      }
    }
  }

  stamp(sent, time) {
    this.bytes.writeDoubleLE(time, (sent % this.cycle) * this.length + this.payloadAt + timeAt)
  }
}
