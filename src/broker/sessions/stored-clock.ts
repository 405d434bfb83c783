import type { Clock } from '../../ports/clock'

/** The longest Message Expiry Interval, in milliseconds. */
const LONGEST_MS = 0xffffffff * 1000

/**
 * Turns the wall time of a stored expiry into a deadline by `clock.now()`. The two clocks are compared once, at start-up:
 * however the wall clock is set while the broker runs, nothing expires sooner or later for it.
 */
export class StoredClock {
  private readonly clock: Clock
  private readonly difference: number

  constructor(clock: Clock) {
    this.clock = clock
    this.difference = clock.now() - clock.wallTime()
  }

  /** 0 if it never expires. */
  deadline(expiresAt: number | undefined): number {
    if (expiresAt === undefined) return 0
    // a wall clock that was set back must not make an interval that no packet can express
    return Math.min(expiresAt + this.difference, this.clock.now() + LONGEST_MS) || -1
  }

  hasPassed(deadline: number): boolean {
    return deadline !== 0 && deadline <= this.clock.now()
  }
}
