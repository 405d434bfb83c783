import { copyMessage, type Message } from '../protocol/message'
import { Dialect } from '../protocol/output'
import type { ProtocolVersion, QoS } from '../protocol/packet'
import type { PublishPacket } from '../protocol/publish-packet'
import type { PublishSource } from '../protocol/publish-source'
import { PublishEnvelope, writePublish } from '../protocol/publish-writer'
import { retainedBytes } from '../routing/retained-messages'
import type { Route, SpecialReceiver } from '../routing/route'
import { Delivery, noIdentifiers } from '../session/delivery'
import { deliver, forward, forwardAnew, Outcome, revoke, sendCommitted } from '../session/sender'
import type { Session } from '../session/session'
import type { Core } from './core'
import { LocalSubscriber } from './local-subscription'
import { SharedDelivery } from './shared-delivery'

/** A QoS 2 message that is sent once its identifier is committed. */
interface AwaitingCommit {
  readonly session: Session
  readonly identifier: number
}

const envelope = new PublishEnvelope()

/** Gives one message to everybody on its route: assign, commit, write. */
export class Fanout {
  private readonly core: Core
  /** True where a hook looks at every delivery. */
  private readonly guarded: boolean
  private readonly shared: SharedDelivery
  private awaiting: AwaitingCommit[] = []
  private refusals: { session: Session; delivery: Delivery }[] = []
  /** Whose queue was full, where the policy is to end the connection. */
  private readonly starving = new Set<Session>()
  private readonly overflowing = new Set<Session>()
  // what is being published; the fields stand in for a dozen arguments
  private packet: PublishPacket | null = null
  private source!: PublishSource
  private message: Message | null = null
  private route!: Route<Session>
  private qos: QoS = 0
  private publisher: Session | null = null
  private dialect: number = Dialect.V3
  /** Receivers of QoS 1 and 2 that took the message on, and those that had no room. */
  private taken = 0
  private full = 0
  /** Whether what was published last was lost to all that should have kept it, for want of room. */
  foundNoRoom = false

  constructor(core: Core) {
    this.core = core
    this.guarded = core.settings.hooks.authorizeDelivery !== undefined
    this.shared = new SharedDelivery(core, (session, delivery) => this.hand(session, delivery))
  }

  /**
   * `packet` is the message in the read buffer, `message` the lasting one: one of them may be null. Returns the commit
   * that an acknowledgement must wait for, if any.
   */
  publish(
    route: Route<Session>,
    packet: PublishPacket | null,
    message: Message | null,
    publisher: Session | null,
    version: ProtocolVersion,
  ): Promise<void> | undefined {
    if (!this.guarded) return this.publishNow(route, packet, message, publisher, version)
    // the hook is asked in the midst of a message, and may publish, or end a connection that has a Will
    const {
      route: outerRoute,
      packet: outerPacket,
      source,
      message: outerMessage,
      qos,
      publisher: from,
      dialect,
      taken,
      full,
    } = this
    const { awaiting } = this
    this.awaiting = []
    try {
      return this.publishNow(route, packet, message, publisher, version)
    } finally {
      this.route = outerRoute
      this.packet = outerPacket
      this.source = source
      this.message = outerMessage
      this.qos = qos
      this.publisher = from
      this.dialect = dialect
      this.awaiting = awaiting
      this.taken = taken
      this.full = full
    }
  }

  private publishNow(
    route: Route<Session>,
    packet: PublishPacket | null,
    message: Message | null,
    publisher: Session | null,
    version: ProtocolVersion,
  ): Promise<void> | undefined {
    this.route = route
    this.packet = packet !== null && packet.verbatim && !this.guarded ? packet : null
    this.message = message
    this.source = message ?? packet!
    this.qos = message !== null ? message.qos : packet!.qos
    this.publisher = publisher
    this.dialect = version === 5 ? Dialect.V5 : Dialect.V3
    this.taken = this.full = 0
    if (message !== null && message.retain) this.retain(message)
    this.sendToPlain(route)
    if (!route.simple) this.sendToOthers(route)
    const foundNoRoom = this.full > 0 && this.taken === 0
    const committed = this.settleAwaiting()
    // last, because a local subscriber may publish in its turn, and so does the Will of a client that has to go
    const local = route.locals.length > 0 ? this.lasting() : null
    if (this.overflowing.size > 0) this.endOverflowing()
    if (this.starving.size > 0) this.refillStarving()
    if (local !== null) this.sendLocally(route, local)
    // after what was published meanwhile
    this.foundNoRoom = foundNoRoom
    return committed
  }

  /** Ends the connections of full queues. Not before the message is with everybody: their Wills are published meanwhile. */
  private endOverflowing(): void {
    const sessions = [...this.overflowing]
    this.overflowing.clear()
    for (const session of sessions) this.core.sessions.overflow(session)
  }

  /** Commits what was assigned, and sends what waits for that. */
  private settleAwaiting(): Promise<void> | undefined {
    const committed = this.core.journal.commit()
    if (this.awaiting.length === 0) return committed
    const { awaiting } = this
    this.awaiting = []
    this.sendAfterCommit(committed, awaiting)
    return committed
  }

  /** The retained message of a topic is replaced, or cleared by an empty payload [MQTT-3.3.1-6]. */
  private retain(message: Message): void {
    const { retained, journal } = this.core
    const before = retained.get(message.topic)
    if (message.payloadEnd === message.payloadStart) {
      if (retained.delete(message.topic)) journal.clear(message.topic, before)
      return
    }
    if (!this.hasRoomToRetain(message.topic, retainedBytes(message))) {
      retained.pass(message.topic)
      return
    }
    retained.set(message)
    journal.retain(message, before)
  }

  /** Whether a retained message of so many bytes, topic included, can be kept, perhaps in the place of another. */
  hasRoomToRetain(topic: string, bytes: number): boolean {
    // what has expired may not be out yet
    return (
      this.fitsAmongRetained(topic, bytes) ||
      (this.core.retainedExpiry.takeOut() > 0 && this.fitsAmongRetained(topic, bytes))
    )
  }

  private fitsAmongRetained(topic: string, bytes: number): boolean {
    const { retained, settings } = this.core
    const former = retained.get(topic)
    if (former === undefined && retained.count >= settings.maximumRetainedMessages) return false
    const freed = former === undefined ? 0 : retainedBytes(former)
    return retained.bytes - freed + bytes <= settings.maximumRetainedBytes
  }

  private sendToPlain(route: Route<Session>): void {
    const { packet, dialect, qos, message } = this
    const expires = message !== null && message.expiresAt !== 0
    const { atMostOnce, acknowledged, grants } = route
    let forwarded = 0
    for (let i = 0; i < atMostOnce.length; i++) this.sendQoS0(atMostOnce[i]!)
    for (let i = 0; i < acknowledged.length; i++) {
      const session = acknowledged[i]!
      const granted = grants[i]! < qos ? grants[i]! : qos
      if (granted === 0) this.sendQoS0(session)
      else if (packet !== null && forward(session, packet, dialect, granted)) forwarded++
      else if (!expires && forwardAnew(session, this.source, granted)) forwarded++
      else this.keepAndDeliver(session, granted)
    }
    this.taken += forwarded
  }

  private keepAndDeliver(session: Session, qos: QoS): void {
    this.hand(session, new Delivery(this.lasting(), qos, false, noIdentifiers, null))
  }

  /** Gives a delivery to a session and sees to what becomes of it. */
  private hand(session: Session, delivery: Delivery): void {
    // the time is asked for only where it matters: it costs as much as the rest
    const timed = delivery.message.expiresAt !== 0 || session.limits.budget.expires
    const now = timed ? this.core.settings.clock.now() : 0
    const outcome = deliver(session, delivery, now)
    if (outcome === Outcome.AwaitsCommit) this.awaiting.push({ session, identifier: session.inflight!.lastIdentifier })
    else if (outcome === Outcome.Queued) {
      if (session.starved) this.starving.add(session)
      this.noteGivers(session)
    } else if (outcome === Outcome.Full || outcome === Outcome.Overflow) {
      if (outcome === Outcome.Overflow) this.overflowing.add(session)
      this.core.restorer.scan.missRoom(session)
      if (delivery.message.retain) this.core.retainedSender.missed(session, delivery.message.topic)
      this.noteGivers(session)
      if (delivery.qos > 0) this.full++
      return
    }
    if (outcome === Outcome.Dropped && delivery.message.retain)
      this.core.retainedSender.missed(session, delivery.message.topic)
    // also what is too large for its receiver counts as delivered [MQTT-3.1.2-25]
    if (delivery.qos > 0) this.taken++
  }

  /** Sessions that are to give way, and whose messages have to be read for that. */
  private noteGivers({ limits: { budget } }: Session): void {
    for (let giver = budget.takeToRead(); giver !== undefined; giver = budget.takeToRead()) this.starving.add(giver)
  }

  /**
   * The next that these sessions would send lies in the store alone: it is read once it can be sent, or dropped as the
   * oldest, or has to give way to others. Not before the message's own commit, which what is sent meanwhile would tear apart.
   */
  private refillStarving(): void {
    const { publisher, restorer } = this.core
    const sessions = [...this.starving]
    this.starving.clear()
    for (const session of sessions) {
      const full = session.queuedMessages > session.limits.maximumQueuedMessages
      if (session.output === null && !session.limits.budget.allows(0)) restorer.page(session, nothing)
      else if (!session.unread && (full || (session.output !== null && session.inflightCount < session.window)))
        restorer.page(session, () => publisher.sendQueued(session))
    }
  }

  private lasting(): Message {
    if (this.message === null) {
      const { source, route } = this
      // what is retained, or expires, comes with its message
      this.message = copyMessage(source, route.topic, route.topicBytes, this.qos, false, 0, this.publisher?.clientId)
      this.source = this.message
    }
    return this.message
  }

  private sendQoS0(session: Session): void {
    this.sendAtMostOnce(session, this.source, this.route)
  }

  /** Writes a QoS 0 PUBLISH for one receiver, whatever came in. */
  sendAtMostOnce(session: Session, source: PublishSource, route: Route<Session>): void {
    const { output } = session
    const message = this.message !== null && this.source === source ? this.message : null
    if (output === null || output.dialect === Dialect.V5Aliased || this.guarded) {
      if (output === null && !session.limits.queueQoS0) {
        if (message?.retain === true) this.core.retainedSender.missed(session, message.topic)
        return
      }
      const kept = message ?? copyMessage(source, route.topic, route.topicBytes, 0, false, 0, undefined)
      this.hand(session, new Delivery(kept, 0, false, noIdentifiers, null))
      return
    }
    if (output.congested) {
      output.drop(1)
      if (message?.retain === true) this.core.retainedSender.missed(session, message.topic)
      return
    }
    envelope.messageExpiryInterval = message === null ? -1 : this.secondsLeft(message)
    if (!writePublish(output, source, envelope)) output.drop(1)
  }

  private secondsLeft(message: Message): number {
    if (message.expiresAt === 0) return -1
    return Math.max(0, Math.ceil((message.expiresAt - this.core.settings.clock.now()) / 1000))
  }

  private sendToOthers(route: Route<Session>): void {
    for (const special of route.special) this.sendToSpecial(special)
    for (const group of route.groups) this.shared.send(group, this.lasting(), this.qos)
  }

  private sendLocally(route: Route<Session>, message: Message): void {
    for (const local of route.locals) if (local instanceof LocalSubscriber) local.deliver(message)
  }

  private sendToSpecial(receiver: SpecialReceiver<Session>): void {
    const isOwn = receiver.subscriber === this.publisher
    // [MQTT-3.8.3-3] No Local: not to the client that published it
    if (isOwn && receiver.noLocal) return
    const special = isOwn && receiver.own !== null ? receiver.own : receiver
    const message = this.lasting()
    const qos = special.qos < this.qos ? special.qos : this.qos
    const retain = special.retainAsPublished && message.retain
    this.hand(special.subscriber, new Delivery(message, qos, retain, special.subscriptionIdentifiers, null))
  }

  /** A member of shared groups went offline, or its session ends. */
  handOver(session: Session): void {
    // perhaps in the midst of a message: what is handed on is not that
    const { taken, full } = this
    this.shared.handOver(session)
    this.settleHandedOn()
    this.taken = taken
    this.full = full
  }

  /**
   * A client may not have a message of a shared group, or cannot take it. Another member is offered it once this step
   * is done: its commit may be waited for, and the offer has one of its own.
   */
  refused(session: Session, delivery: Delivery): void {
    if (this.refusals.push({ session, delivery }) === 1) queueMicrotask(() => this.offerRefused())
  }

  private offerRefused(): void {
    const { refusals } = this
    this.refusals = []
    for (const { session, delivery } of refusals) {
      this.shared.offerRefused(session, delivery)
      // QoS 0 that never waited was never kept
      if (delivery.position > 0) session.journal?.dequeue(session, delivery)
    }
    this.settleHandedOn()
  }

  private settleHandedOn(): void {
    this.settleAwaiting()?.catch(() => undefined)
    if (this.overflowing.size > 0) this.endOverflowing()
    if (this.starving.size > 0) this.refillStarving()
  }

  /** A QoS 2 message leaves once its identifier is committed; a failed commit takes it back. */
  sendAfterCommit(committed: Promise<void> | undefined, awaiting: readonly AwaitingCommit[]): void {
    const { clock } = this.core.settings
    if (committed === undefined) {
      for (const { session, identifier } of awaiting) sendCommitted(session, identifier, clock.now())
      return
    }
    if (awaiting.length === 0) return
    committed.then(
      () => {
        for (const { session, identifier } of awaiting) sendCommitted(session, identifier, clock.now())
      },
      () => {
        for (const { session, identifier } of awaiting) revoke(session, identifier)
      },
    )
  }
}

const nothing = (): void => undefined
