import { encodePublish } from './packets.js'
import { payloadOf, publisherAt, sequenceAt, timeAt } from './publish-buffer.js'
import { topicOf } from './topics.js'

/**
 * Compares every packet that one subscriber gets with the packet that it should be: header, topic, properties and
 * payload, and each publisher's messages in order.
 */
export class Verification {
  #expected = new Map()

  constructor(job, onFailure) {
    this.job = job
    this.failed = onFailure
  }

  check(bytes, position, at, end) {
    const { job } = this
    const payload = end - job.payloadBytes
    const publisher = bytes.readUInt32LE(payload + publisherAt)
    const sequence = bytes.readUInt32LE(payload + sequenceAt)
    const expected = this.#expected.get(publisher) ?? 0
    if (sequence !== expected) {
      this.failed(new Error(`publisher ${publisher}: message ${expected} was expected and message ${sequence} came`))
      return
    }
    this.#expected.set(publisher, sequence + 1)
    const identifierAt = at + 2 + bytes.readUInt16BE(at)
    const wanted = payloadOf(publisher, job.payloadBytes)
    wanted.writeUInt32LE(sequence, sequenceAt)
    // a paced packet bears the time of its sending, which no other program can know
    if (job.rate > 0) bytes.copy(wanted, timeAt, payload + timeAt, payload + timeAt + 8)
    const packet = encodePublish({
      topic: topicOf(job.pattern, publisher, sequence),
      qos: job.qos,
      packetIdentifier: job.qos > 0 ? bytes.readUInt16BE(identifierAt) : 0,
      version: job.version,
      properties: job.properties,
      payload: wanted,
    })
    if (!packet.equals(bytes.subarray(position, end)))
      this.failed(new Error(`publisher ${publisher}: message ${sequence} is not as it was sent`))
  }
}
