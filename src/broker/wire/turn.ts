import { Frame } from '../../protocol/frame'
import { PublishEnvelopes } from '../../protocol/publish-envelope'
import { PublishPacket } from '../../protocol/publish-packet'
import { BufferPool } from './buffer-pool'
import { Counters } from './counters'

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
  /** True while packets of a chunk are walked: bytes that arrive meanwhile, in-process, must wait. */
  walking = false
  /** Bytes that wait for slow readers, over all connections. */
  waitingBytes = 0
  /** Chunks that came from established clients. */
  chunks = 0
  /** Outboxes for whose next packet there was no room. */
  private readonly crowded = new Set<TurnMember>()
  private relieving = false
  private readonly running: TurnMember[] = []
  private dirty: TurnMember[] = []
  private scheduled = false
  private readonly flush = (): void => this.flushAll()

  constructor(maximumIncomingBytes = Number.POSITIVE_INFINITY, counters = new Counters()) {
    this.counters = counters
    this.pool = new BufferPool(maximumIncomingBytes)
  }

  /** An outbox has bytes: one write a connection and turn. */
  mark(outbox: TurnMember): void {
    this.dirty.push(outbox)
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(this.flush)
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

  private flushAll(): void {
    this.scheduled = false
    const { dirty } = this
    this.dirty = []
    for (let i = 0; i < dirty.length; i++) dirty[i]!.flush()
  }
}
