import type { Message } from '../protocol/message'
import { ExpiryHeap } from './expiry-heap'
import { TopicTree } from './topic-tree'

/** The last retained message of each topic (section 3.3.1.3). */
export class RetainedMessages {
  bytes = 0
  /** The order of the message that was retained last. */
  lastOrder = 0
  private readonly tree = new TopicTree<Message>(true)
  private readonly expiring = new ExpiryHeap<Message>()

  get count(): number {
    return this.tree.size
  }

  get(topic: string): Message | undefined {
    return this.tree.get(topic)
  }

  set(message: Message): void {
    const before = this.tree.set(message.topic, message)
    if (before !== undefined) this.left(before)
    this.bytes += retainedBytes(message)
    // one that comes back, because the store has refused another, is as old as it was
    if (message.retainedOrder === 0) message.retainedOrder = ++this.lastOrder
    if (message.expiresAt !== 0) this.expiring.add(message)
  }

  /** False if there was none. */
  delete(topic: string): boolean {
    const before = this.tree.delete(topic)
    if (before === undefined) return false
    this.left(before)
    return true
  }

  private left(message: Message): void {
    this.bytes -= retainedBytes(message)
    this.expiring.remove(message)
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

/** What a retained message counts for: a topic may be longer than what is said about it. */
export function retainedBytes(message: Message): number {
  return message.bytes.length + message.topicEnd
}
