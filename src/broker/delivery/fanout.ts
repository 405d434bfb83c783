import { DropReason } from '../../protocol/drop-reason'
import { copyMessage, type Message } from '../../protocol/message'
import { MqttError } from '../../protocol/mqtt-error'
import { Dialect, LARGE_PACKET, type Output } from '../../protocol/output'
import type { ProtocolVersion } from '../../protocol/packet'
import { PublishEnvelope } from '../../protocol/publish-envelope'
import type { PublishPacket } from '../../protocol/publish-packet'
import type { PublishSource } from '../../protocol/publish-source'
import { writePublish } from '../../protocol/publish-writer'
import { ReasonCode } from '../../protocol/reason-code'
import type { LocalSubscription } from '../../routing/filter-node'
import { type RetainedMessages, retainedBytes } from '../../routing/retained-messages'
import type { Route, SpecialReceiver } from '../../routing/route'
import type { Router } from '../../routing/router'
import { Delivery, noIdentifiers } from '../../session/delivery'
import { forward, forwardAnew, Outcome, deliver as take } from '../../session/sender'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { QueueScan } from '../sessions/queue-scan'
import type { SessionRegistry } from '../sessions/registry'
import type { BrokerSettings } from '../wire/settings'
import { sendAfterCommit } from './awaiting-commit'
import { LocalSubscriber } from './local-subscription'
import { Publication } from './publication'
import type { QueueSender } from './queue-sender'
import type { RetainedExpiry } from './retained-expiry'
import type { RetainedSender } from './retained-sender'
import { SharedDelivery } from './shared'

export interface FanoutParts {
  readonly settings: BrokerSettings
  readonly router: Router<Session>
  readonly retained: RetainedMessages
  readonly journal: CommitJournal
  readonly registry: SessionRegistry
  readonly scan: QueueScan
  readonly queues: QueueSender
  readonly retainedSender: RetainedSender
  readonly retainedExpiry: RetainedExpiry
}

/** Delivers one message to every receiver on its route: assign, commit, write. */
export class Fanout {
  private readonly parts: FanoutParts
  /** True where a hook looks at every delivery. */
  private readonly guarded: boolean
  private readonly shared: SharedDelivery
  private readonly envelope = new PublishEnvelope()
  private refusals: { session: Session; delivery: Delivery; reason: DropReason }[] = []
  /** By depth: a hook that is asked in the midst of a message may publish another, or end a connection that has a Will. */
  private readonly publications = [new Publication()]
  private depth = 0
  /** Whether what was published last was lost to all that should have kept it, for want of room. */
  foundNoRoom = false

  constructor(parts: FanoutParts) {
    this.parts = parts
    this.guarded = parts.settings.hooks.authorizeDelivery !== undefined
    this.shared = new SharedDelivery(parts.settings, parts.router, (publication, session, delivery) =>
      this.deliver(publication, session, delivery),
    )
  }

  /**
   * `packet` is the message in the read buffer, `message` the lasting one: one of them may be null. Returns the commit
   * that an acknowledgement must wait for, if any. `isAnswered` where the publisher gets one, which a Will does not.
   */
  publish(
    route: Route<Session>,
    packet: PublishPacket | null,
    message: Message | null,
    publisher: Session | null,
    version: ProtocolVersion,
    isAnswered: boolean,
  ): Promise<void> | undefined {
    const publication = this.begin(route, packet, message, publisher, version === 5 ? Dialect.V5 : Dialect.V3)
    try {
      // a hook may change the subscriptions meanwhile: each receiver gets the message once, by the subscriptions of its beginning
      const { simple, special, groups, locals } = route
      if (message !== null && message.retain) this.retain(message)
      this.sendToPlain(publication, route)
      if (!simple) {
        for (const receiver of special) this.sendToSpecial(publication, receiver)
        for (const group of groups) this.shared.send(publication, group)
      }
      const foundNoRoom = publication.full > 0 && publication.taken === 0
      // before MQTT 5.0 nothing but the end of the connection says that a message was refused
      const committed = this.commit(publication, isAnswered ? publisher : null, isAnswered && version < 5)
      if (locals.length > 0) this.sendLocally(locals, publication.lasting())
      this.finish(publication)
      // after what was published meanwhile
      this.foundNoRoom = foundNoRoom
      return committed
    } finally {
      this.end(publication)
    }
  }

  private begin(
    route: Route<Session> | null,
    packet: PublishPacket | null,
    message: Message | null,
    publisher: Session | null,
    dialect: number,
  ): Publication {
    const { depth, publications } = this
    if (depth === publications.length) publications.push(new Publication())
    this.depth = depth + 1
    const publication = publications[depth]!
    publication.begin(route, packet, message, publisher, dialect)
    return publication
  }

  private end(publication: Publication): void {
    publication.end()
    this.depth--
  }

  /**
   * Connections of full queues end, and queues are read on. Not before every message that is under way is with
   * everybody: the Wills of those connections are published meanwhile.
   */
  private finish(publication: Publication): void {
    const { overflowing, starving } = publication
    if (overflowing.size === 0 && starving.size === 0) return
    if (this.depth > 1) {
      publication.leaveTo(this.publications[this.depth - 2]!)
      return
    }
    // those Wills may fill other queues
    while (overflowing.size > 0) this.endOverflowing(publication)
    if (starving.size > 0) this.refillStarving(publication)
  }

  private endOverflowing({ overflowing }: Publication): void {
    const sessions = [...overflowing]
    overflowing.clear()
    for (const session of sessions) this.endOverflowed(session)
  }

  /** The policy for a full queue is to end the connection. */
  private endOverflowed({ clientId }: Session): void {
    const error = new MqttError('GNATMQ_QUOTA_EXCEEDED', 'the queue of the session is full')
    this.parts.registry.connection(clientId)?.disconnect(ReasonCode.QuotaExceeded, {}, error)
  }

  /** Commits what was assigned, and sends what waits for that. */
  private commit(publication: Publication, publisher: Session | null, closes: boolean): Promise<void> | undefined {
    const committed = this.parts.journal.commit(publisher, closes)
    if (publication.awaiting.length === 0) return committed
    const { awaiting } = publication
    publication.awaiting = []
    sendAfterCommit(this.parts.settings.clock, committed, awaiting)
    return committed
  }

  /** The retained message of a topic is replaced, or cleared by an empty payload [MQTT-3.3.1-6]. */
  private retain(message: Message): void {
    const { retained, journal } = this.parts
    const before = retained.get(message.topic)
    if (message.payloadEnd === message.payloadStart) {
      if (retained.delete(message.topic)) journal.clear(message.topic, before)
      return
    }
    const { topic, topicEnd, bytes, publisher } = message
    if (!this.hasRoomToRetain(topic, topicEnd, bytes.length, publisher)) {
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
  hasRoomToRetain(topic: string, topicLength: number, length: number, publisher: string | undefined): boolean {
    // what has expired may not be out yet
    for (let isOut = true; isOut; isOut = this.parts.retainedExpiry.takeOut() > 0)
      if (this.fitsAmongRetained(topic, topicLength, length, publisher)) return true
    this.parts.retained.refusedCount++
    return false
  }

  private fitsAmongRetained(topic: string, topicLength: number, length: number, publisher?: string): boolean {
    const { retained, settings } = this.parts
    const former = retained.get(topic)
    if (former === undefined && retained.count >= settings.maximumRetainedMessages) return false
    const freed = former === undefined ? 0 : retainedBytes(former)
    if (retained.bytes - freed + topicLength + length > settings.maximumRetainedBytes) return false
    return retained.admits(topic, topicLength, length, former, publisher)
  }

  private sendToPlain(publication: Publication, route: Route<Session>): void {
    const { packet, dialect, qos, message } = publication
    const verbatim = packet !== null && packet.verbatim && !this.guarded
    const expires = message !== null && message.expiresAt !== 0
    const { atMostOnce, acknowledged, grants } = route
    let forwarded = 0
    for (let i = 0; i < atMostOnce.length; i++) this.sendQoS0(publication, atMostOnce[i]!)
    for (let i = 0; i < acknowledged.length; i++) {
      const session = acknowledged[i]!
      const granted = grants[i]! < qos ? grants[i]! : qos
      if (granted === 0) this.sendQoS0(publication, session)
      else if (verbatim && forward(session, packet, dialect, granted)) forwarded++
      else if (!expires && forwardAnew(session, publication.source, granted)) forwarded++
      else this.deliver(publication, session, new Delivery(publication.lasting(), granted, false, noIdentifiers, null))
    }
    publication.taken += forwarded
  }

  /** Gives a delivery to a session and sees to what becomes of it. */
  private deliver(publication: Publication, session: Session, delivery: Delivery): void {
    // the time is asked for only where it matters: it costs as much as the rest
    const timed = delivery.message.expiresAt !== 0 || session.limits.budget.expires
    const now = timed ? this.parts.settings.clock.now() : 0
    const outcome = take(session, delivery, now)
    const { move } = delivery
    if (outcome === Outcome.AwaitsCommit) {
      const identifier = session.inflight!.lastIdentifier
      if (move !== null) move.takenIdentifier = identifier
      else publication.awaiting.push({ session, identifier })
    } else if (outcome === Outcome.Queued) {
      if (session.starved) publication.starving.add(session)
      this.noteGivers(publication, session)
    } else if (outcome === Outcome.Full || outcome === Outcome.Overflow) {
      // lost by the policy of its queue: there is nothing to take back
      move?.keep()
      if (outcome === Outcome.Overflow) publication.overflowing.add(session)
      this.parts.scan.missRoom(session)
      if (delivery.message.retain) this.parts.retainedSender.missed(session, delivery.message.topic)
      this.noteGivers(publication, session)
      if (delivery.qos > 0) publication.full++
      return
    } else if (outcome === Outcome.Dropped) move?.keep()
    if (outcome === Outcome.Dropped && delivery.message.retain)
      this.parts.retainedSender.missed(session, delivery.message.topic)
    // also what is too large for its receiver counts as delivered [MQTT-3.1.2-25]
    if (delivery.qos > 0) publication.taken++
  }

  /** Sessions that are to give way, and whose messages have to be read for that. */
  private noteGivers({ starving }: Publication, { limits: { budget } }: Session): void {
    for (let giver = budget.takeToRead(); giver !== undefined; giver = budget.takeToRead()) starving.add(giver)
  }

  /**
   * The next that these sessions would send lies in the store alone: it is read once it can be sent, or dropped as the
   * oldest, or has to give way to others. Not before the message's own commit, which what is sent meanwhile would tear apart.
   */
  private refillStarving({ starving }: Publication): void {
    const { queues } = this.parts
    const sessions = [...starving]
    starving.clear()
    for (const session of sessions) {
      const full = session.queuedMessages > session.limits.maximumQueuedMessages
      if (session.output === null && !session.limits.budget.allows(0)) queues.page(session, nothing)
      else if (!session.unread && (full || (session.output !== null && session.inflightCount < session.window)))
        queues.page(session, () => queues.send(session))
    }
  }

  private sendQoS0(publication: Publication, session: Session): void {
    const { output } = session
    if (output === null || output.dialect === Dialect.V5Aliased || this.guarded)
      this.handAtMostOnce(publication, session)
    else {
      const { message } = publication
      if (output.congested && message?.retain === true) this.parts.retainedSender.missed(session, message.topic)
      this.writeAtMostOnce(output, publication.source, message === null ? -1 : this.secondsLeft(message))
    }
  }

  /** What cannot be written as it comes. The copy is of QoS 0, unless the message that lasts is there already. */
  private handAtMostOnce(publication: Publication, session: Session): void {
    const { message, packet, route } = publication
    if (session.output === null && !session.limits.queueQoS0) {
      if (message?.retain === true) this.parts.retainedSender.missed(session, message.topic)
      return
    }
    const kept = message ?? copyMessage(packet!, route!.topic, route!.topicBytes, 0, false, 0, undefined)
    this.deliver(publication, session, new Delivery(kept, 0, false, noIdentifiers, null))
  }

  /** QoS 0 for one receiver that cannot get the packet with its neighbours, where no hook looks at deliveries. */
  sendAtMostOnce(session: Session, packet: PublishPacket, route: Route<Session>): void {
    const { output } = session
    if (output !== null && output.dialect !== Dialect.V5Aliased) {
      this.writeAtMostOnce(output, packet, -1)
      return
    }
    if (output === null && !session.limits.queueQoS0) return
    const publication = this.begin(route, packet, null, null, Dialect.V3)
    try {
      this.handAtMostOnce(publication, session)
      this.commit(publication, null, false)?.catch(nothing)
      this.finish(publication)
    } finally {
      this.end(publication)
    }
  }

  private writeAtMostOnce(output: Output, source: PublishSource, messageExpiryInterval: number): void {
    const length = source.payloadEnd - source.payloadStart
    if (output.congested || (length > LARGE_PACKET && !output.admits(length))) {
      output.drop(1, DropReason.SlowReader)
      return
    }
    const { envelope } = this
    envelope.messageExpiryInterval = messageExpiryInterval
    if (writePublish(output, source, envelope)) output.sent[0]!++
    else output.drop(1, DropReason.TooLarge)
  }

  private secondsLeft(message: Message): number {
    if (message.expiresAt === 0) return -1
    return Math.max(0, Math.ceil((message.expiresAt - this.parts.settings.clock.now()) / 1000))
  }

  private sendLocally(locals: readonly LocalSubscription[], message: Message): void {
    for (const local of locals) if (local instanceof LocalSubscriber) local.deliver(message)
  }

  private sendToSpecial(publication: Publication, receiver: SpecialReceiver<Session>): void {
    const isOwn = receiver.subscriber === publication.publisher
    // [MQTT-3.8.3-3] No Local: not to the client that published it
    if (isOwn && receiver.noLocal) return
    const special = isOwn && receiver.own !== null ? receiver.own : receiver
    const message = publication.lasting()
    const qos = special.qos < publication.qos ? special.qos : publication.qos
    const retain = special.retainAsPublished && message.retain
    const delivery = new Delivery(message, qos, retain, special.subscriptionIdentifiers, null)
    this.deliver(publication, special.subscriber, delivery)
  }

  /** A member of shared groups went offline, or its session ends. */
  offerShared(session: Session): Promise<void> | undefined {
    return this.transfer((publication) => this.shared.handOver(publication, session))
  }

  /** Gives others what an ended session has of shared groups, and drops what no member takes; the commit is left to the caller. */
  endShares(session: Session): void {
    const publication = this.begin(null, null, null, null, Dialect.V3)
    try {
      this.shared.handOver(publication, session)
      session.discardQueue()
      this.finishLater(publication)
    } finally {
      this.end(publication)
    }
  }

  /** Not in the midst of a step of which this is a part: what is sent then has a commit of its own. */
  private finishLater(publication: Publication): void {
    if (publication.overflowing.size + publication.starving.size === 0) return
    const left = new Publication()
    publication.leaveTo(left)
    queueMicrotask(() => this.finish(left))
  }

  /**
   * A client may not have a message of a shared group, or cannot take it. Another member is offered it once this step
   * is done: its commit may be waited for, and the offer has one of its own.
   */
  readonly refused = (session: Session, delivery: Delivery, reason: DropReason): void => {
    if (this.refusals.push({ session, delivery, reason }) === 1) queueMicrotask(() => this.offerRefused())
  }

  private offerRefused(): void {
    const { refusals } = this
    this.refusals = []
    const committed = this.transfer((publication) => {
      for (const { session, delivery, reason } of refusals) {
        const move = this.shared.offerRefused(publication, session, delivery, reason)
        // QoS 0 that never waited was never kept
        if (delivery.position > 0) session.journal?.dequeue(session, delivery, move?.isOver === false ? move : null)
      }
    })
    committed?.catch(nothing)
  }

  /** Gives to other members of shared groups what one of them had, in a commit of its own. */
  private transfer(offer: (publication: Publication) => void): Promise<void> | undefined {
    const publication = this.begin(null, null, null, null, Dialect.V3)
    try {
      offer(publication)
      const committed = this.commit(publication, null, false)
      this.finish(publication)
      return committed
    } finally {
      this.end(publication)
    }
  }
}

const nothing = (): void => undefined
