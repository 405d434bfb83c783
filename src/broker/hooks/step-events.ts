import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../../ports/events'
import { GuardedEvents } from './guarded-events'
import type { MessageListeners } from './message-listeners'

type Name = keyof BrokerEvents

/** What listeners cause is told of so many times before others have their turn. */
const ROUNDS = 16

/**
 * Events that happen in the midst of a step. They are told of once the step is done: a listener may publish or end a connection, and
 * must find nothing half done.
 */
export class StepEvents {
  private readonly events: EventEmitter<BrokerEvents>
  private readonly messages: MessageListeners
  private pending: [name: Name, values: unknown[]][] = []
  /** Times that listeners were called in this turn of the event loop. */
  private rounds = 0

  constructor(events: GuardedEvents<unknown>) {
    this.events = events
    this.messages = GuardedEvents.messageListeners(events)
  }

  /** Whether there is a listener. Without one, nothing is built for the event. */
  listens(name: Name): boolean {
    return this.events.listenerCount(name) > 0
  }

  /** Whether each message has to become an object because a listener gets it. */
  get watchesMessages(): boolean {
    return this.messages.areAny
  }

  /** Whether acknowledgements have a listener. */
  get watchesAcknowledgements(): boolean {
    return this.messages.areOfAcknowledgements
  }

  tell<T extends Name>(name: T, ...values: BrokerEvents[T]): void {
    if (this.pending.push([name, values]) === 1) this.schedule()
  }

  /** In a later turn: events stay in order, and a listener that causes its own event does not block the event loop. */
  private schedule(): void {
    if (this.rounds < ROUNDS) queueMicrotask(() => this.flush())
    else setImmediate(() => this.flush())
    if (this.rounds++ === 0)
      setImmediate(() => {
        this.rounds = 0
      })
  }

  private flush(): void {
    const { pending } = this
    this.pending = []
    for (const [name, values] of pending) this.events.emit(name, ...(values as BrokerEvents['closed']))
  }
}
