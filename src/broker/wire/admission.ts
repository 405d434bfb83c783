import { performance } from 'node:perf_hooks'
import type { Clock } from '../../ports/clock'
import type { WaitingPeer } from '../../ports/listener'
import { addressKey } from '../../ports/remote-address'
import { TurnQueue } from '../../ports/turn-queue'
import { MqttError } from '../../protocol/mqtt-error'
import type { HalfOpen } from './half-open'
import type { Turn } from './turn'

/** What of the time in which the loop works goes to new connections. */
const SHARE = 1 / 8
/** The share of idle time: the rest is for established clients that were about to send. */
const IDLE_SHARE = 1 / 3
/** Milliseconds that new connections may take at once, after a time without any. */
const CREDIT_MS = 2
/**
 * The opening that is measured is about a fifth of what a connection costs: the rest goes to the kernel, to CONNECT and its
 * answer, and to the collector.
 */
const WHOLE_COST = 5
/** After so many milliseconds without bytes from an established client, new connections need not wait for one. */
const SILENCE_MS = 10
/** Connections that are opened in one turn then. */
const BATCH = 8

/** Peers that have gone, or waited too long, and that one turn clears away. */
const GONE = 64
/**
 * Where the oldest of an address has waited for so many milliseconds, more of it come than can be let in: then the newest comes first, as the
 * client of an old one has more likely given up.
 */
const LATE_MS = 500

/** Milliseconds that the event loop has spent waiting. */
const loopIdleMs = (): number => performance.eventLoopUtilization().idle

/** One that waits to be let in. */
interface Arrival {
  readonly open: () => void
  /** undefined for one that a listener tells nothing of. */
  readonly peer: WaitingPeer | undefined
  readonly arrivedAt: number
}

export interface AdmissionParts {
  readonly clock: Clock
  readonly turn: Turn
  readonly halfOpen: HalfOpen
  /** Milliseconds that a peer may wait: most have gone by then. */
  readonly patienceMs: number
  /** Milliseconds that the event loop has spent waiting. */
  readonly idleMs?: () => number
}

/**
 * Lets new connections in. A storm of them waits while established clients keep the loop busy, so that these go on
 * almost as before; where they leave time, or there are none, it is let in as fast as can be. Addresses take turns, one that has
 * had none before the others: a flood waits for itself, from however many addresses it comes.
 */
export class Admission {
  private readonly waiting = new TurnQueue<Arrival>(({ arrivedAt }) => this.countedAt - arrivedAt > LATE_MS)
  private readonly halfOpen: HalfOpen
  private readonly patienceMs: number
  private credit = CREDIT_MS
  private countedAt: number
  private idleAt: number
  private chunks = 0
  /** `clock.now()` when an established client was last known to have spoken. */
  private heardAt = Number.NEGATIVE_INFINITY
  private scheduled = false
  private readonly clock: Clock
  private readonly turn: Turn
  private readonly idleMs: () => number
  private readonly drain = (): void => this.openSome()
  private readonly isOver = ({ peer, arrivedAt }: Arrival): boolean =>
    peer !== undefined && (this.countedAt - arrivedAt > this.patienceMs || peer.isGone === true)

  constructor({ clock, turn, halfOpen, patienceMs, idleMs = loopIdleMs }: AdmissionParts) {
    this.clock = clock
    this.turn = turn
    this.halfOpen = halfOpen
    this.patienceMs = patienceMs
    this.idleMs = idleMs
    this.countedAt = clock.now()
    this.idleAt = idleMs()
  }

  /** Connections that wait. */
  get length(): number {
    return this.waiting.length
  }

  /** Calls `open` now, or in a later turn. `peer` is asked for its address only if it has to wait. */
  admit(open: () => void, peer?: WaitingPeer): void {
    if (this.length === 0) {
      this.refill()
      if (this.credit > 0) {
        this.open(open)
        return
      }
    }
    const address = peer?.remoteAddress
    if (address === undefined && peer?.isGone === true) {
      // one that is reset before it is looked at has no address to be counted by, and holds a descriptor as long as it waits
      open()
      return
    }
    const arrival: Arrival = { open, peer, arrivedAt: this.clock.now() }
    const leave = this.waiting.add(addressKey(address) ?? '', arrival)
    const drop = (error: MqttError): void => {
      if (leave()) peer!.drop(error)
    }
    if (peer !== undefined && !this.halfOpen.enter(arrival, address, drop)) return
    this.schedule()
  }

  /** Opens all that wait: the broker stops, and each of them will see that. */
  flush(): void {
    for (let arrival = this.take(); arrival !== undefined; arrival = this.take()) arrival.open()
  }

  private openSome(): void {
    this.scheduled = false
    this.refill()
    const silent = this.isSilent()
    let left = GONE
    for (let opened = 0; this.length > 0 && (this.credit > 0 || (silent && opened < BATCH)); opened++) {
      left = this.clearAway(left)
      const arrival = this.take()
      if (arrival !== undefined) this.open(arrival.open)
    }
    if (this.length > 0) this.schedule()
  }

  private take(): Arrival | undefined {
    const arrival = this.waiting.next()?.value
    if (arrival !== undefined) this.halfOpen.leave(arrival)
    return arrival
  }

  /** Those that have gone, and those whose time is over, take no turn from the others. Answers how many more may be cleared away. */
  private clearAway(maximum: number): number {
    for (let left = maximum; left > 0; left--) {
      const arrival = this.waiting.takeOver(this.isOver)
      if (arrival === undefined) return left
      this.halfOpen.leave(arrival)
      if (arrival.peer?.isGone === true) arrival.open()
      else arrival.peer!.drop(new MqttError('GNATMQ_CONNECT_TIMEOUT', 'the peer was not let in within connectTimeout'))
    }
    return 0
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    // a loop that runs only for waiting connections is never idle, and so would never admit them
    if (this.isSilent()) setImmediate(this.drain)
    else setTimeout(this.drain, 1)
  }

  private isSilent(): boolean {
    const { chunks } = this.turn
    if (chunks !== this.chunks) {
      this.chunks = chunks
      this.heardAt = this.countedAt
    }
    return this.countedAt - this.heardAt > SILENCE_MS
  }

  private refill(): void {
    const now = this.clock.now()
    const idleAt = this.idleMs()
    const idle = idleAt - this.idleAt
    const busy = Math.max(0, now - this.countedAt - idle)
    this.credit = Math.min(CREDIT_MS, this.credit + busy * SHARE + idle * IDLE_SHARE)
    this.countedAt = now
    this.idleAt = idleAt
  }

  private open(open: () => void): void {
    open()
    const now = this.clock.now()
    this.credit = Math.max(-CREDIT_MS, this.credit - (now - this.countedAt) * WHOLE_COST)
    this.countedAt = now
  }
}
