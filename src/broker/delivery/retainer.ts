import type { Message } from '../../protocol/message'
import { type RetainedMessages, retainedBytes } from '../../routing/retained-messages'
import type { CommitJournal } from '../commits/commit-journal'
import type { BrokerSettings } from '../wire/settings'
import type { RetainedExpiry } from './retained-expiry'

export interface RetainerParts {
  readonly settings: BrokerSettings
  readonly retained: RetainedMessages
  readonly journal: CommitJournal
  readonly retainedExpiry: RetainedExpiry
}

/** Retains messages, as far as there is room (section 3.3.1.3). */
export class Retainer {
  private readonly parts: RetainerParts

  constructor(parts: RetainerParts) {
    this.parts = parts
  }

  /** The retained message of a topic is replaced, or cleared by an empty payload [MQTT-3.3.1-6]. The commit is left to the caller. */
  retain(message: Message): void {
    const { retained, journal } = this.parts
    const before = retained.get(message.topic)
    if (message.payloadEnd === message.payloadStart) {
      if (retained.delete(message.topic)) journal.clear(message.topic, before)
      return
    }
    const { topic, topicEnd, bytes, publisher } = message
    if (!this.hasRoom(topic, topicEnd, bytes.length, publisher)) {
      retained.pass(message.topic)
      return
    }
    retained.set(message)
    journal.retain(message, before)
  }

  /**
   * Whether a retained message can be kept, perhaps in the place of another. `topicLength` is in bytes, `length` that of payload
   * and properties, `publisher` a Client Identifier.
   */
  hasRoom(topic: string, topicLength: number, length: number, publisher: string | undefined): boolean {
    // what has expired may not be out yet
    for (let isOut = true; isOut; isOut = this.parts.retainedExpiry.takeOut() > 0)
      if (this.fits(topic, topicLength, length, publisher)) return true
    this.parts.retained.refusedCount++
    return false
  }

  private fits(topic: string, topicLength: number, length: number, publisher?: string): boolean {
    const { retained, settings } = this.parts
    const former = retained.get(topic)
    if (former === undefined && retained.count >= settings.maximumRetainedMessages) return false
    const freed = former === undefined ? 0 : retainedBytes(former)
    if (retained.bytes - freed + topicLength + length > settings.maximumRetainedBytes) return false
    return retained.admits(topic, topicLength, length, former, publisher)
  }
}
