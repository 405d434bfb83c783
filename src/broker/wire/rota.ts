import type { Clock } from '../../ports/clock'
import type { Slice } from './slice'

/** Milliseconds of one turn of the event loop that go to those which have more to do than a slice, together. */
const ROUND_MS = 2

/** Something that has more to do than fits into one slice. */
export interface Worker {
  /** Does some of it. It adds itself anew if there is more. */
  takeTurn(): void
}

/**
 * Those that have more to do, one after the other: each gets one slice, and then comes behind the others. Between two rounds the
 * event loop serves all others.
 */
export class Rota {
  private waiting: Worker[] = []
  private next = 0
  private isScheduled = false
  private isStopped = false
  private readonly slice: Slice
  private readonly clock: Clock
  private readonly afterRound: (now: number) => void
  private readonly run = (): void => this.round()

  /** `afterRound` is called after each round. */
  constructor(slice: Slice, clock: Clock, afterRound: (now: number) => void = () => undefined) {
    this.slice = slice
    this.clock = clock
    this.afterRound = afterRound
  }

  /** How many wait. */
  get length(): number {
    return this.waiting.length - this.next
  }

  /** It must not wait already. */
  add(worker: Worker): void {
    if (this.isStopped) return
    this.waiting.push(worker)
    this.schedule()
  }

  /** The broker has stopped: what is left is left undone. */
  stop(): void {
    this.isStopped = true
    this.waiting = []
    this.next = 0
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(this.run)
  }

  private round(): void {
    this.isScheduled = false
    let now = this.clock.now()
    const endsAt = now + ROUND_MS
    // a worker that adds itself meanwhile has had its slice
    for (let left = this.length; left > 0 && now < endsAt; left--) {
      this.slice.begin(now)
      this.waiting[this.next++]!.takeTurn()
      now = this.clock.now()
    }
    if (this.next > 64 && this.next * 2 > this.waiting.length) {
      this.waiting.splice(0, this.next)
      this.next = 0
    }
    if (this.length > 0) this.schedule()
    else {
      this.waiting = []
      this.next = 0
    }
    this.afterRound(now)
  }
}
