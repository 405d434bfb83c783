import { isPromise } from '../../ports/given-values'
import type { Hooks } from '../../ports/hooks'
import { AckByte, writeAck } from '../../protocol/acknowledgement'
import { copyMessage, type Message } from '../../protocol/message'
import { MqttError, protocolError } from '../../protocol/mqtt-error'
import { Dialect } from '../../protocol/output'
import { keepForwardedProperties, type PublishPacket } from '../../protocol/publish-packet'
import { ReasonCode } from '../../protocol/reason-code'
import { isUtf8Payload } from '../../protocol/utf8'
import type { Effort } from '../../routing/effort'
import type { Route } from '../../routing/route'
import type { Router } from '../../routing/router'
import { IncomingAliases } from '../../session/incoming-aliases'
import { hold, isHeld, mayHold, release } from '../../session/receiver'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { Fanout } from '../delivery/fanout'
import type { Publisher } from '../delivery/publisher'
import type { WideFanout } from '../delivery/wide-fanout'
import { type Answer, denied, failedHook, isAllowed } from '../hooks/answers'
import type { Authorization } from '../hooks/authorization'
import { PublishView } from '../hooks/publish-view'
import type { StepEvents } from '../hooks/step-events'
import type { Connection } from '../wire/connection'
import type { BrokerSettings } from '../wire/settings'
import { acknowledge, acknowledgeDenial } from './answers'
import type { ParkedMessages } from './parked-messages'
import { WidePublish } from './wide-publish'

export interface PublishParts {
  readonly settings: BrokerSettings
  readonly stepEvents: StepEvents
  readonly router: Router<Session>
  readonly journal: CommitJournal
  readonly authorization: Authorization
  readonly fanout: Fanout
  readonly wide: WideFanout
  readonly publisher: Publisher
  readonly parked: ParkedMessages
  /** The object that every PUBLISH is read into. */
  readonly packet: PublishPacket
  /** What the receivers of each message cost is added to it. */
  readonly effort: Effort
}

/**
 * PUBLISH: authorise, route, assign, commit, write, acknowledge (section 3.3). Whatever needs nothing kept
 * goes from the read buffer to the receivers' buffers without becoming an object.
 */
export class PublishReceiver {
  private view: PublishView
  private quiet = true
  private readonly parts: PublishParts
  private readonly hooks: Hooks
  private readonly events: StepEvents
  private readonly router: Router<Session>
  private readonly fanout: Fanout
  /** Whether the broker does without a QoS or without retained messages. */
  private readonly isRestricted: boolean
  private readonly effort: Effort
  private readonly guarded: boolean
  private readonly wideFanout: WideFanout
  private readonly wide: WidePublish
  private readonly validatePayloadFormat: boolean

  constructor(parts: PublishParts) {
    const { effort, fanout, packet, router, settings, stepEvents } = parts
    this.parts = parts
    this.view = new PublishView(packet, packet)
    this.isRestricted = settings.maximumQoS < 2 || !settings.retainAvailable
    this.validatePayloadFormat = settings.validatePayloadFormat
    this.hooks = settings.hooks
    this.guarded = settings.hooks.authorizeDelivery !== undefined
    this.effort = effort
    this.events = stepEvents
    this.router = router
    this.fanout = fanout
    this.wideFanout = parts.wide
    this.wide = new WidePublish(
      parts.wide,
      parts.publisher,
      parts.parked,
      (connection, { qos }, packetIdentifier, outcome) => {
        const { committed, foundNoRoom, isEmpty } = outcome
        this.acknowledge(connection, qos, packetIdentifier, this.reasonCode(isEmpty, foundNoRoom), committed)
      },
    )
  }

  /** A PUBLISH in the read buffer. Throws MqttError for what ends the connection. */
  receive(connection: Connection, packet: PublishPacket): void {
    const route = this.route(connection, packet)
    const qos = (packet.first >> 1) & 3
    const { extras } = connection.client!
    if (extras !== null && extras.meter !== null) extras.meter.count(packet.end - packet.start, connection.lastSeen)
    if (this.isRestricted) this.checkAvailable(qos, packet.retain)
    if (qos > 0 && this.isRepetition(connection, packet, qos)) return
    if (this.validatePayloadFormat && this.isMislabelled(connection, packet, route.topic)) return
    if ((packet.first & 1) === 1 && qos > 0 && this.isOverQuota(connection, packet, route)) return
    if (!route.isLight) {
      this.effort.units += route.effort
      if (route.isSystem) {
        this.deny(connection, route.topic, qos, packet.packetIdentifier, denied)
        return
      }
    }
    if (extras !== null && extras.rights !== null && !extras.rights.mayPublish(route.topic, packet.first)) {
      this.deny(connection, route.topic, qos, packet.packetIdentifier, denied)
      return
    }
    const { authorizePublish } = this.hooks
    if (authorizePublish !== undefined) {
      const { view } = this
      view.topic = route.topic
      let verdict: unknown
      try {
        verdict = authorizePublish(connection.client!, view)
      } catch (cause) {
        this.deny(connection, route.topic, qos, packet.packetIdentifier, failedHook('authorizePublish', cause))
        return
      }
      if (verdict !== true) {
        this.awaitVerdict(connection, packet, route, verdict)
        return
      }
      // the hook itself may have ended the connection, and its session with it, which the route still has
      if (connection.closing) return
    }
    if (qos === 0 && packet.verbatim && route.simple && (packet.first & 1) === 0 && this.quiet) {
      this.forwardRun(route, packet, connection.version === 5 ? Dialect.V5 : Dialect.V3)
      return
    }
    this.accept(connection, packet, route)
  }

  /** What CONNACK said that this broker does not do (MQTT 5.0 sections 3.2.2.3.4 and 3.2.2.3.5). */
  private checkAvailable(qos: number, retain: boolean): void {
    const { maximumQoS, retainAvailable } = this.parts.settings
    if (qos > maximumQoS)
      throw new MqttError('GNATMQ_QOS_NOT_SUPPORTED', `QoS ${qos} is above Maximum QoS, ${maximumQoS} [MQTT-3.2.2-11]`)
    if (retain && !retainAvailable)
      throw new MqttError('GNATMQ_RETAIN_NOT_SUPPORTED', 'retained messages are off [MQTT-3.2.2-14]')
  }

  /** Looks once a chunk whether a listener or a hook sees messages: only then message objects are made. */
  beginChunk(): void {
    this.quiet = !this.guarded && !this.wideFanout.isBusy && !this.events.watchesMessages
  }

  /** Forwards QoS 0 as the packet lies, with its neighbours, to every receiver of the same protocol version. */
  private forwardRun(route: Route<Session>, packet: PublishPacket, dialect: number): void {
    const { start, end } = packet
    const { atMostOnce, acknowledged } = route
    for (let i = 0; i < atMostOnce.length; i++) {
      const { output } = atMostOnce[i]!
      if (output !== null && output.dialect === dialect && end - start <= output.maximumPacketSize)
        output.run(start, end)
      else this.fanout.sendAtMostOnce(atMostOnce[i]!, packet, route)
    }
    for (let i = 0; i < acknowledged.length; i++) {
      const { output } = acknowledged[i]!
      if (output !== null && output.dialect === dialect && end - start <= output.maximumPacketSize)
        output.run(start, end)
      else this.fanout.sendAtMostOnce(acknowledged[i]!, packet, route)
    }
  }

  /** Finds the route by the topic's bytes, or by its alias (MQTT 5.0 section 3.3.2.3.4). */
  private route(connection: Connection, packet: PublishPacket): Route<Session> {
    const { lastRoute } = connection
    const alias = packet.verbatim && packet.topicStart !== packet.topicEnd ? 0 : this.resolveAlias(connection, packet)
    const route = this.router.routeAfter(lastRoute, packet.topicBytes, packet.topicStart, packet.topicEnd)
    // what is not kept must not be kept alive by each connection
    if (route !== lastRoute) connection.lastRoute = route.cached ? route : null
    if (alias !== 0) this.rememberAlias(connection, alias, route.topicBytes)
    if (!packet.verbatim) {
      keepForwardedProperties(packet)
      packet.topicBytes = route.topicBytes
      packet.topicStart = 0
      packet.topicEnd = route.topicBytes.length
    }
    return route
  }

  /** Returns the Topic Alias, 0 if there is none, and puts its topic in the place of an empty one. */
  private resolveAlias(connection: Connection, packet: PublishPacket): number {
    const { topicAliasMaximum } = this.parts.settings
    const alias = packet.verbatim ? 0 : packet.found.topicAlias
    if (alias > topicAliasMaximum)
      throw new MqttError('GNATMQ_TOPIC_ALIAS_INVALID', `Topic Alias ${alias} is above the maximum [MQTT-3.3.2-9]`)
    if (packet.topicStart === packet.topicEnd && connection.version === 5) {
      const topicBytes = connection.incomingAliases?.get(alias)
      if (alias === 0) throw protocolError('PUBLISH without a topic and without a Topic Alias')
      if (topicBytes === undefined) throw protocolError(`Topic Alias ${alias} is unknown [MQTT-3.3.2-12]`)
      packet.topicBytes = topicBytes
      packet.topicStart = 0
      packet.topicEnd = topicBytes.length
    }
    return alias
  }

  private rememberAlias(connection: Connection, alias: number, topicBytes: Uint8Array): void {
    const aliases = (connection.incomingAliases ??= new IncomingAliases(this.parts.settings.memory.aliases))
    if (!aliases.set(alias, topicBytes))
      throw new MqttError('GNATMQ_QUOTA_EXCEEDED', 'the memory for Topic Aliases is used up: see limits.memory')
  }

  /** Checks what QoS 1 and 2 bring along; true if this message was received before. */
  private isRepetition(connection: Connection, packet: PublishPacket, qos: number): boolean {
    const session = connection.session!
    const { packetIdentifier } = packet
    if (qos === 2 && isHeld(session, packetIdentifier)) {
      this.acknowledgeHeld(connection, packetIdentifier)
      return true
    }
    if (qos === 2 && !mayHold(session))
      throw new MqttError('GNATMQ_QUOTA_EXCEEDED', 'the memory for messages in flight is used up: see limits.memory')
    // [MQTT-3.3.4-7] counted at once: what is held and what waits for its acknowledgement
    if (connection.version === 5) {
      const pending = connection.unacknowledged + connection.acknowledgedInChunk + (session.held?.size ?? 0)
      if (pending >= this.parts.settings.receiveMaximum)
        throw new MqttError(
          'GNATMQ_RECEIVE_MAXIMUM',
          `more than Receive Maximum, ${this.parts.settings.receiveMaximum}, in flight`,
        )
    }
    return false
  }

  /** What was received before is acknowledged again, but no sooner than it is kept: its commit may still be open. */
  private acknowledgeHeld(connection: Connection, packetIdentifier: number): void {
    const session = connection.session!
    const open = session.journal === null ? undefined : this.parts.journal.openCommits()
    if (open === undefined) {
      acknowledge(connection, AckByte.Pubrec, packetIdentifier, ReasonCode.Success, undefined)
      return
    }
    connection.afterCommit(open, () => {
      if (connection.closing) return
      if (isHeld(session, packetIdentifier))
        writeAck(connection.outbox, AckByte.Pubrec, packetIdentifier, ReasonCode.Success)
      else connection.fail(new MqttError('GNATMQ_STORE_FAILED', 'the store did not keep the message'))
    })
  }

  /** The hook has not answered `true`: it denies, or answers later. */
  private awaitVerdict(connection: Connection, packet: PublishPacket, route: Route<Session>, verdict: unknown): void {
    const answer = this.parts.authorization.readPublish(() => verdict)
    const { qos, packetIdentifier } = packet
    if (!isPromise<Answer>(answer)) {
      if (!connection.closing) this.deny(connection, route.topic, qos, packetIdentifier, answer)
      return
    }
    const message = this.keep(connection, packet, route)
    this.parts.parked.admit(message, answer)
    // the hook still has the view, which must outlive the read buffer
    this.view.keep(message)
    this.view = new PublishView(packet, packet)
    if (qos > 0) connection.unacknowledged++
    connection.parkUntil(answer, (later) => {
      if (qos > 0) connection.unacknowledged--
      // its rights may have changed meanwhile
      const answered = connection.client!.mayPublish(message.topic, message.qos, message.retain) ? later : denied
      if (isAllowed(answered)) this.acceptMessage(connection, message, packetIdentifier)
      else this.deny(connection, message.topic, qos, packetIdentifier, answered)
    })
  }

  /** MQTT 3.1.1 has no Reason Code to say so: the message is acknowledged and delivered to no subscriber [MQTT-3.3.5-2]. */
  private deny(connection: Connection, topic: string, qos: number, packetIdentifier: number, answer: Answer): void {
    const message = 'the client may not publish to this topic'
    connection.report(
      answer.error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', message, { reasonCode: answer.reasonCode }),
      topic,
    )
    if (qos === 1) acknowledgeDenial(connection, AckByte.Puback, packetIdentifier, answer)
    else if (qos === 2) {
      // in 3.1.1 the exchange is completed, and the identifier is held until its PUBREL
      if (connection.version === 5) acknowledgeDenial(connection, AckByte.Pubrec, packetIdentifier, answer)
      else {
        hold(connection.session!, packetIdentifier)
        acknowledge(connection, AckByte.Pubrec, packetIdentifier, ReasonCode.Success, this.parts.journal.commit())
      }
    }
  }

  private keep(connection: Connection, packet: PublishPacket, route: Route<Session>): Message {
    const interval = packet.messageExpiryInterval
    const expiresAt = interval < 0 ? 0 : this.parts.settings.clock.now() + interval * 1000
    const { session } = connection
    return copyMessage(packet, route.topic, route.topicBytes, packet.qos, packet.retain, expiresAt, session!.clientId)
  }

  /** An allowed PUBLISH that still lies in the read buffer. */
  private accept(connection: Connection, packet: PublishPacket, route: Route<Session>): void {
    if (packet.qos > 0 && connection.session!.isRefused) return
    const needsMessage = packet.retain || packet.messageExpiryInterval >= 0 || !this.quiet || !route.simple
    const message = needsMessage ? this.keep(connection, packet, route) : null
    const { qos, packetIdentifier } = packet
    if (route.isWide || (!this.quiet && this.wideFanout.isAwaited(route.topic))) {
      this.wide.publish(connection, message ?? this.keep(connection, packet, route), packetIdentifier)
      return
    }
    if (qos === 2) hold(connection.session!, packetIdentifier)
    const committed = this.fanout.publish(route, packet, message, connection.session!, connection.version, qos > 0)
    const reasonCode = this.reasonCode(route.empty, this.fanout.foundNoRoom)
    if (message !== null) this.parts.publisher.announce(message, connection.client!)
    this.acknowledge(connection, qos, packetIdentifier, reasonCode, committed)
  }

  /** An allowed PUBLISH whose answer took its time. */
  private acceptMessage(connection: Connection, message: Message, packetIdentifier: number): void {
    if (message.qos > 0 && connection.session!.isRefused) return
    const route = this.router.route(message.topicBytes, 0, message.topicEnd)
    if (route.isWide || this.wideFanout.isAwaited(route.topic)) {
      this.wide.publish(connection, message, packetIdentifier)
      return
    }
    if (message.qos === 2) hold(connection.session!, packetIdentifier)
    const committed = this.fanout.publish(
      route,
      null,
      message,
      connection.session!,
      connection.version,
      message.qos > 0,
    )
    const reasonCode = this.reasonCode(route.empty, this.fanout.foundNoRoom)
    this.parts.publisher.announce(message, connection.client!)
    this.acknowledge(connection, message.qos, packetIdentifier, reasonCode, committed)
  }

  /** What became of the message that was published last. Only 0x97 says that it was lost. */
  private reasonCode(isEmpty: boolean, foundNoRoom: boolean): number {
    if (isEmpty) return ReasonCode.NoMatchingSubscribers
    return foundNoRoom ? ReasonCode.QuotaExceeded : ReasonCode.Success
  }

  private acknowledge(
    connection: Connection,
    qos: number,
    packetIdentifier: number,
    reasonCode: number,
    committed: Promise<void> | undefined,
  ): void {
    const lost = reasonCode === ReasonCode.QuotaExceeded
    if (qos === 1) {
      // MQTT 3.1.1 has no Reason Code to say so
      const known = lost && connection.version < 5 ? ReasonCode.Success : reasonCode
      acknowledge(connection, AckByte.Puback, packetIdentifier, known, committed)
    } else if (qos === 2) {
      if (lost && connection.version === 5) this.refuseHeld(connection, packetIdentifier, committed)
      else acknowledge(connection, AckByte.Pubrec, packetIdentifier, lost ? ReasonCode.Success : reasonCode, committed)
    }
    if (committed !== undefined && this.parts.journal.isBehind) this.holdUp(connection, committed)
  }

  /** PUBREC with a Reason Code that ends the exchange [MQTT-4.3.3-4]: the identifier is free again. */
  private refuseHeld(connection: Connection, packetIdentifier: number, committed: Promise<void> | undefined): void {
    release(connection.session!, packetIdentifier)
    const released = this.parts.journal.commit() ?? committed
    acknowledge(connection, AckByte.Pubrec, packetIdentifier, ReasonCode.QuotaExceeded, released)
  }

  /** What a slow store owes would fill the memory: this client is read on once the store has answered for this. */
  private holdUp(connection: Connection, committed: Promise<void>): void {
    const goOn = (): void => connection.unpark()
    connection.park()
    committed.then(goOn, goOn)
  }

  /** A retained message that finds no room is not acknowledged as if it had; before MQTT 5.0 no Reason Code says so. */
  private isOverQuota(connection: Connection, packet: PublishPacket, route: Route<Session>): boolean {
    const length = packet.payloadEnd - packet.payloadStart
    if (connection.version !== 5 || length === 0) return false
    const kept = length + packet.propertiesEnd - packet.propertiesStart
    const { clientId } = connection.session!
    if (this.fanout.hasRoomToRetain(route.topic, route.topicBytes.length, kept, clientId)) return false
    const text = 'no more is retained: see limits.maximumRetainedMessages, maximumRetainedBytes and memory'
    const error = new MqttError('GNATMQ_QUOTA_EXCEEDED', text)
    const { qos, packetIdentifier } = packet
    const answer = { reasonCode: error.reasonCode!, denial: undefined, error }
    this.deny(connection, route.topic, qos, packetIdentifier, answer)
    return true
  }

  /** A payload that says that it is UTF-8 and is not (MQTT 5.0 section 3.3.2.3.2). */
  private isMislabelled(connection: Connection, packet: PublishPacket, topic: string): boolean {
    if (packet.propertiesStart === packet.propertiesEnd || packet.found.payloadFormatIndicator !== 1) return false
    if (isUtf8Payload(packet.bytes, packet.payloadStart, packet.payloadEnd)) return false
    const error = new MqttError('GNATMQ_PAYLOAD_FORMAT_INVALID', 'the payload is not the UTF-8 that it claims to be')
    if (packet.qos === 0) throw error
    this.deny(connection, topic, packet.qos, packet.packetIdentifier, {
      reasonCode: error.reasonCode!,
      denial: undefined,
      error,
    })
    return true
  }
}
