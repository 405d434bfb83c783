import { MqttError } from '../../protocol/mqtt-error'
import { BufferPool } from './buffer-pool'

/** Walks the packets. */
interface Walker {
  readonly parked: boolean
  readonly closing: boolean
  walk(bytes: Buffer, at: number, limit: number, stable: boolean): number
  packetLength(bytes: Buffer, limit: number): number
  /** Ends the connection. */
  fail(error: MqttError): void
}

/**
 * Bytes that can't be walked yet: the beginning of a packet that is split over chunks, or everything while the client
 * is parked. Of a split packet only that packet is completed; the rest of the chunk is walked where it lies.
 */
export class Intake {
  private kept: Buffer | null = null
  /** Bytes that are kept. */
  length = 0
  private readonly pool: BufferPool

  constructor(pool: BufferPool) {
    this.pool = pool
  }

  receive(walker: Walker, chunk: Buffer, length: number): void {
    let at = 0
    while (this.length > 0 && !walker.parked) {
      at = this.complete(walker, chunk, at, length)
      if (at < 0 || walker.closing) return
    }
    if (!walker.parked) at = walker.walk(chunk, at, length, false)
    if (at < length && !walker.closing) this.keep(walker, chunk, at, length)
  }

  /** Keeps a chunk for `resume`. */
  hold(walker: Walker, chunk: Buffer, length: number): void {
    this.keep(walker, chunk, 0, length)
  }

  /** The client is no longer parked: walks what has gathered. */
  resume(walker: Walker): void {
    const { kept, length } = this
    if (kept === null) return
    this.forget()
    const used = walker.walk(kept, 0, length, false)
    if (used < length && !walker.closing) this.keep(walker, kept, used, length)
    this.pool.give(kept)
  }

  clear(): void {
    const { kept } = this
    if (kept === null) return
    this.forget()
    this.pool.give(kept)
  }

  private forget(): void {
    this.pool.incomingBytes -= this.kept!.length
    this.kept = null
    this.length = 0
  }

  /** Takes what the first packet lacks from the chunk; returns where the chunk goes on, -1 if the chunk is used up. */
  private complete(walker: Walker, chunk: Buffer, at: number, limit: number): number {
    const total = walker.packetLength(this.kept!, this.length)
    if (total < 0) return -1
    if (total === 0) {
      if (at >= limit) return -1
      this.keep(walker, chunk, at, at + 1)
      return at + 1
    }
    const wanted = Math.min(Math.max(total - this.length, 0), limit - at)
    if (wanted > 0) this.keep(walker, chunk, at, at + wanted)
    if (this.length < total) return -1
    const whole = this.kept!
    const { length } = this
    this.forget()
    const used = walker.walk(whole, 0, length, whole.length > 65536)
    if (used < length && !walker.closing) this.keep(walker, whole, used, length)
    // above the pooled sizes outboxes may still refer to the buffer
    this.pool.give(whole)
    return at + wanted
  }

  private keep(walker: Walker, bytes: Buffer, start: number, end: number): void {
    const needed = this.length + end - start
    const { pool } = this
    if (this.kept === null || this.kept.length < needed) {
      // room grows with what has arrived, not with what a header promises
      const former = this.kept?.length ?? 0
      const room = Math.max(needed, former * 2)
      if (room > BufferPool.large && pool.incomingBytes - former + room > pool.maximumIncomingBytes) {
        const text = 'too much of packets that have not arrived whole: send smaller packets, or later'
        walker.fail(new MqttError('GNATMQ_QUOTA_EXCEEDED', text))
        return
      }
      const larger = pool.take(room)
      pool.incomingBytes += larger.length - former
      if (this.kept !== null) {
        larger.set(this.kept.subarray(0, this.length))
        pool.give(this.kept)
      }
      this.kept = larger
    }
    this.kept.set(bytes.subarray(start, end), this.length)
    this.length = needed
  }
}
