import { isApplicationIdentifier } from '../../protocol/application-identifier'
import { DropReason } from '../../protocol/drop-reason'
import { copyMessage, type Message } from '../../protocol/message'
import { Dialect, LARGE_PACKET, type Output } from '../../protocol/output'
import type { ProtocolVersion, QoS } from '../../protocol/packet'
import { PublishEnvelope } from '../../protocol/publish-envelope'
import type { PublishPacket } from '../../protocol/publish-packet'
import type { PublishSource } from '../../protocol/publish-source'
import { writePublish } from '../../protocol/publish-writer'
import type { LocalSubscription } from '../../routing/filter-node'
import type { RetainedMessages } from '../../routing/retained-messages'
import type { Route, SpecialReceiver } from '../../routing/route'
import type { Router } from '../../routing/router'
import { Delivery, noIdentifiers } from '../../session/delivery'
import { forward, forwardAnew, Outcome, deliver as take } from '../../session/sender'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { QueueScan } from '../sessions/queue-scan'
import type { SessionRegistry } from '../sessions/registry'
import type { BrokerSettings } from '../wire/settings'
import type { Turn } from '../wire/turn'
import { sendAfterCommit } from './awaiting-commit'
import { FullQueues } from './full-queues'
import { LocalSubscriber } from './local-subscription'
import { Publication } from './publication'
import type { QueueSender } from './queue-sender'
import { RefusedShares } from './refused-shares'
import type { RetainedExpiry } from './retained-expiry'
import type { RetainedSender } from './retained-sender'
import { Retainer } from './retainer'
import { SharedDelivery } from './shared'
import { type FanoutSteps, WideFanout } from './wide-fanout'
import type { WideMessage } from './wide-message'

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
  readonly turn: Turn
}

/** Delivers one message to every receiver on its route: assign, commit, write. */
export class Fanout {
  private readonly parts: FanoutParts
  /** True where a hook looks at every delivery. */
  private readonly guarded: boolean
  private readonly shared: SharedDelivery
  private readonly retainer: Retainer
  private readonly fullQueues: FullQueues
  /** Takes a message of a shared group that a client may not have, or cannot take: see `RefusedShares`. */
  readonly refused: RefusedShares['add']
  readonly wide: WideFanout
  private readonly envelope = new PublishEnvelope()
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
    this.refused = new RefusedShares(this.shared, (offer) => this.transfer(offer)).add
    this.retainer = new Retainer(parts)
    this.fullQueues = new FullQueues(parts.registry, parts.queues)
    this.wide = new WideFanout({ ...parts, steps: this.wideSteps() })
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
    const dialect = version === 5 ? Dialect.V5 : Dialect.V3
    if (message === null && route.acknowledged.length === 1 && this.forwardToOne(route, packet!, dialect)) {
      this.foundNoRoom = false
      return this.parts.journal.commit(isAnswered ? publisher : null, isAnswered && version < 5)
    }
    const publication = this.begin(route, packet, message, publisher, dialect)
    try {
      // a hook may change the subscriptions meanwhile: each receiver gets the message once, by the subscriptions of its beginning
      const { simple, special, groups, locals } = route
      const { isBusy } = this.wide
      if (isBusy) this.wide.precede(publication, route)
      if (message !== null && message.retain) this.retainer.retain(message)
      this.sendToPlain(publication, route)
      if (!simple) {
        for (const receiver of special) this.sendToSpecial(publication, receiver)
        for (const group of groups) this.shared.send(publication, group)
      }
      const foundNoRoom = publication.full > 0 && publication.taken === 0
      // before MQTT 5.0 nothing but the end of the connection says that a message was refused
      const committed = this.commit(publication, isAnswered ? publisher : null, isAnswered && version < 5)
      if (isBusy) this.wide.follow(committed)
      if (locals.length > 0) this.sendLocally(locals, publication.lasting())
      this.finish(publication)
      // after what was published meanwhile
      this.foundNoRoom = foundNoRoom
      return committed
    } finally {
      this.end(publication)
    }
  }

  /** The commonest case: a single receiver gets the packet as it lies. True where it did: then nothing follows from it. */
  private forwardToOne(route: Route<Session>, packet: PublishPacket, dialect: number): boolean {
    const { acknowledged, atMostOnce, grants, simple } = route
    if (!simple || atMostOnce.length > 0 || !packet.verbatim || this.guarded || this.wide.isBusy) return false
    const qos = grants[0]! < packet.qos ? grants[0]! : packet.qos
    return qos > 0 && forward(acknowledged[0]!, packet, dialect, qos)
  }

  private wideSteps(): FanoutSteps {
    return {
      isWithin: () => this.depth > 0,
      within: (publication, publisher, closes, work) => this.within(publication, publisher, closes, work),
      retain: (message) => this.retainer.retain(message),
      sendTo: (wide, place) => this.sendToPlace(wide, place),
      sendToGroup: ({ publication }, group) => this.shared.send(publication, group),
      sendLocally: ({ locals, request }) => this.sendLocally(locals, request.message),
    }
  }

  private within(
    publication: Publication,
    publisher: Session | null,
    closes: boolean,
    work: () => void,
  ): Promise<void> | undefined {
    const { depth, publications } = this
    const pooled = publications[depth] ?? new Publication()
    publications[depth] = publication
    this.depth = depth + 1
    try {
      work()
      const committed = this.commit(publication, publisher, closes)
      this.finish(publication)
      return committed
    } finally {
      this.depth = depth
      publications[depth] = pooled
    }
  }

  private sendToPlace({ publication, receivers }: WideMessage, place: number): void {
    const { acknowledged, atMostOnce, grants, special } = receivers
    const at = place - atMostOnce.length
    if (at < 0) this.sendQoS0(publication, atMostOnce[place]!)
    else if (at < acknowledged.length) this.sendToAcknowledged(publication, acknowledged[at]!, grants[at]!)
    else this.sendToSpecial(publication, special[at - acknowledged.length]!)
  }

  private sendToAcknowledged(publication: Publication, session: Session, grant: QoS): void {
    const { qos } = publication
    const message = publication.lasting()
    const granted = grant < qos ? grant : qos
    if (granted === 0) this.sendQoS0(publication, session)
    else if (!this.parts.settings.session.budget.keeps(message) && forwardAnew(session, message, granted))
      publication.taken++
    else this.deliver(publication, session, new Delivery(message, granted, false, noIdentifiers, null))
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
   * Connections of full queues end, and queues are read on. Not before every message that is under way has reached all its
   * receivers: the Wills of those connections are published meanwhile.
   */
  private finish(publication: Publication): void {
    const { overflowing, starving } = publication
    if (overflowing.size === 0 && starving.size === 0) return
    if (this.depth > 1) {
      publication.leaveTo(this.publications[this.depth - 2]!)
      return
    }
    // those Wills may fill other queues
    while (overflowing.size > 0) this.fullQueues.endOverflowing(publication)
    if (starving.size > 0) this.fullQueues.refillStarving(publication)
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

  /** Whether a retained message can be kept: see `Retainer`. */
  hasRoomToRetain(topic: string, topicLength: number, length: number, publisher: string | undefined): boolean {
    return this.retainer.hasRoom(topic, topicLength, length, publisher)
  }

  private sendToPlain(publication: Publication, route: Route<Session>): void {
    const { packet, dialect, qos, message } = publication
    const verbatim = packet !== null && packet.verbatim && !this.guarded
    const isKept = message !== null && this.parts.settings.session.budget.keeps(message)
    const { atMostOnce, acknowledged, grants } = route
    let forwarded = 0
    for (let i = 0; i < atMostOnce.length; i++) this.sendQoS0(publication, atMostOnce[i]!)
    for (let i = 0; i < acknowledged.length; i++) {
      const session = acknowledged[i]!
      const granted = grants[i]! < qos ? grants[i]! : qos
      if (granted === 0) this.sendQoS0(publication, session)
      else if (verbatim && !isKept && forward(session, packet, dialect, granted)) forwarded++
      else if (!isKept && forwardAnew(session, publication.source, granted)) forwarded++
      else this.deliver(publication, session, new Delivery(publication.lasting(), granted, false, noIdentifiers, null))
    }
    publication.taken += forwarded
  }

  /** Gives a delivery to a session and sees to what becomes of it. */
  private deliver(publication: Publication, session: Session, delivery: Delivery): void {
    if (session.fanoutPlace !== 0) this.wide.catchUp(publication, session)
    // the time is asked for only where it matters: it costs as much as the rest
    const timed = delivery.message.expiresAt !== 0 || session.limits.budget.expires
    const now = timed ? this.parts.settings.clock.now() : 0
    delivery.arrivedAt = this.parts.turn.slice.second
    const outcome = take(session, delivery, now)
    const { move } = delivery
    if (outcome === Outcome.AwaitsCommit) {
      const identifier = session.inflight!.lastIdentifier
      if (move !== null) move.takenIdentifier = identifier
      else publication.awaiting.push({ session, identifier })
    } else if (outcome === Outcome.Queued) {
      this.parts.turn.tracer?.queued(session.clientId, delivery.message)
      if (session.starved) publication.starving.add(session)
      this.fullQueues.noteGivers(publication, session)
    } else if (outcome === Outcome.Full || outcome === Outcome.Overflow) {
      // lost by the policy of its queue: there is nothing to take back
      move?.keep()
      if (outcome === Outcome.Overflow) publication.overflowing.add(session)
      this.parts.scan.missRoom(session)
      if (delivery.message.retain) this.parts.retainedSender.missed(session, delivery.message.topic)
      this.fullQueues.noteGivers(publication, session)
      if (delivery.qos > 0) publication.full++
      return
    } else if (outcome === Outcome.Dropped) move?.keep()
    if (outcome === Outcome.Dropped && delivery.message.retain)
      this.parts.retainedSender.missed(session, delivery.message.topic)
    // also what is too large for its receiver counts as delivered [MQTT-3.1.2-25]
    if (delivery.qos > 0) publication.taken++
  }

  private sendQoS0(publication: Publication, session: Session): void {
    const { output } = session
    if (output === null || output.dialect >= Dialect.V5Aliased || this.guarded)
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
    if (output !== null && output.dialect < Dialect.V5Aliased) {
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
      output.drop(1, DropReason.SlowReader, source)
      return
    }
    const { envelope } = this
    envelope.messageExpiryInterval = messageExpiryInterval
    if (writePublish(output, source, envelope)) output.sent[0]!++
    else output.drop(1, DropReason.TooLarge, source)
  }

  private secondsLeft(message: Message): number {
    if (message.expiresAt === 0) return -1
    return Math.max(0, Math.ceil((message.expiresAt - this.parts.settings.clock.now()) / 1000))
  }

  private sendLocally(locals: readonly LocalSubscription[], message: Message): void {
    for (const local of locals) if (local instanceof LocalSubscriber) local.deliver(message)
  }

  private sendToSpecial(publication: Publication, receiver: SpecialReceiver<Session>): void {
    const { publisher } = publication
    const isOwn =
      receiver.subscriber === publisher || (publisher === null && isApplicationIdentifier(receiver.subscriber.clientId))
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
    this.wide.settle(session)
    return this.transfer((publication) => this.shared.handOver(publication, session))
  }

  /** Gives others what an ended session has of shared groups, and drops what no member takes; the commit is left to the caller. */
  endShares(session: Session): void {
    this.wide.forget(session)
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

  /** Gives to other members of shared groups what one of them had, in a commit of its own. */
  private transfer(offer: (publication: Publication) => void): Promise<void> | undefined {
    const publication = this.begin(null, null, null, null, Dialect.V3)
    try {
      offer(publication)
      const committed = this.commit(publication, null, false)
      this.wide.follow(committed)
      this.finish(publication)
      return committed
    } finally {
      this.end(publication)
    }
  }
}

const nothing = (): void => undefined
