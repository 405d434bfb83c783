/** Items by their deadlines, the earliest first: a binary heap. `moved` is told where an item lies, -1 once it lies nowhere. */
export class DeadlineHeap<T> {
  private readonly items: T[] = []
  private readonly deadlines: number[] = []
  private readonly moved: (item: T, index: number) => void

  constructor(moved: (item: T, index: number) => void) {
    this.moved = moved
  }

  get size(): number {
    return this.items.length
  }

  /** The earliest deadline, Infinity if there is none. */
  get earliest(): number {
    return this.items.length === 0 ? Number.POSITIVE_INFINITY : this.deadlines[0]!
  }

  /** The item with the earliest deadline. */
  first(): T | undefined {
    return this.items[0]
  }

  deadline(index: number): number {
    return this.deadlines[index]!
  }

  add(item: T, deadline: number): void {
    this.items.push(item)
    this.deadlines.push(deadline)
    this.rise(this.items.length - 1, item, deadline)
  }

  change(index: number, deadline: number): void {
    this.place(index, this.items[index]!, deadline)
  }

  remove(index: number): void {
    const removed = this.items[index]!
    const item = this.items.pop()!
    const deadline = this.deadlines.pop()!
    if (index < this.items.length) this.place(index, item, deadline)
    this.moved(removed, -1)
  }

  clear(): void {
    for (const item of this.items) this.moved(item, -1)
    this.items.length = 0
    this.deadlines.length = 0
  }

  private place(index: number, item: T, deadline: number): void {
    const parent = (index - 1) >> 1
    if (index > 0 && deadline < this.deadlines[parent]!) this.rise(index, item, deadline)
    else this.sink(index, item, deadline)
  }

  private rise(index: number, item: T, deadline: number): void {
    let at = index
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.deadlines[parent]! <= deadline) break
      this.put(at, this.items[parent]!, this.deadlines[parent]!)
      at = parent
    }
    this.put(at, item, deadline)
  }

  private sink(index: number, item: T, deadline: number): void {
    const { deadlines, items } = this
    let at = index
    for (let child = 2 * at + 1; child < items.length; child = 2 * at + 1) {
      if (child + 1 < items.length && deadlines[child + 1]! < deadlines[child]!) child++
      if (deadline <= deadlines[child]!) break
      this.put(at, items[child]!, deadlines[child]!)
      at = child
    }
    this.put(at, item, deadline)
  }

  private put(index: number, item: T, deadline: number): void {
    this.items[index] = item
    this.deadlines[index] = deadline
    this.moved(item, index)
  }
}
