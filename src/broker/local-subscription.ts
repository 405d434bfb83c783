import type { Message } from '../protocol/message'
import type { LocalSubscription } from '../routing/filter-node'

/** A subscriber inside the application. */
export class LocalSubscriber implements LocalSubscription {
  readonly filter: string
  /** Called with each message; `retained` says that it was stored before the subscription. */
  readonly deliver: (message: Message) => void

  constructor(filter: string, deliver: (message: Message) => void) {
    this.filter = filter
    this.deliver = deliver
  }
}
