import type { Message } from '../protocol/message'
import type { RetainedMessages } from './retained-messages'

/** Nodes that are looked at between two pauses. */
const PAUSE = 64

/** Says whether what was published to a topic did not reach a subscriber, although it has subscribed to it. */
export type IsMissed = (topic: string) => boolean

/**
 * The retained messages that a new subscription is still to get (section 3.3.1.3), one by one: of each topic the message that
 * is retained at that moment, and nothing where the subscription has brought a newer one meanwhile. Between two of them
 * all that it holds is a topic.
 */
export class Replay {
  readonly filter: string
  /** The topic that came last, in the order of the retained messages; empty at the beginning. */
  after: string
  private readonly retained: RetainedMessages
  /** What was retained later has reached the subscriber when it was published, unless it was missed. */
  private readonly lastOrder: number
  private walk: Iterator<Message | null> | null = null

  constructor(retained: RetainedMessages, filter: string, after = '') {
    this.retained = retained
    this.filter = filter
    this.after = after
    this.lastOrder = retained.lastOrder
  }

  /** The next message; null if others are to have their turn before, undefined if there is none. */
  next(isMissed: IsMissed): Message | null | undefined {
    this.walk ??= this.retained.walk(this.filter, this.after, PAUSE)
    for (;;) {
      const { done, value } = this.walk.next()
      if (done === true) return undefined
      if (value === null) return null
      if (value.retainedOrder > this.lastOrder && !isMissed(value.topic)) continue
      this.after = value.topic
      return value
    }
  }

  /** Lets go of its place among the retained messages, and finds it again by its topic, or by an earlier one. */
  rest(after: string = this.after): void {
    this.after = after
    this.walk = null
  }
}
