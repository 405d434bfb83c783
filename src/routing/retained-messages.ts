import { bytesCost, Cost, textCost } from '../memory/cost'
import { Budget } from '../memory/memory-budget'
import type { Message } from '../protocol/message'
import { ExpiryHeap } from './expiry-heap'
import { pathCost, TopicTree } from './topic-tree'

/** The last retained message of each topic (section 3.3.1.3). */
export class RetainedMessages {
  bytes = 0
  /** Messages that were not retained for want of room. */
  refusedCount = 0
  /** The order of the message that was retained last. */
  lastOrder = 0
  /** Told of each change; `message` is what the topic retains now. */
  onChange: ((topic: string, message: Message | undefined) => void) | null = null
  private readonly tree = new TopicTree<Message>(true)
  private readonly expiring = new ExpiryHeap<Message>()
  private readonly budget: Budget
  /** By Client Identifier: what of the budget the messages take up that this client has published. */
  private readonly byPublisher = new Map<string, number>()

  constructor(budget = new Budget()) {
    this.budget = budget
  }

  get count(): number {
    return this.tree.size
  }

  get(topic: string): Message | undefined {
    return this.tree.get(topic)
  }

  /**
   * Whether the memory allows for a message of `length` bytes, payload and properties, in the place of `former`. `topicLength`
   * is in bytes, `publisher` a Client Identifier.
   */
  admits(
    topic: string,
    topicLength: number,
    length: number,
    former: Message | undefined,
    publisher: string | undefined,
  ): boolean {
    const own = messageCost(topic, topicLength, length)
    const more = former === undefined ? own + pathCost(topic) : own - ownCost(former)
    if (more <= 0) return true
    return this.budget.admits(more, publisher === undefined ? 0 : (this.byPublisher.get(publisher) ?? 0))
  }

  set(message: Message): void {
    message.own()
    const { tree } = this
    const nodes = tree.cost
    const before = tree.set(message.topic, message)
    if (before !== undefined) this.left(before)
    this.bytes += retainedBytes(message)
    message.retainedCost = ownCost(message) + tree.cost - nodes
    this.budget.add(message.retainedCost)
    this.charge(message.publisher, message.retainedCost)
    // one that comes back, because the store has refused another, is as old as it was
    if (message.retainedOrder === 0) message.retainedOrder = ++this.lastOrder
    if (message.expiresAt !== 0) this.expiring.add(message)
    this.onChange?.(message.topic, message)
  }

  /** False if there was none. */
  delete(topic: string): boolean {
    const { tree } = this
    const nodes = tree.cost
    const before = tree.delete(topic)
    if (before === undefined) return false
    this.budget.add(tree.cost - nodes)
    this.left(before)
    this.onChange?.(topic, undefined)
    return true
  }

  private left(message: Message): void {
    this.bytes -= retainedBytes(message)
    this.budget.add(-ownCost(message))
    this.charge(message.publisher, -message.retainedCost)
    this.expiring.remove(message)
  }

  private charge(publisher: string | undefined, cost: number): void {
    if (publisher === undefined) return
    const { byPublisher } = this
    const charged = (byPublisher.get(publisher) ?? 0) + cost
    if (charged > 0) byPublisher.set(publisher, charged)
    else byPublisher.delete(publisher)
  }

  /** What was published to a topic now and could not be retained: from here on, what is retained is not news any more. */
  pass(topic: string): void {
    const message = this.tree.get(topic)
    if (message !== undefined) message.retainedOrder = ++this.lastOrder
  }

  /** Takes out a message that has expired by `now`, and returns it; undefined if there is none. */
  takeExpired(now: number): Message | undefined {
    const message = this.expiring.first
    if (message === undefined || message.expiresAt > now) return undefined
    this.delete(message.topic)
    return message
  }

  /** Every retained message whose topic matches. Stands changes between two steps. */
  matching(filter: string): IterableIterator<Message> {
    return this.tree.matching(filter)
  }

  /** The same in short steps, behind the topic `after`: see TopicTree. */
  walk(filter: string, after?: string, pause?: number): IterableIterator<Message | null> {
    return this.tree.walk(filter, after, pause)
  }
}

/** Bytes of a retained message with its topic, in the memory budget. */
export function retainedBytes(message: Message): number {
  return message.bytes.length + message.topicEnd
}

function ownCost({ topic, topicEnd, bytes }: Message): number {
  return messageCost(topic, topicEnd, bytes.length)
}

function messageCost(topic: string, topicLength: number, length: number): number {
  return Cost.retainedMessage + textCost(topic) + bytesCost(topicLength) + bytesCost(length)
}
