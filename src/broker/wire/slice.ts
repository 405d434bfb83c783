import type { Clock } from '../../ports/clock'
import { Effort } from '../../routing/effort'

/** Milliseconds after which others are to have their turn. */
const SLICE_MS = 1
/** Units of effort between two looks at the clock. */
export const LOOK = 128

/** The time that the work in hand may still take. What is done adds to the effort, so that the clock is asked seldom. */
export class Slice {
  readonly effort = new Effort()
  private endsAt = 0
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** A new slice begins. `now` is the clock's. */
  begin(now = this.clock.now()): void {
    this.endsAt = now + SLICE_MS
    this.effort.units = 0
  }

  /** Adds a step of so many units; true if others are to have their turn before the next. */
  isOverAfter(units: number): boolean {
    this.effort.units += units
    return this.effort.units >= LOOK && this.look()
  }

  /** Whether the time is over. */
  look(): boolean {
    this.effort.units = 0
    return this.clock.now() >= this.endsAt
  }
}
