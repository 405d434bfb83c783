import type { InflightCount } from './inflight'

/** Bytes of a place: its own two, and half of what an identifier takes up in a store that lies in memory. */
const PLACE = 22

/** Places of the largest array: identifiers that a client chooses to crowd it make a step long. */
const LARGEST = 128

/**
 * A set of Packet Identifiers. Few lie in one small array by open addressing, where 0, which is no Packet Identifier, marks a
 * free place; more in a Set, whose steps stay short whatever the identifiers are.
 */
export class IdentifierSet {
  private slots = new Uint16Array(16)
  private used = 0
  /** Has all of them once they were too many for the array. */
  private many: Set<number> | null = null
  /** How many `many` may have until more is counted. */
  private counted = 0
  private readonly counter: InflightCount | null

  constructor(counter: InflightCount | null = null) {
    this.counter = counter
  }

  get size(): number {
    return this.many === null ? this.used : this.many.size
  }

  /** Whether one more takes more memory. */
  get isFull(): boolean {
    return this.many === null ? this.used * 2 >= this.slots.length : this.many.size >= this.counted
  }

  has(identifier: number): boolean {
    if (this.many !== null) return this.many.has(identifier)
    return this.slots[this.find(identifier)] === identifier
  }

  /** Returns false if it was there already. */
  add(identifier: number): boolean {
    if (this.isFull) this.grow()
    if (this.many !== null) return addTo(this.many, identifier)
    const at = this.find(identifier)
    if (this.slots[at] === identifier) return false
    this.slots[at] = identifier
    this.used++
    return true
  }

  /** Returns false if it was not there. */
  delete(identifier: number): boolean {
    if (this.many !== null) return this.many.delete(identifier)
    const slots = this.slots
    const mask = slots.length - 1
    let hole = this.find(identifier)
    if (slots[hole] !== identifier) return false
    this.used--
    for (let next = (hole + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const home = slots[next]! & mask
      // an element may move into the hole if its home is not behind the hole
      if (((next - home) & mask) >= ((next - hole) & mask)) {
        slots[hole] = slots[next]!
        hole = next
      }
    }
    slots[hole] = 0
    return true
  }

  *[Symbol.iterator](): IterableIterator<number> {
    if (this.many !== null) yield* this.many
    else for (const identifier of this.slots) if (identifier !== 0) yield identifier
  }

  private find(identifier: number): number {
    const slots = this.slots
    const mask = slots.length - 1
    let at = identifier & mask
    while (slots[at] !== 0 && slots[at] !== identifier) at = (at + 1) & mask
    return at
  }

  private grow(): void {
    if (this.many !== null || this.slots.length === LARGEST) {
      this.many ??= new Set(this)
      this.count(this.many.size * 2)
      this.counted = this.many.size * 2
      return
    }
    const old = this.slots
    this.count(old.length)
    this.slots = new Uint16Array(old.length * 2)
    for (const identifier of old) if (identifier !== 0) this.slots[this.find(identifier)] = identifier
  }

  private count(places: number): void {
    this.counter?.addInflight(0, places * PLACE)
  }
}

function addTo(set: Set<number>, identifier: number): boolean {
  const { size } = set
  return set.add(identifier).size > size
}
