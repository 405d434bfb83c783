import { MqttError } from '../../protocol/mqtt-error'
import { BufferPool } from './buffer-pool'

/** Walks the packets. */
interface Walker {
  /** True while nothing of what has come may be walked. */
  readonly waits: boolean
  readonly closing: boolean
  walk(bytes: Buffer, at: number, limit: number, stable: boolean): number
  packetLength(bytes: Buffer, at: number, limit: number): number
  /** Ends the connection. */
  fail(error: MqttError): void
}

/**
 * Bytes that can't be walked yet: the beginning of a packet that is split over chunks, or everything while the client
 * waits. Of a split packet only that packet is completed; the rest of the chunk is walked where it lies.
 */
export class Intake {
  private kept: Buffer | null = null
  /** Where what is kept begins: what was walked before it stays until it is most of the buffer. */
  private start = 0
  /** Bytes that are kept. */
  length = 0
  /** Bytes of the packet that it begins with, as far as that is known. */
  private promised = 0
  /** Whether the buffer is the pool's, and may be written to. */
  private isPooled = true
  private readonly pool: BufferPool

  constructor(pool: BufferPool) {
    this.pool = pool
  }

  /** `isLasting`: the chunk stays as it is after the call, so that what is kept of a large one need not be copied. */
  receive(walker: Walker, chunk: Buffer, length: number, isLasting = false): void {
    let at = 0
    while (this.length > 0 && !walker.waits) {
      at = this.complete(walker, chunk, at, length)
      if (at < 0 || walker.closing) return
    }
    const walks = !walker.waits
    if (walks) at = walker.walk(chunk, at, length, false)
    if (at >= length || walker.closing) return
    if (walks) this.keepFirst(walker, chunk, at, length, isLasting)
    else this.keep(walker, chunk, at, length)
  }

  /** Keeps a chunk for `resume`. */
  hold(walker: Walker, chunk: Buffer, length: number, isLasting = false): void {
    if (this.length === 0) this.keepFirst(walker, chunk, 0, length, isLasting)
    else this.keep(walker, chunk, 0, length)
  }

  /** The client no longer waits: walks what has gathered. */
  resume(walker: Walker): void {
    const { kept, start, length, isPooled } = this
    if (kept === null) return
    this.forget()
    const used = walker.walk(kept, start, start + length, false)
    const end = start + length
    if (used < end && !walker.closing) this.keepFirst(walker, kept, used, end, true, isPooled)
    if (isPooled && this.kept !== kept) this.pool.give(kept)
  }

  clear(): void {
    const { kept, isPooled } = this
    if (kept === null) return
    this.forget()
    if (isPooled) this.pool.give(kept)
  }

  private forget(): void {
    this.pool.incomingBytes -= this.kept!.length
    this.kept = null
    this.start = this.length = this.promised = 0
  }

  /** Takes what the first packet lacks from the chunk; returns where the chunk goes on, -1 if the chunk is used up. */
  private complete(walker: Walker, chunk: Buffer, at: number, limit: number): number {
    const total = walker.packetLength(this.kept!, this.start, this.start + this.length)
    if (total < 0) return -1
    if (total === 0) {
      if (at >= limit) return -1
      this.keep(walker, chunk, at, at + 1)
      return at + 1
    }
    this.promised = total
    const wanted = Math.min(Math.max(total - this.length, 0), limit - at)
    if (wanted > 0) this.keep(walker, chunk, at, at + wanted)
    if (this.length < total) return -1
    const whole = this.kept!
    const { start, length, isPooled } = this
    const end = start + length
    this.forget()
    // above the pooled sizes outboxes may still refer to the buffer
    const used = walker.walk(whole, start, end, isPooled && whole.length > BufferPool.large)
    if (used < end && !walker.closing) this.keepFirst(walker, whole, used, end, false)
    if (isPooled) this.pool.give(whole)
    return at + wanted
  }

  /**
   * Keeps what came before all that is kept: the client may have sent more, in-process, while this was walked. What `isLasting` stays where it
   * lies as long as it is a good part of its buffer, so that each byte is copied a few times at the most, however often others have their turn.
   */
  private keepFirst(
    walker: Walker,
    bytes: Buffer,
    start: number,
    end: number,
    isLasting: boolean,
    isPooled = false,
  ): void {
    const later = this.length === 0 ? null : Buffer.from(this.kept!.subarray(this.start, this.start + this.length))
    this.clear()
    const length = end - start
    if (isLasting && length > BufferPool.small && length * 4 > bytes.length)
      this.adopt(walker, bytes, start, length, isPooled)
    else this.keep(walker, bytes, start, end)
    if (later !== null && !walker.closing) this.keep(walker, later, 0, later.length)
  }

  private adopt(walker: Walker, bytes: Buffer, start: number, length: number, isPooled: boolean): void {
    if (!isPooled && !this.hasRoomFor(walker, bytes.length)) return
    this.kept = bytes
    this.start = start
    this.length = length
    this.isPooled = isPooled
    this.pool.incomingBytes += bytes.length
  }

  /** Whether so many bytes may be kept, in the place of `former`; the connection ends if not. */
  private hasRoomFor(walker: Walker, bytes: number, former = 0): boolean {
    const { pool } = this
    if (bytes <= BufferPool.large || pool.incomingBytes - former + bytes <= pool.maximumIncomingBytes) return true
    const text = 'too much of packets that have not arrived whole: send smaller packets, or later'
    walker.fail(new MqttError('GNATMQ_QUOTA_EXCEEDED', text))
    return false
  }

  /**
   * Room grows with what has arrived, not with what a header promises; but once a sixteenth of a large packet is there, it is made for
   * all of it: to copy megabytes at once takes milliseconds.
   */
  private roomFor(needed: number, former: number): number {
    const { promised } = this
    return needed <= promised && needed * 16 >= promised ? promised : Math.max(needed, former * 2)
  }

  private keep(walker: Walker, bytes: Buffer, start: number, end: number): void {
    const needed = this.length + end - start
    const { kept, pool } = this
    if (kept === null || !this.isPooled || kept.length < needed) {
      const former = kept?.length ?? 0
      const room = kept === null || kept.length >= needed ? needed : this.roomFor(needed, former)
      if (!this.hasRoomFor(walker, room, former)) return
      const larger = pool.take(room)
      const { isPooled, length, promised } = this
      if (kept !== null) {
        larger.set(kept.subarray(this.start, this.start + length))
        this.forget()
        if (isPooled) pool.give(kept)
      }
      pool.incomingBytes += larger.length
      this.kept = larger
      this.length = length
      this.promised = promised
      this.isPooled = true
    } else if (this.start + needed > kept.length) {
      kept.copyWithin(0, this.start, this.start + this.length)
      this.start = 0
    }
    this.kept!.set(bytes.subarray(start, end), this.start + this.length)
    this.length = needed
  }
}
