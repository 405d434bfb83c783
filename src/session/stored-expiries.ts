import { DeadlineHeap } from './deadline-heap'

/** Entries that may be gone before the arrays are made anew. */
const SLACK = 1024

/**
 * When messages expire that wait in the store alone, by their positions. So they give their places up without being
 * read, and by the clock that never jumps. Numbers, not objects: a queue may be long.
 */
export class StoredExpiries {
  /** Messages that are in here. */
  count = 0
  /** Ascending. */
  private positions: number[] = []
  /** `clock.now()` when each expires, 0 for those that are gone. */
  private deadlines: number[] = []
  private sizes: number[] = []
  /** May hold positions that are gone: they are passed over. */
  private order = new DeadlineHeap<number>(untold)
  private start = 0

  /** The earliest deadline, Infinity if nothing expires. */
  get earliest(): number {
    const { order } = this
    for (let first = order.first(); first !== undefined; first = order.first()) {
      if (this.indexOf(first) >= 0) return order.earliest
      order.remove(0)
    }
    return Number.POSITIVE_INFINITY
  }

  /** `position` is above all that are in here. */
  add(position: number, deadline: number, bytes: number): void {
    this.positions.push(position)
    this.deadlines.push(deadline)
    this.sizes.push(bytes)
    this.order.add(position, deadline)
    this.count++
  }

  /** Takes out the message that expires first, if it has by now. */
  takeExpired(now: number): { readonly position: number; readonly bytes: number } | undefined {
    if (this.earliest > now) return undefined
    const position = this.order.first()!
    const bytes = this.sizes[this.indexOf(position)]!
    this.remove(position)
    return { position, bytes }
  }

  /** When the message at a position expires; undefined if that is not known. */
  deadlineOf(position: number): number | undefined {
    const index = this.indexOf(position)
    return index < 0 ? undefined : this.deadlines[index]!
  }

  remove(position: number): void {
    const index = this.indexOf(position)
    if (index < 0) return
    this.deadlines[index] = 0
    this.count--
    this.compact()
  }

  /** Forgets all positions up to this one: they are in memory now. */
  removeThrough(position: number): void {
    const { positions, deadlines } = this
    while (this.start < positions.length && positions[this.start]! <= position) {
      if (deadlines[this.start] !== 0) this.count--
      this.start++
    }
    this.compact()
  }

  /** Takes over all of `later`, whose positions are above those in here. */
  append(later: StoredExpiries): void {
    for (let i = later.start; i < later.positions.length; i++)
      if (later.deadlines[i] !== 0) this.add(later.positions[i]!, later.deadlines[i]!, later.sizes[i]!)
  }

  private indexOf(position: number): number {
    const { positions } = this
    let low = this.start
    let high = positions.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (positions[middle]! < position) low = middle + 1
      else high = middle
    }
    return positions[low] === position && this.deadlines[low] !== 0 ? low : -1
  }

  /** Once more is gone than is left: each removal pays for its share. */
  private compact(): void {
    if (this.positions.length <= 2 * this.count + SLACK) return
    const { positions, deadlines, sizes, start } = this
    this.positions = []
    this.deadlines = []
    this.sizes = []
    this.order = new DeadlineHeap<number>(untold)
    this.start = this.count = 0
    for (let i = start; i < positions.length; i++)
      if (deadlines[i] !== 0) this.add(positions[i]!, deadlines[i]!, sizes[i]!)
  }
}

const untold = (): void => undefined
