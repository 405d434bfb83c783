/** Something that is due when its time comes, unless it is moved before. */
export interface Deadline {
  /** `clock.now()` when it is due; Infinity while it is not. */
  dueAt: number
  /** The slot it lies in, kept by the wheel; -1 if in none. */
  slot: number
  due(now: number): void
}

const SLOTS = 512

/**
 * Deadlines of many connections behind one timer: each lies in the slot of the tick when it may be due. Moving a
 * deadline back costs nothing: when its slot is reached, it moves to a later slot.
 */
export class DeadlineWheel {
  readonly tickMs: number
  private readonly slots: Set<Deadline>[] = Array.from({ length: SLOTS }, () => new Set<Deadline>())
  private lastTick: number

  constructor(tickMs: number, now: number) {
    this.tickMs = tickMs
    this.lastTick = Math.floor(now / tickMs)
  }

  /** Puts a deadline in, or looks at it anew after `dueAt` came nearer. */
  place(deadline: Deadline): void {
    this.remove(deadline)
    if (deadline.dueAt === Number.POSITIVE_INFINITY) return
    const tick = Math.max(this.lastTick + 1, Math.ceil(deadline.dueAt / this.tickMs))
    const slot = Math.min(tick, this.lastTick + SLOTS - 1) % SLOTS
    this.slots[slot]!.add(deadline)
    deadline.slot = slot
  }

  remove(deadline: Deadline): void {
    if (deadline.slot < 0) return
    this.slots[deadline.slot]!.delete(deadline)
    deadline.slot = -1
  }

  /** Calls `due` of all whose time has come. */
  advance(now: number): void {
    const tick = Math.floor(now / this.tickMs)
    // after a long pause each slot is looked at once
    if (tick - this.lastTick > SLOTS) this.lastTick = tick - SLOTS
    while (this.lastTick < tick) {
      const slot = this.slots[++this.lastTick % SLOTS]!
      for (const deadline of [...slot]) {
        if (deadline.slot < 0) continue
        if (deadline.dueAt <= now) {
          this.remove(deadline)
          deadline.due(now)
        } else this.place(deadline)
      }
    }
  }
}
