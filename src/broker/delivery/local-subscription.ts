import type { ApplicationMessage } from '../../ports/application-message'
import type { Message } from '../../protocol/message'
import type { LocalSubscription } from '../../routing/filter-node'
import type { ApplicationFaults } from '../hooks/application-faults'
import { MessageView } from '../hooks/message-view'

/** A subscriber inside the application. */
export class LocalSubscriber implements LocalSubscription {
  readonly filter: string
  private readonly onMessage: (message: ApplicationMessage) => unknown
  private readonly faults: ApplicationFaults

  constructor(filter: string, onMessage: (message: ApplicationMessage) => unknown, faults: ApplicationFaults) {
    this.filter = filter
    this.onMessage = onMessage
    this.faults = faults
  }

  /** What the application throws or rejects with is logged, and affects no other receiver. */
  deliver(message: Message): void {
    try {
      const result = this.onMessage(new MessageView(message))
      if (result !== undefined) this.faults.watch(result, { topic: message.topic }, fault)
    } catch (error) {
      this.faults.report(error, { topic: message.topic }, fault)
    }
  }
}

const fault = 'a subscriber of the application threw'
