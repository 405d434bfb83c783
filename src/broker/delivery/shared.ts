import { DropReason } from '../../protocol/drop-reason'
import type { Message } from '../../protocol/message'
import type { QoS } from '../../protocol/packet'
import { parseSharedFilter } from '../../protocol/topic'
import type { Router } from '../../routing/router'
import type { MemberView, SharedGroup } from '../../routing/shared-group'
import type { Subscription } from '../../routing/subscription'
import { Delivery, type DeliveryOrigin, noIdentifiers } from '../../session/delivery'
import { deliveryBytes } from '../../session/delivery-queue'
import { handOn } from '../../session/hand-over'
import { Move } from '../../session/move'
import { hasRoomInTime } from '../../session/room'
import type { Session } from '../../session/session'
import type { BrokerSettings } from '../wire/settings'
import type { Publication } from './publication'

/** A message for one member of a group. */
interface Offer {
  readonly message: Message
  /** The QoS that it was published with. */
  readonly published: QoS
  readonly origin: DeliveryOrigin
  /** The member that has it now, if any, and the delivery there. */
  readonly from: Session | null
  readonly given: Delivery | null
  /** The Packet Identifier that it was sent with there, 0 if it was not. */
  readonly identifier: number
  /** The step that it is part of. */
  readonly publication: Publication
}

/** Chooses the members that may have a message. Its fields replace a closure for each message. */
class Candidates implements MemberView<Session> {
  /** Whether also those whose queue is full: by their policy something is lost then. */
  crowded = false
  private offer!: Offer
  private bytes = 0
  private now = 0

  consider(offer: Offer, now: number): this {
    this.offer = offer
    this.now = now
    this.bytes = deliveryBytes(offer)
    this.crowded = false
    return this
  }

  readonly able = ({ subscriber }: Subscription<Session>): boolean => {
    const { output, inflightCount, window } = subscriber
    if (output === null || output.congested || inflightCount >= window || this.isOut(subscriber)) return false
    return subscriber.queuedMessages === 0 || hasRoomInTime(subscriber, this.bytes, this.now)
  }

  /** An offline member keeps QoS 1 and 2, and QoS 0 only with `queueQoS0`. */
  readonly willing = ({ subscriber, qos }: Subscription<Session>): boolean => {
    const { output, journal, limits } = subscriber
    if (this.isOut(subscriber)) return false
    const isQoS0 = qos === 0 || this.offer.published === 0
    if (isQoS0 && output !== null) return true
    if (output === null && (journal === null || (isQoS0 && !limits.queueQoS0))) return false
    return this.crowded || hasRoomInTime(subscriber, this.bytes, this.now)
  }

  private isOut(session: Session): boolean {
    const { from, origin } = this.offer
    return session === from || (origin.refusedBy !== undefined && origin.refusedBy.includes(session.clientId))
  }

  readonly absent = (session: Session): boolean => session.output === null

  readonly inflight = (session: Session): number => session.inflightCount + session.queuedMessages
}

/** Messages of Shared Subscriptions (MQTT 5.0 section 4.8.2). */
export class SharedDelivery {
  private readonly settings: BrokerSettings
  private readonly router: Router<Session>
  private readonly hand: (publication: Publication, session: Session, delivery: Delivery) => void
  private readonly candidates = new Candidates()
  /** What the last delivery to another member is taken back by. */
  private lastMove: Move | null = null

  constructor(
    settings: BrokerSettings,
    router: Router<Session>,
    hand: (publication: Publication, session: Session, delivery: Delivery) => void,
  ) {
    this.settings = settings
    this.router = router
    this.hand = hand
  }

  /** One member gets it: one that can be sent to now, failing that one that keeps it. */
  send(publication: Publication, group: SharedGroup<Session>): void {
    const message = publication.lasting()
    const { qos: published } = publication
    this.giveAnyhow(group, { message, published, origin: group, from: null, given: null, identifier: 0, publication })
  }

  /**
   * What one member may not have, or cannot take, goes to the next, and is lost only when it is for none of them. A
   * member that refused it is not asked again.
   */
  offerRefused(publication: Publication, session: Session, given: Delivery, reason: DropReason): Move | null {
    const { message, origin } = given
    const group = this.groupOf(origin)
    const now = this.settings.clock.now()
    if (origin !== null && group !== undefined && !isExpired(message, now)) {
      const { filter, refusedBy = [] } = origin
      const refused = { filter, refusedBy: [...refusedBy, session.clientId] }
      const { qos: published } = message
      const offer = { message, published, origin: refused, from: session, given, identifier: 0, publication }
      if (this.giveAnyhow(group, offer)) return this.lastMove
    }
    session.drop(isExpired(message, now) ? DropReason.Expired : reason, message)
    return null
  }

  /**
   * A member went offline: what it has not acknowledged goes to the others, as far as they have room. What has expired
   * stays: no other member may begin with it (MQTT 5.0 section 3.3.2.3.3).
   */
  handOver(publication: Publication, session: Session): void {
    const now = this.settings.clock.now()
    /** Groups none of whose members had room for so many bytes: that is not asked for each of a long queue again. */
    const full = new Map<SharedGroup<Session>, number>()
    handOn(session, (given, identifier) => {
      const { message, origin } = given
      const group = this.groupOf(origin)
      if (origin === null || group === undefined || isExpired(message, now)) return null
      const bytes = deliveryBytes(given)
      if (message.qos > 0 && bytes >= (full.get(group) ?? Number.POSITIVE_INFINITY)) return null
      const offer = { message, published: message.qos, origin, from: session, given, identifier, publication }
      if (this.give(group, offer)) return this.lastMove
      // a member that has refused this one may take another
      if (message.qos > 0 && origin.refusedBy === undefined) full.set(group, bytes)
      return null
    })
  }

  /** The group as it is now: it may have come to its end and begun anew since. */
  private groupOf(origin: DeliveryOrigin | null): SharedGroup<Session> | undefined {
    const parts = origin === null ? undefined : parseSharedFilter(origin.filter)
    return parts === undefined ? undefined : this.router.group(parts.filter, parts.shareName)
  }

  /** False if no member has room for it. */
  private give(group: SharedGroup<Session>, offer: Offer): boolean {
    const subscription = group.choose(
      this.settings.sharedSubscriptionStrategy,
      this.candidates.consider(offer, this.now()),
    )
    if (subscription === undefined) return false
    this.deliver(subscription, offer)
    return true
  }

  /** Where no member has room, the policy of one of them decides what is lost. False if no member may have it. */
  private giveAnyhow(group: SharedGroup<Session>, offer: Offer): boolean {
    if (this.give(group, offer)) return true
    this.candidates.crowded = true
    const subscription = group.choose(this.settings.sharedSubscriptionStrategy, this.candidates)
    if (subscription !== undefined) this.deliver(subscription, offer)
    return subscription !== undefined
  }

  /** The time is asked for only where something that waits may have expired. */
  private now(): number {
    return this.settings.session.budget.expires ? this.settings.clock.now() : 0
  }

  private deliver(subscription: Subscription<Session>, offer: Offer): void {
    const { message, published, origin, from, given, identifier, publication } = offer
    const { subscriber } = subscription
    const qos = subscription.qos < published ? subscription.qos : published
    const { subscriptionIdentifier } = subscription
    const identifiers = subscriptionIdentifier === 0 ? noIdentifiers : [subscriptionIdentifier]
    const retain = subscription.retainAsPublished && message.retain
    const taken = new Delivery(message, qos, retain, identifiers, origin)
    const move = from === null ? null : new Move(from, given!, identifier, subscriber, taken)
    // where nothing is kept nothing can be refused
    if (move !== null && qos > 0 && (from!.journal !== null || subscriber.journal !== null)) taken.move = move
    else if (move !== null) move.isOver = true
    this.lastMove = move
    this.hand(publication, subscriber, taken)
  }
}

function isExpired({ expiresAt }: Message, now: number): boolean {
  return expiresAt !== 0 && expiresAt <= now
}
