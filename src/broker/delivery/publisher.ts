import type { EventEmitter } from 'eventemitter3'
import type { Client } from '../../ports/client'
import type { BrokerEvents } from '../../ports/events'
import type { Message } from '../../protocol/message'
import type { Router } from '../../routing/router'
import type { Session } from '../../session/session'
import type { Fanout } from './fanout'
import type { WideFanout } from './wide-fanout'

/** Publishes messages that do not come as PUBLISH packets: the application's own, and Wills. */
export class Publisher {
  private readonly router: Router<Session>
  private readonly fanout: Fanout
  private readonly wide: WideFanout
  private readonly events: EventEmitter<BrokerEvents>

  constructor(router: Router<Session>, fanout: Fanout, wide: WideFanout, events: EventEmitter<BrokerEvents>) {
    this.wide = wide
    this.router = router
    this.fanout = fanout
    this.events = events
  }

  /**
   * `from` is null for the application. `keep` makes changes that are to be kept with the message. Returns the commit, if it is to
   * be waited for.
   */
  publish(message: Message, from: Session | null, keep = nothing): Promise<void> | undefined {
    const route = this.router.route(message.topicBytes, 0, message.topicEnd)
    if (route.isWide || this.wide.isAwaited(message.topic, from)) return this.publishWide(message, from, keep)
    keep()
    const committed = this.fanout.publish(route, null, message, from, 5, false)
    this.announce(message, undefined)
    return committed
  }

  /** A message of the broker's own, which no store keeps and no event tells of. */
  publishSystem(message: Message): void {
    const route = this.router.route(message.topicBytes, 0, message.topicEnd)
    const wanted = { isAtOnce: false, isWanted: always, keep: nothing }
    if (route.isWide || this.wide.isAwaited(message.topic, null))
      this.wide.publish({ message, publisher: null, isAnswered: false, closes: false, ...wanted })
    else this.fanout.publish(route, null, message, null, 5, false)?.catch(nothing)
  }

  /** To so many receivers that others have their turn in between, or behind such a message. */
  private async publishWide(message: Message, publisher: Session | null, keep: () => void): Promise<void> {
    const wanted = { isAtOnce: false, isWanted: always, keep }
    const wide = this.wide.publish({ message, publisher, isAnswered: false, closes: false, ...wanted })
    const { committed } = await wide.outcome
    this.announce(message, undefined)
    await committed
  }

  /** The event `published`. */
  announce(message: Message, client: Client | undefined): void {
    if (this.events.listenerCount('published') > 0) this.events.emit('published', message, client)
  }
}

const nothing = (): void => undefined
const always = (): boolean => true
