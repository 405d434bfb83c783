import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../../ports/events'
import type { Denial } from '../../ports/hooks'
import type { StoredSubscription } from '../../ports/store'
import { encodeSuback, encodeUnsuback } from '../../protocol/codec'
import { MqttError } from '../../protocol/mqtt-error'
import type {
  QoS,
  SubscribePacket,
  SubscriptionRequest,
  UnsubscribePacket,
  UserProperties,
} from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { parseSharedFilter, topicFilterError } from '../../protocol/topic'
import type { Router } from '../../routing/router'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { RetainedSender } from '../delivery/retained-sender'
import { explanation, isAllowed } from '../hooks/answers'
import type { Authorization, SubscribeAnswer } from '../hooks/authorization'
import type { Connection } from '../wire/connection'
import type { BrokerSettings } from '../wire/settings'
import { writeAnswer } from './answers'

/** What became of one filter: its place in SUBACK. */
class Grant {
  denial: Denial | undefined = undefined
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

export interface SubscribeParts {
  readonly settings: BrokerSettings
  readonly events: EventEmitter<BrokerEvents>
  readonly router: Router<Session>
  readonly journal: CommitJournal
  readonly authorization: Authorization
  readonly retainedSender: RetainedSender
}

/** SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10). */
export class SubscribeReceiver {
  private readonly parts: SubscribeParts

  constructor(parts: SubscribeParts) {
    this.parts = parts
  }

  /** The hook is asked about one filter after the other; then all are granted, and one SUBACK answers [MQTT-3.8.4-4]. */
  subscribe(connection: Connection, packet: SubscribePacket): void {
    const { subscriptions, subscriptionIdentifier } = packet
    const grants: Grant[] = []
    for (const request of subscriptions)
      grants.push(new Grant(request, this.unavailable(connection, request.filter, subscriptionIdentifier)))
    const asked = this.parts.settings.hooks.authorizeSubscribe && this.ask(connection, grants, packet)
    if (asked !== undefined) connection.parkUntil(asked, () => this.finish(connection, packet, grants))
    // the application may have ended the connection when it was told of a denial
    else if (!connection.closing) this.finish(connection, packet, grants)
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
    let answer: SubscribeAnswer | undefined = await first
    for (let i = at; i < grants.length && !connection.closing; i++) {
      if (i > at) answer = await this.askAbout(connection, grants[i]!, packet)
      if (answer !== undefined && !connection.closing) this.answer(connection, grants[i]!, answer)
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
    const error = topicFilterError(filter, settings.maximumTopicLevels)
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

  /** Adds the subscription, or replaces the one with the same filter [MQTT-3.8.4-3]. */
  private grant(connection: Connection, grant: Grant, packet: SubscribePacket): void {
    const { router, settings, journal, retainedSender } = this.parts
    const session = connection.session!
    const { filter, noLocal, retainAsPublished, retainHandling } = grant.request
    if (
      router.countOf(session) >= settings.maximumSubscriptions &&
      router.subscription(session, filter) === undefined
    ) {
      grant.code = ReasonCode.QuotaExceeded
      return
    }
    const parts = parseSharedFilter(filter)
    if (!router.admits(session, filter, parts)) {
      grant.code = ReasonCode.QuotaExceeded
      return
    }
    if (grant.qos > settings.maximumQoS) grant.qos = settings.maximumQoS
    const { qos } = grant
    const subscriptionIdentifier = packet.subscriptionIdentifier ?? 0
    const options = { qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
    grant.code = qos
    const former = session.journal === null ? undefined : router.subscription(session, filter)
    const before = former === undefined ? undefined : storedSubscription(former)
    const isNew = router.subscribe(session, filter, parts, options)
    const subscription = retainedSender.granted(router.subscription(session, filter)!, isNew)
    if (session.journal !== null) journal.subscribe(session, subscription, before)
  }

  /** All are granted in one step, so that they are one commit whatever others committed while hooks were thinking. */
  private finish(connection: Connection, packet: SubscribePacket, grants: readonly Grant[]): void {
    for (const grant of grants) if (grant.granted) this.grant(connection, grant, packet)
    const committed = this.parts.journal.commit(connection.session, true)
    if (committed === undefined && connection.settled) {
      this.confirmGrants(connection, packet, grants)
      return
    }
    connection.afterCommit(committed, (error) => {
      if (connection.closing) return
      if (error === undefined) this.confirmGrants(connection, packet, grants)
      else connection.fail(notKept('the store did not keep the subscription', error))
    })
  }

  private confirmGrants(connection: Connection, packet: SubscribePacket, grants: readonly Grant[]): void {
    writeAnswer(connection, suback(connection, packet.packetIdentifier, grants))
    this.parts.retainedSender.start(connection)
    const { events } = this.parts
    if (events.listenerCount('subscribed') === 0) return
    for (const { granted, request, qos } of grants)
      if (granted) events.emit('subscribed', connection.client!, { filter: request.filter, qos })
  }

  unsubscribe(connection: Connection, packet: UnsubscribePacket): void {
    if (connection.version !== 5) this.checkFilters(connection, packet.filters)
    const codes: number[] = []
    for (const filter of packet.filters) codes.push(this.end(connection, filter))
    const committed = this.parts.journal.commit(connection.session, true)
    if (committed === undefined && connection.settled) {
      this.confirm(connection, packet, codes)
      return
    }
    connection.afterCommit(committed, (error) => {
      if (connection.closing) return
      if (error === undefined) this.confirm(connection, packet, codes)
      else connection.fail(notKept('the store did not keep the end of the subscription', error))
    })
  }

  /** MQTT 3.1.1 has no way to refuse a filter but to close, and then none of the subscriptions ends. */
  private checkFilters(connection: Connection, filters: readonly string[]): void {
    const { router, settings } = this.parts
    for (const filter of filters) {
      const error = topicFilterError(filter, settings.maximumTopicLevels)
      if (error !== undefined && router.subscription(connection.session!, filter) === undefined)
        throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
    }
  }

  /** Ends one subscription; returns its Reason Code. */
  private end(connection: Connection, filter: string): number {
    const { router, journal, retainedSender, settings } = this.parts
    const session = connection.session!
    if (!router.unsubscribe(session, filter)) {
      const error = topicFilterError(filter, settings.maximumTopicLevels)
      return error === undefined ? ReasonCode.NoSubscriptionExisted : ReasonCode.TopicFilterInvalid
    }
    retainedSender.ended(session, filter)
    if (session.journal !== null) journal.unsubscribe(session, filter)
    return ReasonCode.Success
  }

  private confirm(connection: Connection, { packetIdentifier, filters }: UnsubscribePacket, codes: number[]): void {
    const { events } = this.parts
    writeAnswer(connection, encodeUnsuback(connection.version, packetIdentifier, codes))
    if (events.listenerCount('unsubscribed') === 0) return
    filters.forEach((filter, i) => {
      if (codes[i] === ReasonCode.Success) events.emit('unsubscribed', connection.client!, filter)
    })
  }
}

const notKept = (text: string, cause: unknown): MqttError => new MqttError('GNATMQ_STORE_FAILED', text, { cause })

const none: UserProperties = Object.freeze([])

function storedSubscription(subscription: StoredSubscription): StoredSubscription {
  const { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = subscription
  return { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
}

/** The reasons of denied filters go along, as far as the client wants and can take them. */
function suback(connection: Connection, packetIdentifier: number, grants: readonly Grant[]): Uint8Array {
  const codes = grants.map((grant) => subackCode(connection, grant))
  const denied = connection.problemInformation ? grants.find(({ denial }) => denial !== undefined) : undefined
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
