import type { Delivery } from './delivery'
import { QueueBudget } from './queue-budget'

/** Deliveries that are not yet sent, first in, first out. */
export class DeliveryQueue {
  length = 0
  /** Payload bytes in all. */
  bytes = 0
  private slots: (Delivery | undefined)[] = new Array(16)
  private head = 0
  private readonly budget: QueueBudget

  constructor(budget: QueueBudget = new QueueBudget()) {
    this.budget = budget
  }

  push(delivery: Delivery): void {
    if (this.length === this.slots.length) this.grow()
    this.slots[(this.head + this.length++) & (this.slots.length - 1)] = delivery
    const bytes = deliveryBytes(delivery)
    this.bytes += bytes
    this.budget.add(1, bytes)
  }

  /** Puts a delivery back in front of all others. */
  unshift(delivery: Delivery): void {
    if (this.length === this.slots.length) this.grow()
    this.head = (this.head - 1) & (this.slots.length - 1)
    this.slots[this.head] = delivery
    this.length++
    const bytes = deliveryBytes(delivery)
    this.bytes += bytes
    this.budget.add(1, bytes)
  }

  peek(): Delivery | undefined {
    return this.length === 0 ? undefined : this.slots[this.head]
  }

  shift(): Delivery | undefined {
    if (this.length === 0) return undefined
    const delivery = this.slots[this.head]!
    this.slots[this.head] = undefined
    this.head = (this.head + 1) & (this.slots.length - 1)
    this.length--
    const bytes = deliveryBytes(delivery)
    this.bytes -= bytes
    this.budget.add(-1, -bytes)
    return delivery
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

  private grow(): void {
    const { slots, head, length } = this
    this.slots = new Array(slots.length * 2)
    for (let i = 0; i < length; i++) this.slots[i] = slots[(head + i) & (slots.length - 1)]
    this.head = 0
  }
}

/** What a delivery counts for in the bounds. */
export function deliveryBytes({ message }: Pick<Delivery, 'message'>): number {
  return message.bytes.length + message.topicEnd
}
