/** Something that is due when its time comes, unless it is moved before. */
export interface Deadline {
  /** `clock.now()` when it is due; Infinity while it is not. */
  dueAt: number
  /** The slot it lies in, kept by the wheel; -1 if in none. */
  slot: number
  due(now: number): void
}

const SLOTS = 512
/** Units of effort of a deadline that is due, and of one that is not. */
const DUE = 64
const LOOKED_AT = 1

/**
 * Deadlines of many connections behind one timer: each lies in the slot of the tick when it may be due. Moving a
 * deadline back costs nothing: when its slot is reached, it moves to a later slot.
 */
export class DeadlineWheel {
  readonly tickMs: number
  private readonly slots: Set<Deadline>[] = Array.from({ length: SLOTS }, () => new Set<Deadline>())
  private lastTick: number
  /** Those that lay in the slot reached last, and how far they have been looked at. */
  private reached: readonly Deadline[] = nothing
  private next = 0
  /** How many ticks nearer than the farthest the last far deadline was placed. */
  private spread = 0

  constructor(tickMs: number, now: number) {
    this.tickMs = tickMs
    this.lastTick = Math.floor(now / tickMs)
  }

  /** Puts a deadline in, or looks at it anew after `dueAt` came nearer. */
  place(deadline: Deadline): void {
    this.remove(deadline)
    if (deadline.dueAt === Number.POSITIVE_INFINITY) return
    const tick = Math.max(this.lastTick + 1, Math.ceil(deadline.dueAt / this.tickMs))
    const slot = (tick < this.lastTick + SLOTS ? tick : this.farTick()) % SLOTS
    this.slots[slot]!.add(deadline)
    deadline.slot = slot
  }

  /** Where one that is far ahead is looked at next: not all of them in the same tick, though all were placed at once. */
  private farTick(): number {
    this.spread = (this.spread + 1) % (SLOTS / 2)
    return this.lastTick + SLOTS - 1 - this.spread
  }

  remove(deadline: Deadline): void {
    if (deadline.slot < 0) return
    this.slots[deadline.slot]!.delete(deadline)
    deadline.slot = -1
  }

  /**
   * Calls `due` of those whose time has come, until `isOver`, which is told the units of effort of each; false where some are left for the
   * next call.
   */
  advance(now: number, isOver: (units: number) => boolean = never): boolean {
    const tick = Math.floor(now / this.tickMs)
    // after a long pause each slot is looked at once
    if (tick - this.lastTick > SLOTS) this.lastTick = tick - SLOTS
    for (;;) {
      while (this.next < this.reached.length) {
        const deadline = this.reached[this.next++]!
        if (isOver(this.look(deadline, now) ? DUE : LOOKED_AT)) return false
      }
      this.reached = nothing
      this.next = 0
      if (this.lastTick >= tick) return true
      this.reached = [...this.slots[++this.lastTick % SLOTS]!]
    }
  }

  /** True if it was due. */
  private look(deadline: Deadline, now: number): boolean {
    if (deadline.slot < 0) return false
    if (deadline.dueAt > now) {
      this.place(deadline)
      return false
    }
    this.remove(deadline)
    deadline.due(now)
    return true
  }
}

const never = (): boolean => false
const nothing: readonly Deadline[] = Object.freeze([])
