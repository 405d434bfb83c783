import type { EventEmitter } from 'eventemitter3'
import type { Client } from '../../ports/client'
import type { BrokerEvents } from '../../ports/events'
import type { Message } from '../../protocol/message'
import type { Router } from '../../routing/router'
import type { Session } from '../../session/session'
import type { Fanout } from './fanout'

/** Publishes messages that do not come as PUBLISH packets: the application's own, and Wills. */
export class Publisher {
  private readonly router: Router<Session>
  private readonly fanout: Fanout
  private readonly events: EventEmitter<BrokerEvents>

  constructor(router: Router<Session>, fanout: Fanout, events: EventEmitter<BrokerEvents>) {
    this.router = router
    this.fanout = fanout
    this.events = events
  }

  /** `from` is null for the application. Returns the commit that keeps the message, if it is to be waited for. */
  publish(message: Message, from: Session | null): Promise<void> | undefined {
    const route = this.router.route(message.topicBytes, 0, message.topicEnd)
    const committed = this.fanout.publish(route, null, message, from, 5, false)
    this.announce(message, undefined)
    return committed
  }

  /** The event `published`. */
  announce(message: Message, client: Client | undefined): void {
    if (this.events.listenerCount('published') > 0) this.events.emit('published', message, client)
  }
}
