import type { LogNews } from '../../ports/cluster'

/** The last entries of a log whose numbers grow by one. */
export class NumberedLog<T extends { readonly number: number }> {
  /** The number of the last entry, 0 if there was none. */
  last = 0
  private readonly length: number
  private entries: T[] = []

  constructor(length: number) {
    this.length = length
  }

  add(make: (number: number) => T): number {
    this.entries.push(make(++this.last))
    // not at each entry, which would move all of them
    if (this.entries.length >= this.length * 2) this.entries = this.entries.slice(-this.length)
    return this.last
  }

  /** How many entries are kept. */
  get size(): number {
    return this.entries.length
  }

  after(number: number): LogNews<T> {
    const first = this.last - this.entries.length
    if (number < first || number > this.last) return 'missed'
    return this.entries.slice(number - first)
  }
}
