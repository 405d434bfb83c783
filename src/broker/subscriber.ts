import type { Denial } from '../ports/hooks'
import { encodeSuback, encodeUnsuback } from '../protocol/codec'
import { MqttError } from '../protocol/mqtt-error'
import type { QoS, SubscribePacket, SubscriptionRequest, UnsubscribePacket, UserProperties } from '../protocol/packet'
import { ReasonCode } from '../protocol/reason-code'
import { parseSharedFilter, topicFilterError } from '../protocol/topic'
import type { Session } from '../session/session'
import type { Connection } from './connection'
import type { Core } from './core'
import { explanation, inTurn } from './gate'
import type { Gatekeeper, SubscribeAnswer } from './gatekeeper'
import { writeAnswer } from './outgoing-acknowledgements'
import { sendRetained } from './retained-sender'

/** What became of one filter: its place in SUBACK, and whether retained messages follow. */
interface Grant {
  readonly request: SubscriptionRequest
  readonly code: number
  readonly isNew: boolean
  readonly shared: boolean
  readonly denial: Denial | undefined
}

/** SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10). */
export class Subscriber {
  private readonly core: Core
  private readonly gatekeeper: Gatekeeper

  constructor(core: Core, gatekeeper: Gatekeeper) {
    this.core = core
    this.gatekeeper = gatekeeper
  }

  /** Filters are asked about and granted one after the other; SUBACK answers for all of them [MQTT-3.8.4-4]. */
  subscribe(connection: Connection, packet: SubscribePacket): void {
    for (const { filter } of packet.subscriptions) {
      const error = topicFilterError(filter, this.core.settings.maximumTopicLevels)
      // 3.1.1 has no way to refuse a filter but to close; 5.0 names the code in SUBACK
      if (error !== undefined && connection.version !== 5) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
    }
    const grants: Grant[] = []
    inTurn(
      packet.subscriptions,
      (request, then) =>
        this.decide(connection, packet, request, (grant) => {
          grants.push(grant)
          then()
        }),
      () => this.finish(connection, packet, grants),
    )
  }

  private decide(
    connection: Connection,
    packet: SubscribePacket,
    request: SubscriptionRequest,
    then: (grant: Grant) => void,
  ): void {
    const refused = (code: number, denial?: Denial): void =>
      then({ request, code, isNew: false, shared: false, denial })
    const code = this.unavailable(request.filter, packet.subscriptionIdentifier)
    if (code !== ReasonCode.Success) {
      refused(code)
      return
    }
    const { session, client } = connection
    const settle = ({ answer, qos }: SubscribeAnswer): void => {
      if (answer.reasonCode !== ReasonCode.Success) {
        const text = `the client may not subscribe to ${request.filter}`
        connection.reportError(
          answer.error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', text, { reasonCode: answer.reasonCode }),
        )
        refused(answer.reasonCode, answer.denial)
        return
      }
      const known = this.core.router.subscription(session!, request.filter) !== undefined
      if (!known && this.core.router.countOf(session!) >= this.core.settings.maximumSubscriptions) {
        refused(ReasonCode.QuotaExceeded)
        return
      }
      const granted = qos < this.core.settings.maximumQoS ? qos : this.core.settings.maximumQoS
      then(this.grant(session!, request, granted, packet.subscriptionIdentifier ?? 0))
    }
    this.gatekeeper.authorizeSubscribe(
      connection,
      client!,
      request,
      packet.subscriptionIdentifier,
      packet.userProperties ?? none,
      settle,
    )
  }

  /** Why a filter can't be had at all, by the options of the broker or by its form. */
  private unavailable(filter: string, subscriptionIdentifier: number | undefined): number {
    const { settings } = this.core
    if (topicFilterError(filter, settings.maximumTopicLevels) !== undefined) return ReasonCode.TopicFilterInvalid
    if (!settings.wildcardSubscriptionAvailable && (filter.includes('+') || filter.includes('#')))
      return ReasonCode.WildcardSubscriptionsNotSupported
    if (!settings.sharedSubscriptionAvailable && filter.startsWith('$share/'))
      return ReasonCode.SharedSubscriptionsNotSupported
    if (!settings.subscriptionIdentifiersAvailable && subscriptionIdentifier !== undefined)
      return ReasonCode.SubscriptionIdentifiersNotSupported
    return ReasonCode.Success
  }

  /** Adds the subscription, or replaces the one with the same filter [MQTT-3.8.4-3]. */
  private grant(session: Session, request: SubscriptionRequest, qos: QoS, subscriptionIdentifier: number): Grant {
    const { filter } = request
    const parts = parseSharedFilter(filter)
    const options = {
      qos,
      noLocal: request.noLocal,
      retainAsPublished: request.retainAsPublished,
      retainHandling: request.retainHandling,
      subscriptionIdentifier,
    }
    const { isNew } = this.core.router.subscribe(session, filter, parts ?? { shareName: undefined, filter }, options)
    if (session.journal !== null) {
      const subscription = { filter, ...options }
      this.core.journal.add({ type: 'subscribe', clientId: session.clientId, subscription })
    }
    return { request: { ...request, qos }, code: qos, isNew, shared: parts !== undefined, denial: undefined }
  }

  private finish(connection: Connection, packet: SubscribePacket, grants: readonly Grant[]): void {
    const { core } = this
    connection.afterCommit(core.journal.commit(), (error) => {
      if (connection.closing) return
      if (error !== undefined) {
        connection.fail(
          new MqttError('GNATMQ_STORE_FAILED', 'the store did not keep the subscription', { cause: error }),
        )
        return
      }
      writeAnswer(connection, suback(connection, packet.packetIdentifier, grants))
      for (const grant of grants)
        if (grant.code <= ReasonCode.GrantedQoS2) this.afterGrant(connection, grant, packet.subscriptionIdentifier ?? 0)
    })
  }

  private afterGrant(connection: Connection, grant: Grant, subscriptionIdentifier: number): void {
    const { events } = this.core
    const { filter, qos, retainHandling } = grant.request
    // [MQTT-3.3.1-9] to -11: which subscriptions bring retained messages
    const wanted = retainHandling === 0 || (retainHandling === 1 && grant.isNew)
    if (wanted && !grant.shared) sendRetained(this.core, connection, grant.request, subscriptionIdentifier)
    if (events.listenerCount('subscribed') > 0) events.emit('subscribed', connection.client!, { filter, qos })
  }

  unsubscribe(connection: Connection, packet: UnsubscribePacket): void {
    const { core } = this
    const session = connection.session!
    const codes = packet.filters.map((filter) => {
      const error = topicFilterError(filter, core.settings.maximumTopicLevels)
      if (error !== undefined) {
        if (connection.version !== 5) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
        return ReasonCode.TopicFilterInvalid
      }
      if (!core.router.unsubscribe(session, filter)) return ReasonCode.NoSubscriptionExisted
      if (session.journal !== null) core.journal.add({ type: 'unsubscribe', clientId: session.clientId, filter })
      return ReasonCode.Success
    })
    connection.afterCommit(core.journal.commit(), (error) => {
      if (connection.closing) return
      if (error !== undefined) {
        connection.fail(
          new MqttError('GNATMQ_STORE_FAILED', 'the store did not keep the end of the subscription', { cause: error }),
        )
        return
      }
      writeAnswer(connection, encodeUnsuback(connection.version, packet.packetIdentifier, codes))
      if (core.events.listenerCount('unsubscribed') === 0) return
      packet.filters.forEach((filter, i) => {
        if (codes[i] === ReasonCode.Success) core.events.emit('unsubscribed', connection.client!, filter)
      })
    })
  }
}

const none: UserProperties = []

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
  if (grant.code <= ReasonCode.GrantedQoS2 || connection.version === 5) return grant.code
  return connection.version === 4 ? ReasonCode.UnspecifiedError : grant.request.qos
}
