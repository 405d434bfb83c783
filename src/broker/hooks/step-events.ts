import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../../ports/events'

type Name = keyof BrokerEvents

/**
 * Events that happen in the midst of a step. They are told of once the step is done: a listener may publish or end a connection, and
 * must find nothing half done.
 */
export class StepEvents {
  private readonly events: EventEmitter<BrokerEvents>
  private pending: [name: Name, values: unknown[]][] = []

  constructor(events: EventEmitter<BrokerEvents>) {
    this.events = events
  }

  /** Whether anybody listens: nothing is built where nobody does. */
  listens(name: Name): boolean {
    return this.events.listenerCount(name) > 0
  }

  /** Whether each message is to be an object, so that somebody can be told of it. */
  get watchesMessages(): boolean {
    return this.listens('published') || this.listens('messageDropped')
  }

  tell<T extends Name>(name: T, ...values: BrokerEvents[T]): void {
    if (this.pending.push([name, values]) === 1) queueMicrotask(() => this.flush())
  }

  private flush(): void {
    const { pending } = this
    this.pending = []
    for (const [name, values] of pending) this.events.emit(name, ...(values as BrokerEvents['closed']))
  }
}
