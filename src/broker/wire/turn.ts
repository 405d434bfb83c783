import { type Clock, systemClock } from '../../ports/clock'
import { Frame } from '../../protocol/frame'
import { PublishEnvelopes } from '../../protocol/publish-envelope'
import { PublishPacket } from '../../protocol/publish-packet'
import { Background } from './background'
import { BufferPool } from './buffer-pool'
import { Counters } from './counters'
import { Rota } from './rota'
import { Slice } from './slice'
import type { Tracer } from './tracer'

/** Milliseconds of writes before the event loop has its turn. */
const WRITE_MS = 5
/** Outboxes that are written between two looks at the clock. */
const WRITES = 64
/** Milliseconds that the writes of a walk which others have interrupted wait for its end, to be one each. */
const HOLD_MS = 4
/** Bytes that wait already, beyond which they do not wait for it: nothing is known yet of how fast their readers are. */
const HELD_BYTES = 1024 * 1024

/** What the turn knows of an outbox. */
export interface TurnMember {
  /** -1 while no run of packets is open. */
  readonly runEnd: number
  settleRun(): void
  flush(): void
  /** There may be room for what all of them wait for together. */
  relieve(): void
}

/**
 * What all connections of a broker share: the objects that packets are read into and written from, the buffers of
 * outboxes, the end of the turn, and the budget.
 */
export class Turn {
  /** Every packet is found by this one. */
  readonly frame = new Frame()
  /** Every PUBLISH is read into this one. */
  readonly packet = new PublishPacket()
  readonly envelopes = new PublishEnvelopes()
  readonly pool: BufferPool
  readonly counters: Counters
  /** The chunk that is being read, where open runs lie. */
  chunk: Buffer = Buffer.alloc(0)
  chunkStable = false
  /** Told of every packet while anything is traced; null otherwise. */
  tracer: Tracer | null = null
  /** True while packets of a chunk are walked: bytes that arrive meanwhile, in-process, must wait. */
  walking = false
  /** Bytes that wait for slow readers, over all connections. */
  waitingBytes = 0
  /** Chunks that came from established clients. */
  chunks = 0
  /** Outboxes for whose next packet there was no room. */
  private readonly crowded = new Set<TurnMember>()
  private relieving = false
  /** The time that the work in hand may take. */
  readonly slice: Slice
  /** Those that have more to do than fits into one slice. */
  readonly rota: Rota
  readonly background: Background
  private readonly running: TurnMember[] = []
  private dirty: TurnMember[] = []
  /** Outboxes that are being written, from `written` on. */
  private writing: TurnMember[] = []
  private written = 0
  /** Outboxes whose writes wait for the end of a walk. */
  private held: TurnMember[] = []
  private heldUntil = 0
  private scheduled = false
  private readonly clock: Clock
  private readonly flush = (): void => this.flushSome()

  constructor(maximumIncomingBytes = Number.POSITIVE_INFINITY, counters = new Counters(), clock: Clock = systemClock) {
    this.counters = counters
    this.pool = new BufferPool(maximumIncomingBytes)
    this.clock = clock
    this.slice = new Slice(clock)
    this.rota = new Rota(this.slice, clock, (now) => this.releaseHeld(now))
    this.background = new Background(this.slice)
  }

  /** An outbox has bytes: one write a connection and turn. */
  mark(outbox: TurnMember): void {
    this.dirty.push(outbox)
    if (!this.scheduled) this.schedule()
  }

  private schedule(): void {
    this.scheduled = true
    setImmediate(this.flush)
  }

  /** How many outboxes have been marked in this turn. */
  get marked(): number {
    return this.dirty.length
  }

  /** What was marked from `first` on is written once the walk that has done it goes to its end, or a little later. */
  hold(first: number): void {
    this.settleRuns()
    if (this.dirty.length === first) return
    if (this.waitingBytes > HELD_BYTES) {
      this.heldUntil = 0
      return
    }
    if (this.held.length === 0) this.heldUntil = this.clock.now() + HOLD_MS
    // one by one: more than a call takes arguments
    for (let i = first; i < this.dirty.length; i++) this.held.push(this.dirty[i]!)
    this.dirty.length = first
  }

  /** The broker has stopped: what is to be done in slices is left undone. */
  stop(): void {
    this.rota.stop()
    this.background.stop()
  }

  private releaseHeld(now: number): void {
    const { held } = this
    if (held.length === 0 || (this.rota.length > 0 && now < this.heldUntil)) return
    this.held = []
    for (let i = 0; i < held.length; i++) this.dirty.push(held[i]!)
    if (!this.scheduled) this.schedule()
  }

  /** An outbox has a run that must be copied before the chunk goes. */
  addRun(outbox: TurnMember): void {
    this.running.push(outbox)
  }

  /** Copies all open runs: the chunk is about to be overwritten. */
  settleRuns(): void {
    const { running } = this
    if (running.length === 0) return
    for (let i = 0; i < running.length; i++) if (running[i]!.runEnd !== -1) running[i]!.settleRun()
    running.length = 0
  }

  /** A slow reader has taken bytes that waited, or never will. */
  settle(bytes: number): void {
    this.waitingBytes -= bytes
    if (bytes === 0 || this.crowded.size === 0 || this.relieving) return
    this.relieving = true
    setImmediate(() => this.relieveAll())
  }

  /** There is no room for the next packet of an outbox: it is told when there may be. */
  awaitRoom(outbox: TurnMember): void {
    this.crowded.add(outbox)
  }

  leave(outbox: TurnMember): void {
    this.crowded.delete(outbox)
  }

  private relieveAll(): void {
    this.relieving = false
    const { crowded } = this
    const outboxes = [...crowded]
    crowded.clear()
    for (const outbox of outboxes) outbox.relieve()
  }

  /** Writes what was marked; many writes in several turns, so that others are read in between. */
  private flushSome(): void {
    this.scheduled = false
    if (this.writing.length === 0) {
      const written = this.writing
      this.writing = this.dirty
      this.dirty = written
    }
    const { writing } = this
    const endsAt = writing.length > WRITES ? this.clock.now() + WRITE_MS : Number.POSITIVE_INFINITY
    while (this.written < writing.length) {
      writing[this.written++]!.flush()
      if (this.written % WRITES === 0 && this.clock.now() >= endsAt) break
    }
    if (this.written === writing.length) this.written = writing.length = 0
    if (writing.length + this.dirty.length > 0 && !this.scheduled) this.schedule()
  }
}
