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

/**
 * A queue in lanes that take turns, so that each lane waits for itself: a thousand of one address delay one of another
 * address by one turn. Adding, leaving and taking cost the same however many wait.
 */
export class TurnQueue<T> {
  /** Those whose turn may come, the next one first. */
  private readonly lanes = new Map<string, Lane<T>>()
  /** Those that are held. */
  private readonly held = new Map<string, Lane<T>>()
  private readonly order: 'oldest first' | 'newest first'
  private waiting = 0

  /** `order` is the order within a lane. */
  constructor(order: 'oldest first' | 'newest first') {
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
      this.lanes.set(key, lane)
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
    const lane = this.lanes.get(key)!
    const { value } = this.order === 'oldest first' ? lane.first! : lane.last!
    this.remove(this.order === 'oldest first' ? lane.first! : lane.last!)
    // what is left waits behind the other lanes
    if (this.lanes.delete(key)) this.lanes.set(key, lane)
    return { key, value }
  }

  /** The lane whose turn it is; undefined if nothing waits in a lane that is not held. */
  get nextKey(): string | undefined {
    for (const key of this.lanes.keys()) return key
    return undefined
  }

  /** The turn passes over a lane until `release`. */
  hold(key: string): void {
    const lane = this.lanes.get(key)
    if (lane === undefined) return
    this.lanes.delete(key)
    this.held.set(key, lane)
  }

  release(key: string): void {
    const lane = this.held.get(key)
    if (lane === undefined) return
    this.held.delete(key)
    this.lanes.set(key, lane)
  }

  private laneOf(key: string): Lane<T> | undefined {
    return this.lanes.get(key) ?? this.held.get(key)
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
      this.lanes.delete(key)
      this.held.delete(key)
    }
    return true
  }
}
