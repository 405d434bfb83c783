import type { Clock } from '../ports/clock'
import type { Turn } from './turn'

/** What of a busy loop new connections may take. */
const SHARE = 1 / 8
/** Milliseconds that they may take at once, after a time without any. */
const CREDIT_MS = 2
/**
 * The opening that is measured is about a fifth of what a connection costs: the rest goes to the kernel, to CONNECT and its
 * answer, and to the collector.
 */
const WHOLE_COST = 5
/** Connections that are opened in one turn while no client has anything to say. */
const BATCH = 8

/**
 * Lets new connections in. A storm of them waits while those that are connected keep the loop busy: it gets an eighth
 * of the time then, and all of it when there is nothing else to do. First come, first served.
 */
export class Admission {
  private waiting: (() => void)[] = []
  private next = 0
  private credit = CREDIT_MS
  private countedAt: number
  private chunks = 0
  private scheduled = false
  private readonly clock: Clock
  private readonly turn: Turn
  private readonly drain = (): void => this.openSome()

  constructor(clock: Clock, turn: Turn) {
    this.clock = clock
    this.turn = turn
    this.countedAt = clock.now()
  }

  /** Connections that wait. */
  get length(): number {
    return this.waiting.length - this.next
  }

  /** Calls `open` now, or in a later turn. */
  admit(open: () => void): void {
    if (this.length === 0) {
      this.refill()
      if (this.credit > 0) {
        this.open(open)
        return
      }
    }
    this.waiting.push(open)
    this.schedule()
  }

  /** Opens all that wait: the broker stops, and each of them will see that. */
  flush(): void {
    while (this.length > 0) this.waiting[this.next++]!()
    this.forget()
  }

  private openSome(): void {
    this.scheduled = false
    const calm = this.turn.chunks === this.chunks
    this.chunks = this.turn.chunks
    this.refill()
    for (let opened = 0; this.length > 0 && (calm ? opened < BATCH : this.credit > 0); opened++)
      this.open(this.waiting[this.next++]!)
    if (this.length > 0) this.schedule()
    else this.forget()
  }

  private forget(): void {
    this.waiting = []
    this.next = 0
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(this.drain)
  }

  private refill(): void {
    const now = this.clock.now()
    this.credit = Math.min(CREDIT_MS, this.credit + (now - this.countedAt) * SHARE)
    this.countedAt = now
  }

  private open(open: () => void): void {
    open()
    const now = this.clock.now()
    this.credit = Math.max(-CREDIT_MS, this.credit - (now - this.countedAt) * WHOLE_COST)
    this.countedAt = now
  }
}
