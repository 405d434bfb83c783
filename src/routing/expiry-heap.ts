/** Something that expires. One heap keeps its place. */
export interface Expiring {
  /** `clock.now()` when it expires. */
  readonly expiresAt: number
  /** Its place in the heap; -1 while it is in none. */
  expiryIndex: number
}

/** What expires, the earliest first: a binary heap, in which each knows its place and so can leave early. */
export class ExpiryHeap<V extends Expiring> {
  private readonly items: V[] = []

  get size(): number {
    return this.items.length
  }

  /** The one that expires first. */
  get first(): V | undefined {
    return this.items[0]
  }

  add(item: V): void {
    this.items.push(item)
    this.rise(item, this.items.length - 1)
  }

  remove(item: V): void {
    const index = item.expiryIndex
    if (index < 0) return
    item.expiryIndex = -1
    const last = this.items.pop()!
    if (last === item) return
    if (this.rise(last, index) === index) this.sink(last, index)
  }

  /** Moves an item towards the front from a place that is free; returns where it stays. */
  private rise(item: V, index: number): number {
    const { items } = this
    while (index > 0) {
      const above = (index - 1) >> 1
      const other = items[above]!
      if (other.expiresAt <= item.expiresAt) break
      items[index] = other
      other.expiryIndex = index
      index = above
    }
    items[index] = item
    item.expiryIndex = index
    return index
  }

  private sink(item: V, index: number): void {
    const { items } = this
    for (;;) {
      let below = 2 * index + 1
      if (below >= items.length) break
      if (below + 1 < items.length && items[below + 1]!.expiresAt < items[below]!.expiresAt) below++
      const other = items[below]!
      if (item.expiresAt <= other.expiresAt) break
      items[index] = other
      other.expiryIndex = index
      index = below
    }
    items[index] = item
    item.expiryIndex = index
  }
}
