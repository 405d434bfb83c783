import type { InflightCount } from './inflight'

/** Bytes of a place: its own two, and half of what an identifier takes up in a store that lies in memory. */
const PLACE = 22

/**
 * A set of Packet Identifiers without an object per element: open addressing in one small array, where 0, which is
 * no Packet Identifier, marks a free place.
 */
export class IdentifierSet {
  size = 0
  private slots = new Uint16Array(16)
  private readonly counter: InflightCount | null

  constructor(counter: InflightCount | null = null) {
    this.counter = counter
  }

  /** Whether one more takes more memory. */
  get isFull(): boolean {
    return this.size * 2 >= this.slots.length
  }

  has(identifier: number): boolean {
    return this.slots[this.find(identifier)] === identifier
  }

  /** Returns false if it was there already. */
  add(identifier: number): boolean {
    if (this.isFull) this.grow()
    const at = this.find(identifier)
    if (this.slots[at] === identifier) return false
    this.slots[at] = identifier
    this.size++
    return true
  }

  /** Returns false if it was not there. */
  delete(identifier: number): boolean {
    const slots = this.slots
    const mask = slots.length - 1
    let hole = this.find(identifier)
    if (slots[hole] !== identifier) return false
    this.size--
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
    for (const identifier of this.slots) if (identifier !== 0) yield identifier
  }

  private find(identifier: number): number {
    const slots = this.slots
    const mask = slots.length - 1
    let at = identifier & mask
    while (slots[at] !== 0 && slots[at] !== identifier) at = (at + 1) & mask
    return at
  }

  private grow(): void {
    const old = this.slots
    this.counter?.addInflight(0, old.length * PLACE)
    this.slots = new Uint16Array(old.length * 2)
    for (const identifier of old) if (identifier !== 0) this.slots[this.find(identifier)] = identifier
  }
}
