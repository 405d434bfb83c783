import type { Message } from '../protocol/message'
import { ExpiryHeap } from './expiry-heap'
import { TopicTree } from './topic-tree'

/** The last retained message of each topic (section 3.3.1.3). */
export class RetainedMessages {
  bytes = 0
  private readonly tree = new TopicTree<Message>()
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

  /** Takes out a message that has expired by `now`, and returns it; undefined if there is none. */
  takeExpired(now: number): Message | undefined {
    const message = this.expiring.first
    if (message === undefined || message.expiresAt > now) return undefined
    this.delete(message.topic)
    return message
  }

  /** Every retained message whose topic matches, in no particular order. Stands changes between two steps. */
  matching(filter: string): IterableIterator<Message> {
    return this.tree.matching(filter)
  }

  /** The same in bearable steps: a null says that others may have their turn. */
  walk(filter: string): IterableIterator<Message | null> {
    return this.tree.walk(filter)
  }
}

/** What a retained message counts for: a topic may be longer than what is said about it. */
export function retainedBytes(message: Message): number {
  return message.bytes.length + message.topicEnd
}
