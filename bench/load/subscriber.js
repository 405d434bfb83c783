import { Client } from './client.js'
import { packetLength } from './packets.js'
import { publisherAt, timeAt } from './publish-buffer.js'

/**
 * Counts what is delivered, for itself and for the publisher of each message. Two ways: by bytes, when all packets have
 * one length, one publisher and QoS 0; else by fixed headers, with acknowledgements.
 */
export class Subscriber extends Client {
  count = 0
  /** Packets that have the DUP flag. */
  repeated = 0
  /** Milliseconds from the time in the payload to the arrival, of each message, while it is an array. */
  latencies = null
  #source = null
  #packetBytes = 0
  #partBytes = 0

  constructor(target, onFailure, { job, publishers, wake, verification = null }) {
    super(target, onFailure)
    this.payloadBytes = job.payloadBytes
    this.publishers = publishers
    this.wake = wake
    this.verification = verification
  }

  /** From here on every byte belongs to packets of this length and this publisher. */
  countBytes(packetBytes, source) {
    this.#packetBytes = packetBytes
    this.#source = source
  }

  read(bytes, length) {
    if (this.#packetBytes === 0) return super.read(bytes, length)
    if (this.#partBytes === 0 && length > 5) {
      const begun = bytes[0] >> 4 === 3 ? packetLength(bytes, 0, length) : 0
      if (begun !== this.#packetBytes)
        return this.failed(new Error(`a PUBLISH of ${this.#packetBytes} bytes was expected`))
    }
    const all = this.#partBytes + length
    const whole = Math.floor(all / this.#packetBytes)
    this.#partBytes = all - whole * this.#packetBytes
    this.count += whole
    if (this.#source !== null) this.#source.delivered += whole
    this.wake()
  }

  walk(bytes, from, to) {
    let position = from
    while (to - position >= 2) {
      let at = position + 1
      let length = bytes[at++]
      if (length > 127) {
        const whole = packetLength(bytes, position, to)
        if (whole === 0) break
        while (bytes[at++] > 127);
        length = position + whole - at
      }
      const end = at + length
      if (end > to) break
      const type = bytes[position] >> 4
      if (type === 3) this.receive(bytes, position, at, end)
      else if (type === 6) this.acknowledge(0x70, bytes[at], bytes[at + 1])
      else this.other(bytes, position, at, end)
      position = end
    }
    this.wake()
    return position
  }

  receive(bytes, position, at, end) {
    const header = bytes[position]
    const payload = end - this.payloadBytes
    const publisher = bytes[payload + publisherAt] | (bytes[payload + publisherAt + 1] << 8)
    this.count++
    if ((header & 8) !== 0) this.repeated++
    if (publisher < this.publishers.length) this.publishers[publisher].delivered++
    if (this.latencies !== null) this.latencies.push(performance.now() - bytes.readDoubleLE(payload + timeAt))
    if (this.verification !== null) this.verification.check(bytes, position, at, end)
    if ((header & 6) === 0) return
    const identifier = at + 2 + ((bytes[at] << 8) | bytes[at + 1])
    this.acknowledge((header & 6) === 2 ? 0x40 : 0x50, bytes[identifier], bytes[identifier + 1])
  }
}
