import type { Duplex } from 'node:stream'
import { DropReason } from '../../protocol/drop-reason'
import { copyBytes, LARGE_PACKET, Output } from '../../protocol/output'
import type { PublishSource } from '../../protocol/publish-source'
import { BufferPool } from './buffer-pool'
import type { Turn } from './turn'

/** A run of at least this many bytes is handed over as it lies, where it lies still. */
const ATTACH_RUN = 16 * 1024
/** A run is no longer than a buffer of the pool. */
const LONGEST_RUN = BufferPool.large
/** What a connection may still have waiting when all of them together are over their budget. */
const FAIR_SHARE = 64 * 1024

/** How much may wait for a slow reader. One object serves for all connections. */
export interface OutboxLimits {
  /** Bytes per connection. */
  readonly maximumOutgoingBytes: number
  /** Bytes over all connections. */
  readonly maximumTotalOutgoingBytes: number
}

/** Told when a slow reader has caught up. */
export interface OutboxOwner {
  /** Whose messages they are; null before the CONNECT is accepted. */
  readonly session: { noteDrops(reason: DropReason, messages: number, lost: PublishSource | null): void } | null
  /** Twice as much waits as may: nothing more is to be taken from this client that would be answered. */
  overflowing(): void
  /** Nothing waits any more, after a time when something did. */
  drained(): void
}

/** The bytes on their way to one client: one buffer from the pool, one write a turn. */
export class Outbox extends Output {
  closed = false
  private buffer: Buffer | null = null
  /** Full buffers and attached bytes, in order, when the stream was busy or the bytes lie elsewhere. */
  private chunks: Uint8Array[] | null = null
  private chunkBytes = 0
  /** Bytes of chunks that were handed to a stream which has not taken them yet. */
  private handedBytes = 0
  /** Pooled buffers behind `chunks`. */
  private borrowed: Buffer[] | null = null
  /** Pooled buffers behind writes that are under way. */
  private lent: Buffer[] | null = null
  private busy = false
  private issued = 0
  /** Writes that the stream has taken. */
  completed = 0
  private readonly stream: Duplex
  private readonly turn: Turn
  private readonly limits: OutboxLimits
  private readonly owner: OutboxOwner
  private readonly reusable: boolean
  private readonly onWritten = (): void => this.afterWrite()

  constructor(stream: Duplex, reusable: boolean, turn: Turn, limits: OutboxLimits, owner: OutboxOwner) {
    super(turn.envelopes, turn.counters.sent)
    this.stream = stream
    this.reusable = reusable
    this.turn = turn
    this.limits = limits
    this.owner = owner
  }

  /** Bytes that the client has not taken yet, as far as this process knows. */
  get waitingBytes(): number {
    return this.chunkBytes + this.length + this.stream.writableLength
  }

  override run(start: number, end: number): void {
    // no longer than a buffer of the pool: a long intake could make a run of megabytes for each receiver
    if (this.runEnd === start && end - this.runStart <= LONGEST_RUN) {
      this.runEnd = end
      this.runMessages++
      return
    }
    if (this.runEnd !== -1) this.settleRun()
    this.turn.addRun(this)
    this.runStart = start
    this.runEnd = end
    this.runMessages = 1
  }

  override settleRun(): void {
    const { runStart, runEnd } = this
    this.runEnd = -1
    if (this.congested || this.closed || (runEnd - runStart > LARGE_PACKET && !this.admits(runEnd - runStart))) {
      this.drop(this.runMessages, DropReason.SlowReader, null)
      return
    }
    const { chunk, chunkStable } = this.turn
    this.sent[0]! += this.runMessages
    if (chunkStable && runEnd - runStart >= ATTACH_RUN) this.attach(chunk.subarray(runStart, runEnd))
    else {
      const at = this.take(runEnd - runStart)
      copyBytes(this.bytes, at, chunk, runStart, runEnd)
    }
  }

  override attach(bytes: Uint8Array): void {
    if (this.closed) return
    this.shelve()
    this.chunks ??= []
    this.chunks.push(bytes)
    this.addWaiting(bytes.length)
    if (!this.busy) this.flush()
  }

  /**
   * One that has nothing waiting may be sent a packet above its bound. Of what all may have together each gets no more than what is left
   * for the others.
   */
  override admits(bytes: number): boolean {
    const { limits, turn } = this
    const own = this.chunkBytes + this.handedBytes
    if (own > 0 && own + bytes > limits.maximumOutgoingBytes) {
      this.congested = true
      return false
    }
    if (turn.waitingBytes === 0 || own + bytes <= limits.maximumTotalOutgoingBytes - turn.waitingBytes) return true
    this.congested = true
    turn.awaitRoom(this)
    return false
  }

  relieve(): void {
    if (this.closed || this.busy || !this.congested) return
    this.congested = false
    this.owner.drained()
  }

  override drop(messages: number, reason: DropReason, lost: PublishSource | null): void {
    this.turn.counters.dropped[reason]! += messages
    this.owner.session?.noteDrops(reason, messages, lost)
  }

  protected override grow(n: number): void {
    if (this.closed) {
      // it goes nowhere, and takes no buffer of the pool along
      if (this.bytes.length < n) this.bytes = Buffer.allocUnsafeSlow(n)
      this.length = 0
      return
    }
    if (this.buffer !== null && this.length > 0) {
      if (this.buffer.length === BufferPool.small && this.length + n <= BufferPool.large) {
        const small = this.buffer
        const large = this.turn.pool.take(BufferPool.large)
        copyBytes(large, 0, small, 0, this.length)
        this.buffer = large
        this.bytes = large
        this.turn.pool.give(small)
        return
      }
      if (this.busy) this.shelve()
      else this.flush()
    } else if (this.buffer !== null) this.turn.pool.give(this.buffer)
    this.use(this.turn.pool.take(n))
  }

  protected override mark(): void {
    if (this.closed) return
    this.dirty = true
    this.turn.mark(this)
  }

  /** Writes what there is, unless an earlier write is still under way. */
  flush(): void {
    this.dirty = false
    if (this.runEnd !== -1) this.settleRun()
    if (this.busy || this.closed) return
    if (this.chunks !== null) this.flushChunks()
    else if (this.length > 0) this.flushBuffer()
  }

  /** Writes what there is and ends the stream. */
  end(): void {
    if (this.closed) return
    this.shelve()
    const { chunks } = this
    this.closed = true
    this.turn.counters.sentBytes += this.chunkBytes
    if (this.turn.tracer !== null) this.trace(chunks ?? [])
    if (chunks !== null) for (const chunk of chunks) this.stream.write(chunk)
    this.forget()
    this.stream.end()
  }

  /** Drops what the stream does not have yet. */
  discard(): void {
    if (this.closed) return
    this.runEnd = -1
    this.turn.settle(this.chunkBytes)
    this.chunks = this.borrowed = null
    this.chunkBytes = 0
    this.length = 0
  }

  /** Hands what there is to the stream, as far as it takes it; the writes are done once `completed` has reached the result. */
  handOver(): number {
    this.flush()
    return this.issued
  }

  /** Drops everything. */
  close(): void {
    this.closed = true
    this.runEnd = -1
    this.forget()
  }

  private forget(): void {
    this.turn.leave(this)
    this.turn.settle(this.chunkBytes + this.handedBytes)
    this.chunks = this.borrowed = null
    this.chunkBytes = this.handedBytes = 0
    this.buffer = null
    this.bytes = nowhere
    this.length = 0
  }

  private use(buffer: Buffer): void {
    this.buffer = buffer
    this.bytes = buffer
    this.length = 0
  }

  private flushBuffer(): void {
    const buffer = this.buffer!
    const view = this.length === buffer.length ? buffer : buffer.subarray(0, this.length)
    this.buffer = null
    this.bytes = nowhere
    this.length = 0
    this.issued++
    this.turn.counters.sentBytes += view.length
    if (this.turn.tracer !== null) this.turn.tracer.sent(this.owner, view)
    this.stream.write(view, this.onWritten)
    if (this.stream.writableLength > 0) this.lend(buffer)
    else if (this.reusable) this.turn.pool.give(buffer)
  }

  private flushChunks(): void {
    this.shelve()
    const { stream, borrowed } = this
    const chunks = this.chunks!
    this.chunks = this.borrowed = null
    this.handedBytes = this.chunkBytes
    this.turn.counters.sentBytes += this.chunkBytes
    this.chunkBytes = 0
    if (this.turn.tracer !== null) this.trace(chunks)
    stream.cork()
    for (let i = 0; i < chunks.length; i++) {
      this.issued++
      stream.write(chunks[i]!, this.onWritten)
    }
    stream.uncork()
    this.busy = stream.writableLength > 0
    if (!this.busy) this.taken()
    if (borrowed === null) return
    for (const buffer of borrowed) {
      if (this.busy) this.lend(buffer)
      else if (this.reusable) this.turn.pool.give(buffer)
    }
  }

  private trace(chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.turn.tracer?.sent(this.owner, chunk)
  }

  private taken(): void {
    const { handedBytes } = this
    this.handedBytes = 0
    this.turn.settle(handedBytes)
  }

  private lend(buffer: Buffer): void {
    this.busy = true
    if (!this.reusable) return
    this.lent ??= []
    this.lent.push(buffer)
  }

  /** Moves the buffer behind the chunks that wait. */
  private shelve(): void {
    const { buffer, length } = this
    if (buffer === null || length === 0) return
    this.chunks ??= []
    this.chunks.push(length === buffer.length ? buffer : buffer.subarray(0, length))
    this.borrowed ??= []
    this.borrowed.push(buffer)
    this.buffer = null
    this.bytes = nowhere
    this.length = 0
    this.addWaiting(length)
  }

  private addWaiting(bytes: number): void {
    this.chunkBytes += bytes
    this.turn.waitingBytes += bytes
    // what is written in this very call waits for no reader
    if (!this.busy) return
    const { limits, turn } = this
    const crowded = turn.waitingBytes > limits.maximumTotalOutgoingBytes
    const bound = crowded ? Math.min(FAIR_SHARE, limits.maximumOutgoingBytes) : limits.maximumOutgoingBytes
    if (this.chunkBytes > 2 * bound) this.owner.overflowing()
    if (this.chunkBytes > bound) this.congested = true
  }

  private afterWrite(): void {
    this.completed++
    if (!this.busy || this.closed) return
    if (this.completed !== this.issued) return
    this.busy = false
    this.taken()
    const { lent } = this
    this.lent = null
    if (lent !== null) for (const buffer of lent) this.turn.pool.give(buffer)
    const wasCongested = this.congested
    this.congested = false
    if (this.chunks !== null || this.length > 0) this.flush()
    if (wasCongested) this.owner.drained()
  }
}

const nowhere = Buffer.alloc(0)
