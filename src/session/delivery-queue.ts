import { DeadlineHeap } from './deadline-heap'
import type { Delivery } from './delivery'

/** What counts the deliveries of a queue: see QueueAccount. */
export interface QueueCount {
  /** Counts what came, or with negative numbers what went. */
  add(messages: number, bytes: number): void
  setUnreadable(unreadable: boolean): void
  /** A message that expires at `deadline` waits from now on. */
  awaitExpiry(deadline: number): void
}

/** Deliveries that are not yet sent, first in, first out. Those that have expired can be taken out from among the others. */
export class DeliveryQueue {
  length = 0
  private slots: (Delivery | undefined)[] = new Array(16)
  /** Places count on and on: `slots` is a ring. Neither the first place nor the last is empty while there is anything. */
  private head = 0
  private end = 0
  private readonly account: QueueCount
  private expiries: DeadlineHeap<Delivery> | null = null

  constructor(account: QueueCount) {
    this.account = account
  }

  push(delivery: Delivery): void {
    if (this.end - this.head === this.slots.length) this.grow()
    this.put(delivery, this.end++)
  }

  /** Puts a delivery back in front of all others. */
  unshift(delivery: Delivery): void {
    if (this.end - this.head === this.slots.length) this.grow()
    this.put(delivery, --this.head)
  }

  peek(): Delivery | undefined {
    return this.length === 0 ? undefined : this.slots[this.head & (this.slots.length - 1)]
  }

  shift(): Delivery | undefined {
    if (this.length === 0) return undefined
    const delivery = this.slots[this.head & (this.slots.length - 1)]!
    this.remove(delivery, this.head)
    return delivery
  }

  /** When the first of them expires; Infinity if none does. */
  get earliestExpiry(): number {
    return this.expiries === null ? Number.POSITIVE_INFINITY : this.expiries.earliest
  }

  /** Removes the message that expires first if it has expired, wherever it is in the queue. */
  takeExpired(now: number): Delivery | undefined {
    if (this.earliestExpiry > now) return undefined
    const delivery = this.expiries!.first()!
    this.remove(delivery, delivery.place)
    return delivery
  }

  /** Puts a delivery in its place by its position: all lie in that order. */
  insert(delivery: Delivery): void {
    const before: Delivery[] = []
    if (this.length > 0 && this.last().position < delivery.position) {
      this.push(delivery)
      return
    }
    while (this.length > 0 && this.peek()!.position < delivery.position) before.push(this.shift()!)
    this.unshift(delivery)
    for (let i = before.length - 1; i >= 0; i--) this.unshift(before[i]!)
  }

  /** Takes out the delivery of a position: what is near the first or the last is found at once. False if it is not here. */
  takeOut(position: number): boolean {
    const { slots } = this
    const mask = slots.length - 1
    for (let low = this.head, high = this.end - 1; low <= high; low++, high--) {
      const place = slots[low & mask]?.position === position ? low : high
      const delivery = slots[place & mask]
      if (delivery?.position !== position) continue
      this.remove(delivery, place)
      return true
    }
    return false
  }

  /** Takes everything out. */
  clear(): Delivery[] {
    const all: Delivery[] = []
    for (let first = this.shift(); first !== undefined; first = this.shift()) all.push(first)
    return all
  }

  /** Removes those for which `unwanted` holds, keeps the order of the others, and returns the removed. */
  removeWhere(unwanted: (delivery: Delivery) => boolean): Delivery[] {
    const removed: Delivery[] = []
    for (let n = this.length; n > 0; n--) {
      const delivery = this.shift()!
      if (unwanted(delivery)) removed.push(delivery)
      else this.push(delivery)
    }
    return removed
  }

  /** The topic of each, in their order. */
  topics(): string[] {
    const topics: string[] = []
    for (let place = this.head; place < this.end; place++) {
      const delivery = this.slots[place & (this.slots.length - 1)]
      if (delivery !== undefined) topics.push(delivery.message.topic)
    }
    return topics
  }

  private put(delivery: Delivery, place: number): void {
    this.slots[place & (this.slots.length - 1)] = delivery
    this.length++
    this.account.add(1, deliveryBytes(delivery))
    this.account.setUnreadable(false)
    const { expiresAt } = delivery.message
    if (expiresAt === 0) return
    delivery.place = place
    this.expiries ??= new DeadlineHeap(tellIndex)
    this.expiries.add(delivery, expiresAt)
    this.account.awaitExpiry(expiresAt)
  }

  private remove(delivery: Delivery, place: number): void {
    const { slots } = this
    slots[place & (slots.length - 1)] = undefined
    this.length--
    this.account.add(-1, -deliveryBytes(delivery))
    if (delivery.expiryIndex >= 0) this.expiries!.remove(delivery.expiryIndex)
    if (place === this.head || place === this.end - 1) this.trim()
    else if (this.end - this.head > 2 * this.length + 16) this.move(slots.length)
  }

  private last(): Delivery {
    return this.slots[(this.end - 1) & (this.slots.length - 1)]!
  }

  /** Neither the first place nor the last is to be empty. */
  private trim(): void {
    const { slots } = this
    const mask = slots.length - 1
    if (this.length === 0) {
      this.head = this.end = 0
      return
    }
    while (slots[this.head & mask] === undefined) this.head++
    while (slots[(this.end - 1) & mask] === undefined) this.end--
  }

  /** Where many have been taken out from the middle, the places that they leave are enough. */
  private grow(): void {
    this.move(this.length * 2 > this.slots.length ? this.slots.length * 2 : this.slots.length)
  }

  private move(size: number): void {
    const { slots, head, end } = this
    const moved: (Delivery | undefined)[] = new Array(size)
    let place = 0
    for (let from = head; from < end; from++) {
      const delivery = slots[from & (slots.length - 1)]
      if (delivery === undefined) continue
      delivery.place = place
      moved[place++] = delivery
    }
    this.slots = moved
    this.head = 0
    this.end = place
  }
}

function tellIndex(delivery: Delivery, index: number): void {
  delivery.expiryIndex = index
}

/** Bytes of a delivery in the bounds. */
export function deliveryBytes({ message }: Pick<Delivery, 'message'>): number {
  return message.bytes.length + message.topicEnd
}
