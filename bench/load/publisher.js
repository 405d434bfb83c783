import { Client } from './client.js'

/** Sends as long as fewer than `credit` of its messages are undelivered, and fewer than `window` unacknowledged. */
export class Publisher extends Client {
  sent = 0
  /** Deliveries of its messages, counted by the subscribers: `fanout` for each. */
  delivered = 0
  inflight = 0

  constructor(target, onFailure, { job, buffer, fanout, wake }) {
    super(target, onFailure)
    this.buffer = buffer
    this.credit = job.credit
    this.window = job.qos > 0 ? job.window : Number.POSITIVE_INFINITY
    this.fanout = fanout
    this.drained = wake
    this.wake = wake
  }

  /** PUBACK and PUBCOMP free their place, PUBREC is answered with PUBREL. */
  walk(bytes, from, to) {
    let position = from
    while (to - position >= 4) {
      const length = bytes[position + 1]
      if (length > 127) return super.walk(bytes, position, to)
      const end = position + 2 + length
      if (end > to) break
      const type = bytes[position] >> 4
      if (type === 4 || type === 7) this.inflight--
      else if (type === 5) this.release(bytes[position + 2], bytes[position + 3])
      else this.other(bytes, position, position + 2, end)
      position = end
    }
    this.wake()
    return position
  }

  release(high, low) {
    this.acknowledge(0x62, high, low)
  }

  /** As many as credit and window allow, in one write. */
  pump() {
    if (this.pending) return
    const undelivered = this.sent - Math.floor(this.delivered / this.fanout)
    const open = Math.min(this.credit - undelivered, this.window - this.inflight)
    if (open > 0) this.publish(open)
  }

  publish(count) {
    const first = this.sent === 0 ? this.buffer.first : null
    const bytes = first ?? this.buffer.slice(this.sent, count)
    const published = first === null ? count : 1
    this.sent += published
    if (this.window !== Number.POSITIVE_INFINITY) this.inflight += published
    this.send(bytes)
    if (published < count) this.wake()
  }

  /** One message that bears the time when it should leave. */
  publishAt(time) {
    this.buffer.stamp(this.sent, time)
    this.publish(1)
  }
}
