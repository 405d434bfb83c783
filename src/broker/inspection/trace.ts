import type { Clock } from '../../ports/clock'
import type { TracedDecision, TraceEntry, TraceStream, TraceTarget } from '../../ports/trace'
import { PacketType } from '../../protocol/packet'
import { matches } from '../../protocol/topic'
import { Pace } from './pace'
import { PacketDecoder } from './packet-decoder'

/** Milliseconds after which a trace ends that is not read and has lost entries. */
const PATIENCE_MS = 60_000
/** Units of effort of a packet that is read for people, and bytes of it for one more. */
const DECODED = 64
const BYTES = 16

/** A packet that is not read yet. */
interface RawPacket {
  readonly kind: 'received' | 'sent'
  readonly at: Date
  readonly clientId: string
  readonly version: number
  readonly head: Buffer
  readonly size: number
}

export interface TraceBounds {
  readonly signal: AbortSignal | undefined
  readonly maximumQueuedEntries: number
}

/** One trace: a ring of what happened, which is read for people when the loop comes to it, and not before. */
export class Trace implements TraceStream {
  droppedEntries = 0
  private readonly ring: (RawPacket | TracedDecision | undefined)[]
  private first = 0
  private length = 0
  private ended = false
  private wake: (() => void) | null = null
  /** `clock.now()` when the loop last asked for an entry. */
  private askedAt: number
  private readonly target: TraceTarget
  private readonly clock: Clock
  private readonly bounds: TraceBounds
  private readonly onEnd: (trace: Trace) => void
  private readonly entries = this.read()
  private readonly onAbort = (): void => this.end()

  constructor(target: TraceTarget, bounds: TraceBounds, clock: Clock, onEnd: (trace: Trace) => void) {
    this.target = target
    this.bounds = bounds
    this.clock = clock
    this.onEnd = onEnd
    this.ring = []
    this.askedAt = clock.now()
    bounds.signal?.addEventListener('abort', this.onAbort)
  }

  /** The client that it follows; undefined where it follows messages. */
  get clientId(): string | undefined {
    return 'clientId' in this.target ? this.target.clientId : undefined
  }

  /** Whether it follows messages to this topic, or of this client. */
  wants(clientId: string | undefined, topic: string | undefined): boolean {
    if ('clientId' in this.target) return clientId === this.target.clientId
    return topic !== undefined && matches(this.target.filter, topic)
  }

  push(entry: RawPacket | TracedDecision): void {
    if (this.ended) return
    const { maximumQueuedEntries: limit } = this.bounds
    if (this.length === limit) {
      this.first = (this.first + 1) % limit
      this.length--
      this.droppedEntries++
      // nothing else tells that a loop was given up without a break
      if (this.clock.now() - this.askedAt > PATIENCE_MS) {
        this.end()
        return
      }
    }
    this.ring[(this.first + this.length++) % limit] = entry
    this.wake?.()
  }

  /** Nothing more comes; what has come is still given. */
  close(): void {
    if (this.ended) return
    this.ended = true
    this.bounds.signal?.removeEventListener('abort', this.onAbort)
    this.wake?.()
    this.onEnd(this)
  }

  /** The same, and what has come is dropped. */
  private end(): void {
    this.ring.length = 0
    this.length = 0
    this.close()
  }

  private take(): RawPacket | TracedDecision {
    const entry = this.ring[this.first]!
    this.ring[this.first] = undefined
    this.first = (this.first + 1) % this.bounds.maximumQueuedEntries
    this.length--
    return entry
  }

  private async *read(): AsyncGenerator<TraceEntry> {
    const decoder = await PacketDecoder.load()
    const pace = new Pace(this.clock, goesOn)
    for (;;) {
      this.askedAt = this.clock.now()
      if (this.length === 0) {
        if (this.ended) return
        await new Promise<void>((resolve) => {
          this.wake = resolve
        })
        this.wake = null
        continue
      }
      const entry = this.take()
      if (entry.kind === 'decision') yield entry
      else {
        yield decoded(entry, decoder)
        if (pace.isOverAfter(DECODED + entry.head.length / BYTES)) await pace.othersTurn()
      }
    }
  }

  next(): Promise<IteratorResult<TraceEntry>> {
    return this.entries.next()
  }

  async return(): Promise<IteratorResult<TraceEntry>> {
    this.end()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

const goesOn = Object.freeze({ isClosed: false })

function decoded({ kind, at, clientId, head, size, version }: RawPacket, decoder: PacketDecoder): TraceEntry {
  const packet = decoder.decode(head, size, version)
  // what cannot be read may hold a password all the same
  const type = head[0]! >> 4
  const isSecret = type === PacketType.Connect || type === PacketType.Auth
  return { kind, at, clientId, packet, bytes: packet !== undefined || isSecret ? Buffer.alloc(0) : head, size }
}
