import type { Clock } from '../../ports/clock'
import { Effort } from '../../routing/effort'

/** Milliseconds after which others are to have their turn. */
const SLICE_MS = 1
/** Units of effort between two looks at the clock. */
export const LOOK = 128

/** Bytes of packets between two looks at the clock, where no packet takes much. */
export const LOOK_BYTES = 4096
/** The most, where packets are long: to ask for the time each time was a twentieth of what a PUBLISH of 4 KiB costs. */
const MOST_LOOK_BYTES = 16 * 1024

/** Bytes to the next look, behind a packet of `length` bytes: four like it take no more time than a great many short ones. */
export const bytesToLook = (length: number): number => Math.min(Math.max(LOOK_BYTES, 4 * length), MOST_LOOK_BYTES)

/** The time that the work in hand may still take. What is done adds to the effort, so that the clock is asked seldom. */
export class Slice {
  readonly effort = new Effort()
  /** Whole seconds of the clock when it began. */
  second = 0
  private endsAt = 0
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** A new slice begins. `now` is the clock's. */
  begin(now = this.clock.now()): void {
    this.endsAt = now + SLICE_MS
    this.second = Math.trunc(now / 1000)
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
