import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../../ports/events'
import type { Denial } from '../../ports/hooks'
import type { StoredSubscription } from '../../ports/store'
import { encodeSuback, type SubscribeReader } from '../../protocol/codec'
import { MqttError } from '../../protocol/mqtt-error'
import type { QoS, SubscribePacket, SubscriptionRequest, UserProperties } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { parseSharedFilter, topicFilterError } from '../../protocol/topic'
import type { Router } from '../../routing/router'
import { hasSameOptions } from '../../routing/subscription'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { RetainedSender } from '../delivery/retained-sender'
import type { RevocationLog, Watch } from '../delivery/revocation-log'
import { type Answer, explanation, isAllowed, refusalOf } from '../hooks/answers'
import type { Authorization, SubscribeAnswer } from '../hooks/authorization'
import type { Connection } from '../wire/connection'
import type { BrokerSettings } from '../wire/settings'
import type { Steps } from '../wire/sliced-work'
import type { Turn } from '../wire/turn'
import { writeAnswer } from './answers'

/** Codes for which an array of bytes is not worth its making. */
const FEW = 32
/** Filters that are read between two looks at the clock. */
const PIECE = 32
/** Units of effort of a filter that is checked, of a question to the application, and of a subscription that is made. */
const CHECKED = 4
const ASKED = 16
const GRANTED = 32

/** A subscription for the store, and what its filter had until now. */
interface KeptGrant {
  readonly subscription: StoredSubscription
  readonly before: StoredSubscription | undefined
}

/** What became of one filter: its place in SUBACK. */
class Grant {
  denial: Denial | undefined = undefined
  /** The broker itself had no room for it. */
  hadNoRoom = false
  /** The QoS that is granted. */
  qos: QoS

  constructor(
    readonly request: SubscriptionRequest,
    public code: number,
  ) {
    this.qos = request.qos
  }

  get granted(): boolean {
    return this.code <= ReasonCode.GrantedQoS2
  }
}

/** What became of all filters of a packet. What a client repeats is done once and answered each time it comes. */
class Grants {
  /** One for each filter, in the order of the packet. */
  readonly all: Grant[] = []
  /** Those to be done, in the order of the packet too: where the options of a filter differ the last hold [MQTT-3.8.4-5]. */
  readonly distinct: Grant[] = []
  /** Made for the second filter: most packets have one. */
  private byFilter: Map<string, Grant> | null = null

  /** True, and it is counted, if the last request for this filter was the same. */
  repeats(request: SubscriptionRequest): boolean {
    const { all } = this
    if (all.length === 0) return false
    const byFilter = (this.byFilter ??= new Map([[all[0]!.request.filter, all[0]!]]))
    const former = byFilter.get(request.filter)
    if (former === undefined || !isSameRequest(former.request, request)) return false
    all.push(former)
    return true
  }

  add(grant: Grant): void {
    this.byFilter?.set(grant.request.filter, grant)
    this.all.push(grant)
    this.distinct.push(grant)
  }
}

export interface SubscribeParts {
  readonly settings: BrokerSettings
  readonly events: EventEmitter<BrokerEvents>
  readonly router: Router<Session>
  readonly journal: CommitJournal
  readonly authorization: Authorization
  readonly retainedSender: RetainedSender
  readonly revocationLog: RevocationLog
  readonly turn: Turn
}

/** SUBSCRIBE (section 3.8). */
export class SubscribeReceiver {
  private readonly parts: SubscribeParts

  constructor(parts: SubscribeParts) {
    this.parts = parts
  }

  /** The hook is asked about one filter after the other; then all are granted, and one SUBACK answers [MQTT-3.8.4-4]. */
  subscribe(connection: Connection, packet: SubscribePacket): void {
    const grants = this.grantsOf(connection, packet)
    const asks = this.parts.authorization.asksSubscribe(connection.client!)
    const asked = asks ? this.ask(connection, grants.distinct, packet) : undefined
    if (asked !== undefined) this.finishAfter(asked, connection, packet, grants)
    // the application may have ended the connection when it was told of a denial
    else if (!connection.closing) this.finish(connection, packet, grants)
  }

  private finishAfter(asked: Promise<void>, connection: Connection, packet: SubscribePacket, grants: Grants): void {
    connection.parkUntil(asked, () => this.finish(connection, packet, grants))
  }

  private grantsOf(connection: Connection, packet: SubscribePacket): Grants {
    const grants = new Grants()
    for (const request of packet.subscriptions) this.addTo(grants, connection, request, packet)
    return grants
  }

  private addTo(
    grants: Grants,
    connection: Connection,
    request: SubscriptionRequest,
    { subscriptionIdentifier }: SubscribePacket,
  ): void {
    if (grants.repeats(request)) return
    grants.add(new Grant(request, this.unavailable(connection, request.filter, subscriptionIdentifier)))
  }

  /** undefined where the hook has answered at once about every filter. */
  private ask(connection: Connection, grants: readonly Grant[], packet: SubscribePacket): Promise<void> | undefined {
    for (let i = 0; i < grants.length && !connection.closing; i++) {
      const answer = this.askAbout(connection, grants[i]!, packet)
      if (answer instanceof Promise) return this.askLater(connection, grants, packet, i, answer)
      if (answer !== undefined) this.answer(connection, grants[i]!, answer)
    }
    return undefined
  }

  private async askLater(
    connection: Connection,
    grants: readonly Grant[],
    packet: SubscribePacket,
    at: number,
    first: Promise<SubscribeAnswer>,
  ): Promise<void> {
    const { revocationLog } = this.parts
    const watch = revocationLog.begin()
    try {
      let answer: SubscribeAnswer | undefined = await first
      for (let i = at; i < grants.length && !connection.closing; i++) {
        if (i > at) answer = await this.askAbout(connection, grants[i]!, packet)
        if (answer !== undefined && !connection.closing) this.answer(connection, grants[i]!, answer)
      }
      if (!connection.closing) this.denyRevoked(connection, grants, watch)
    } finally {
      revocationLog.end(watch)
    }
  }

  /** An answer from before a revocation gives nothing back. */
  private denyRevoked(connection: Connection, grants: readonly Grant[], watch: Watch): void {
    const { authorization, revocationLog } = this.parts
    const client = connection.client!
    for (const grant of grants) {
      const { filter } = grant.request
      if (!grant.granted) continue
      // the rights of the client may have changed as well
      const entitled = authorization.entitle(client, filter, grant.qos)
      const isRevoked = revocationLog.isFilterRevoked(watch, client, filter)
      this.answer(connection, grant, isRevoked ? { ...entitled, answer: revokedMeanwhile(filter) } : entitled)
    }
  }

  private askAbout(connection: Connection, { granted, request }: Grant, packet: SubscribePacket) {
    if (!granted) return undefined
    const { subscriptionIdentifier, userProperties = none } = packet
    return this.parts.authorization.subscribe(connection.client!, request, subscriptionIdentifier, userProperties)
  }

  private answer(connection: Connection, grant: Grant, { answer, qos }: SubscribeAnswer): void {
    if (isAllowed(answer)) {
      grant.qos = qos
      return
    }
    const { denial, error, reasonCode } = answer
    const text = `the client may not subscribe to ${grant.request.filter}`
    connection.report(error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', text, { reasonCode }), grant.request.filter)
    grant.code = reasonCode
    grant.denial = denial
  }

  /** Why a filter can't be had at all, by its form or by the options of the broker; 0 if it can. */
  private unavailable(connection: Connection, filter: string, subscriptionIdentifier: number | undefined): number {
    const { settings } = this.parts
    // its form is checked; one that has fewer characters has no more levels
    const { maximumTopicLevels } = settings
    const error = filter.length < maximumTopicLevels ? undefined : topicFilterError(filter, maximumTopicLevels)
    if (error !== undefined) {
      // 3.1.1 has no way to refuse a filter but to close; 5.0 names the code in SUBACK
      if (connection.version !== 5) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
      return ReasonCode.TopicFilterInvalid
    }
    if (!settings.wildcardSubscriptionAvailable && (filter.includes('+') || filter.includes('#')))
      return ReasonCode.WildcardSubscriptionsNotSupported
    if (!settings.sharedSubscriptionAvailable && filter.startsWith('$share/'))
      return ReasonCode.SharedSubscriptionsNotSupported
    if (!settings.subscriptionIdentifiersAvailable && subscriptionIdentifier !== undefined)
      return ReasonCode.SubscriptionIdentifiersNotSupported
    return ReasonCode.Success
  }

  /** Adds the subscription, or replaces the one with the same filter [MQTT-3.8.4-3]; returns what is to be committed. */
  private grant(connection: Connection, grant: Grant, packet: SubscribePacket): KeptGrant | undefined {
    const { router, settings, retainedSender } = this.parts
    const session = connection.session!
    const { filter, noLocal, retainAsPublished, retainHandling } = grant.request
    const parts = parseSharedFilter(filter)
    const former = router.subscription(session, filter)
    const maximum = connection.client!.extras?.maximumSubscriptions ?? settings.maximumSubscriptions
    if (former === undefined && !router.admits(session, filter, parts, maximum, settings)) {
      router.refusedCount++
      grant.hadNoRoom = true
      grant.code = ReasonCode.QuotaExceeded
      return undefined
    }
    if (grant.qos > settings.maximumQoS) grant.qos = settings.maximumQoS
    const { qos } = grant
    const subscriptionIdentifier = packet.subscriptionIdentifier ?? 0
    const options = { qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
    grant.code = qos
    const before = session.journal === null || former === undefined ? undefined : storedSubscription(former)
    const subscription = router.subscribe(session, filter, parts, options)
    retainedSender.granted(subscription, former === undefined)
    return session.journal === null ? undefined : { subscription: retainedSender.recordOf(subscription), before }
  }

  /** All are granted in one step, so that they are one commit whatever others committed while hooks were thinking. */
  private finish(connection: Connection, packet: SubscribePacket, grants: Grants): void {
    for (const grant of grants.distinct) {
      if (!grant.granted) continue
      const kept = this.grant(connection, grant, packet)
      if (kept !== undefined) this.parts.journal.subscribe(connection.session!, kept.subscription, kept.before)
    }
    this.commitGrants(connection, packet, grants)
  }

  private commitGrants(connection: Connection, packet: SubscribePacket, grants: Grants): void {
    const committed = this.parts.journal.commit(connection.session, true)
    if (committed === undefined && connection.settled) {
      this.confirmGrants(connection, packet, grants)
    } else this.confirmLater(connection, packet, grants, committed)
  }

  /** Apart from `commitGrants`, which would make room for what the function here captures each time. */
  private confirmLater(
    connection: Connection,
    packet: SubscribePacket,
    grants: Grants,
    committed: Promise<void> | undefined,
  ): void {
    connection.afterCommit(committed, (error) => {
      if (connection.closing) return
      if (error === undefined) this.confirmGrants(connection, packet, grants)
      else connection.fail(notKept('the store did not keep the subscription', error))
    })
  }

  /** The same where there are so many filters that others have their turn in between; the last step is returned. */
  *steps(connection: Connection, reader: SubscribeReader): Steps<() => void> {
    const { authorization, revocationLog, turn } = this.parts
    const { slice } = turn
    const { packet } = reader
    const grants = new Grants()
    // all is read before anything is done: a malformed packet changes nothing
    for (let isMore = true; isMore; ) {
      isMore = reader.readSome(PIECE)
      // taken at once: what a client repeats is not kept
      for (const request of packet.subscriptions.splice(0)) this.addTo(grants, connection, request, packet)
      if (slice.isOverAfter(PIECE * CHECKED)) yield undefined
      if (connection.closing) return nothing
    }
    const { distinct } = grants
    if (authorization.asksSubscribe(connection.client!)) {
      const watch = revocationLog.begin()
      try {
        for (const grant of distinct) {
          if (slice.isOverAfter(ASKED)) yield undefined
          const asked = this.askAbout(connection, grant, packet)
          const answer = asked instanceof Promise ? ((yield asked) as SubscribeAnswer) : asked
          if (connection.closing) return nothing
          if (answer !== undefined) this.answer(connection, grant, answer)
        }
        this.denyRevoked(connection, distinct, watch)
      } finally {
        revocationLog.end(watch)
      }
    }
    const kept: KeptGrant[] = []
    for (const grant of distinct) {
      if (slice.isOverAfter(GRANTED)) yield undefined
      if (connection.closing) break
      const one = grant.granted ? this.grant(connection, grant, packet) : undefined
      if (one !== undefined) kept.push(one)
    }
    this.journalGrants(connection.session!, kept)
    // without its client no answer is sent, but what was granted is kept all the same
    if (connection.closing) this.parts.journal.commitUnattended()
    return () => this.commitGrants(connection, packet, grants)
  }

  /** One commit for all; what another connection of the client has changed meanwhile is as that has left it. */
  private journalGrants(session: Session, kept: readonly KeptGrant[]): void {
    const { journal, router } = this.parts
    // what is still to be removed of it must not be stored for the session that has its Client Identifier now
    if (session.ended) return
    for (const { subscription, before } of kept) {
      const current = router.subscription(session, subscription.filter)
      if (current !== undefined && hasSameOptions(current, subscription))
        journal.subscribe(session, subscription, before)
    }
  }

  private confirmGrants(connection: Connection, packet: SubscribePacket, { all, distinct }: Grants): void {
    writeAnswer(connection, suback(connection, packet.packetIdentifier, all, distinct))
    this.parts.retainedSender.start(connection)
    const refused = distinct.find(isWithoutRoom)
    if (refused !== undefined) {
      const text = 'no room for a subscription: see limits.maximumSubscriptions, maximumWildcardPatterns and memory'
      connection.report(new MqttError('GNATMQ_QUOTA_EXCEEDED', text), refused.request.filter)
    }
    const { events } = this.parts
    if (!connection.announced || events.listenerCount('subscribed') === 0) return
    for (const { granted, request, qos } of all)
      if (granted) events.emit('subscribed', connection.client!, { filter: request.filter, qos })
  }
}

const nothing = (): void => undefined

const isWithoutRoom = ({ hadNoRoom }: Grant): boolean => hadNoRoom

const isDenied = ({ denial }: Grant): boolean => denial !== undefined
const revokedMeanwhile = (filter: string): Answer =>
  refusalOf(new MqttError('GNATMQ_REVOKED', `the application has revoked ${filter} while it was asked about it`))

const notKept = (text: string, cause: unknown): MqttError => new MqttError('GNATMQ_STORE_FAILED', text, { cause })

const none: UserProperties = Object.freeze([])

function isSameRequest(a: SubscriptionRequest, b: SubscriptionRequest): boolean {
  return (
    a.qos === b.qos &&
    a.noLocal === b.noLocal &&
    a.retainAsPublished === b.retainAsPublished &&
    a.retainHandling === b.retainHandling
  )
}

function storedSubscription(subscription: StoredSubscription): StoredSubscription {
  const { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = subscription
  return { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
}

/** The reasons of denied filters go along, as far as the client wants and can take them. */
function suback(
  connection: Connection,
  packetIdentifier: number,
  all: readonly Grant[],
  distinct: readonly Grant[],
): Uint8Array {
  // Uint8Array.from() takes ten times as long, which a client that repeats a filter 100,000 times makes others wait for
  const codes = all.length < FEW ? new Array<number>(all.length) : new Uint8Array(all.length)
  for (let i = 0; i < codes.length; i++) codes[i] = subackCode(connection, all[i]!)
  const denied = connection.problemInformation ? distinct.find(isDenied) : undefined
  const packet = encodeSuback(connection.version, packetIdentifier, codes, explanation(denied?.denial))
  return packet.length <= connection.outbox.maximumPacketSize
    ? packet
    : encodeSuback(connection.version, packetIdentifier, codes)
}

/** 3.1.1 knows one failure, 0x80; 3.1 knows none, and says what was asked for (3.1 section 3.8). */
function subackCode(connection: Connection, grant: Grant): number {
  if (grant.granted || connection.version === 5) return grant.code
  return connection.version === 4 ? ReasonCode.UnspecifiedError : grant.request.qos
}
