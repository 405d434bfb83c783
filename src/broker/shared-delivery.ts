import type { Message } from '../protocol/message'
import type { QoS } from '../protocol/packet'
import { type MemberView, SharedGroup } from '../routing/shared-group'
import type { Subscription } from '../routing/subscription'
import { Delivery, noIdentifiers } from '../session/delivery'
import { takeShared } from '../session/hand-over'
import type { Session } from '../session/session'
import type { BrokerSettings } from './settings'

const members: MemberView<Session> = {
  able: ({ output, inflightCount, window }) => output !== null && !output.congested && inflightCount < window,
  // whoever is offline keeps QoS 1 and 2; QoS 0 only if the broker is set to
  willing: ({ output, journal, limits }, granted) =>
    output !== null || (journal !== null && (granted > 0 || limits.queueQoS0)),
  inflight: (session) => session.inflightCount + session.queuedMessages,
}

/** Messages of Shared Subscriptions (MQTT 5.0 section 4.8.2). */
export class SharedDelivery {
  private readonly settings: BrokerSettings
  private readonly hand: (session: Session, delivery: Delivery) => void

  constructor(settings: BrokerSettings, hand: (session: Session, delivery: Delivery) => void) {
    this.settings = settings
    this.hand = hand
  }

  /** One member gets it: one that can be sent to now, failing that one that keeps it. */
  send(group: SharedGroup<Session>, message: Message, published: QoS): void {
    const subscription = this.choose(group, null)
    if (subscription !== undefined) this.give(subscription, group, message, published)
  }

  /**
   * A member went offline: what it has not acknowledged goes to the others, as far as there are any. What has expired
   * stays: nobody else may begin with it (MQTT 5.0 section 3.3.2.3.3).
   */
  handOver(session: Session): void {
    const now = this.settings.clock.now()
    const movable = ({ message, origin }: Delivery): boolean =>
      !(message.expiresAt !== 0 && message.expiresAt <= now) &&
      origin instanceof SharedGroup &&
      this.choose(origin, session) !== undefined
    for (const delivery of takeShared(session, movable)) {
      const group = delivery.origin
      if (!(group instanceof SharedGroup)) continue
      const subscription = this.choose(group, session)
      if (subscription !== undefined) this.give(subscription, group, delivery.message, delivery.message.qos)
    }
  }

  private choose(group: SharedGroup<Session>, except: Session | null): Subscription<Session> | undefined {
    return group.choose(this.settings.sharedSubscriptionStrategy, members, except)
  }

  private give(
    subscription: Subscription<Session>,
    group: SharedGroup<Session>,
    message: Message,
    published: QoS,
  ): void {
    const qos = subscription.qos < published ? subscription.qos : published
    const identifier = subscription.subscriptionIdentifier
    const identifiers = identifier === 0 ? noIdentifiers : [identifier]
    const retain = subscription.retainAsPublished && message.retain
    this.hand(subscription.subscriber, new Delivery(message, qos, retain, identifiers, group))
  }
}
