import { describe, expect, it } from 'vitest'
import { type Expiring, ExpiryHeap } from '../../src/routing/expiry-heap'

class Item implements Expiring {
  expiryIndex = -1
  constructor(readonly expiresAt: number) {}
}

/** Takes all out, the earliest first. */
function drained(heap: ExpiryHeap<Item>): number[] {
  const times: number[] = []
  for (let item = heap.first; item !== undefined; item = heap.first) {
    heap.remove(item)
    times.push(item.expiresAt)
  }
  return times
}

const ascending = (a: number, b: number): number => a - b
/** The same numbers each time, as good as random. */
const scattered = (i: number): number => (i * 7919) % 1009

describe('ExpiryHeap', () => {
  it('gives the earliest first, whatever the order in which they come', () => {
    const heap = new ExpiryHeap<Item>()
    const times = Array.from({ length: 1000 }, (_, i) => scattered(i))
    for (const time of times) heap.add(new Item(time))
    expect(drained(heap)).toEqual(times.sort(ascending))
    expect(heap.size).toBe(0)
  })

  it('lets any of them leave early, and keeps the order of the others', () => {
    const heap = new ExpiryHeap<Item>()
    const items = Array.from({ length: 1000 }, (_, i) => new Item(scattered(i)))
    for (const item of items) heap.add(item)
    const left = items.filter((item, i) => {
      if (scattered(i + 1) % 3 > 0) return true
      heap.remove(item)
      expect(item.expiryIndex).toBe(-1)
      return false
    })
    expect(heap.size).toBe(left.length)
    expect(drained(heap)).toEqual(left.map(({ expiresAt }) => expiresAt).sort(ascending))
  })

  it('does nothing to one that it does not have', () => {
    const heap = new ExpiryHeap<Item>()
    heap.add(new Item(1))
    heap.remove(new Item(1))
    expect(heap.size).toBe(1)
  })
})
