/** Turns in a row that go to lanes that have had none, while others wait for their next. */
const FRESH_IN_A_ROW = 8

/** One that waits, between its neighbours of the same lane. */
interface Waiting<T> {
  readonly value: T
  readonly key: string
  before: Waiting<T> | null
  after: Waiting<T> | null
  waits: boolean
}

interface Lane<T> {
  first: Waiting<T> | null
  last: Waiting<T> | null
  length: number
}

/** The order within a lane. A function is given the oldest of the lane, and answers whether the newest goes before it. */
export type LaneOrder<T> = 'oldest first' | 'newest first' | ((oldest: T) => boolean)

/**
 * A queue in lanes that take turns, so that each lane waits for itself. A lane that has had no turn goes before those that wait for
 * their next one: a thousand lanes of a thousand each do not delay one of another lane. Adding, leaving and taking cost the same
 * however many wait.
 */
export class TurnQueue<T> {
  /** Lanes that have had no turn, in the order in which they came. */
  private readonly fresh = new Map<string, Lane<T>>()
  /** Lanes that have had one, the next one first. One that has become empty stays until its turn has passed: it does not count as fresh before. */
  private readonly served = new Map<string, Lane<T>>()
  /** Those that are held. */
  private readonly held = new Map<string, Lane<T>>()
  private readonly order: LaneOrder<T>
  private freshInARow = 0
  private waiting = 0

  constructor(order: LaneOrder<T>) {
    this.order = order
  }

  /** How many wait, in held lanes too. */
  get length(): number {
    return this.waiting
  }

  /** How many wait in a lane. */
  lengthOf(key: string): number {
    return this.laneOf(key)?.length ?? 0
  }

  /** Puts a value into a lane. Answers a function that takes it out again, and says whether it still waited. */
  add(key: string, value: T): () => boolean {
    let lane = this.laneOf(key)
    if (lane === undefined) {
      lane = { first: null, last: null, length: 0 }
      this.fresh.set(key, lane)
    }
    const waiting: Waiting<T> = { value, key, before: lane.last, after: null, waits: true }
    if (lane.last === null) lane.first = waiting
    else lane.last.after = waiting
    lane.last = waiting
    lane.length++
    this.waiting++
    return () => this.remove(waiting)
  }

  /** Takes the next value out, from the lane whose turn it is; undefined if none waits in a lane that is not held. */
  next(): { readonly key: string; readonly value: T } | undefined {
    const key = this.nextKey
    if (key === undefined) return undefined
    const wasFresh = this.fresh.has(key)
    const lane = this.laneOf(key)!
    const waiting = this.newestFirst(lane.first!.value) ? lane.last! : lane.first!
    this.freshInARow = wasFresh ? this.freshInARow + 1 : 0
    // what is left waits behind the other lanes
    this.fresh.delete(key)
    this.served.delete(key)
    this.served.set(key, lane)
    this.remove(waiting)
    return { key, value: waiting.value }
  }

  /** Takes the oldest of the lane whose turn it is out, if `isOver`; its turn does not pass. */
  takeOver(isOver: (oldest: T) => boolean): T | undefined {
    const key = this.nextKey
    if (key === undefined) return undefined
    const oldest = this.laneOf(key)!.first!
    if (!isOver(oldest.value)) return undefined
    this.remove(oldest)
    return oldest.value
  }

  /** The lane whose turn it is; undefined if nothing waits in a lane that is not held. */
  get nextKey(): string | undefined {
    const { fresh, served } = this
    for (const [key, lane] of served) {
      if (lane.length > 0) break
      served.delete(key)
    }
    const lanes = fresh.size > 0 && (served.size === 0 || this.freshInARow < FRESH_IN_A_ROW) ? fresh : served
    for (const key of lanes.keys()) return key
    return undefined
  }

  /** The turn passes over a lane until `release`. */
  hold(key: string): void {
    const lane = this.laneOf(key)
    if (lane === undefined || lane.length === 0) return
    this.fresh.delete(key)
    this.served.delete(key)
    this.held.set(key, lane)
  }

  release(key: string): void {
    const lane = this.held.get(key)
    if (lane === undefined) return
    this.held.delete(key)
    this.served.set(key, lane)
  }

  private newestFirst(oldest: T): boolean {
    return typeof this.order === 'function' ? this.order(oldest) : this.order === 'newest first'
  }

  private laneOf(key: string): Lane<T> | undefined {
    return this.fresh.get(key) ?? this.served.get(key) ?? this.held.get(key)
  }

  private remove(waiting: Waiting<T>): boolean {
    if (!waiting.waits) return false
    waiting.waits = false
    const { key, before, after } = waiting
    const lane = this.laneOf(key)!
    if (before === null) lane.first = after
    else before.after = after
    if (after === null) lane.last = before
    else after.before = before
    lane.length--
    this.waiting--
    if (lane.length === 0) {
      this.fresh.delete(key)
      this.held.delete(key)
    }
    if (this.waiting === 0) this.served.clear()
    return true
  }
}
