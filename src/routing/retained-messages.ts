import type { Message } from '../protocol/message'
import { TopicTree } from './topic-tree'

/** The last retained message of each topic (section 3.3.1.3). */
export class RetainedMessages {
  bytes = 0
  private readonly tree = new TopicTree<Message>()

  get count(): number {
    return this.tree.size
  }

  get(topic: string): Message | undefined {
    return this.tree.get(topic)
  }

  set(message: Message): void {
    const before = this.tree.set(message.topic, message)
    this.bytes += retainedBytes(message) - (before === undefined ? 0 : retainedBytes(before))
  }

  /** False if there was none. */
  delete(topic: string): boolean {
    const before = this.tree.delete(topic)
    if (before === undefined) return false
    this.bytes -= retainedBytes(before)
    return true
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
