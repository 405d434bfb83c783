import { randomUUID } from 'node:crypto'
import type { EventEmitter } from 'eventemitter3'
import { userPropertiesCost, willCost } from '../../memory/session-cost'
import type { BrokerEvents } from '../../ports/events'
import { isApplicationIdentifier } from '../../protocol/application-identifier'
import { connackVersion, encodeConnack } from '../../protocol/codec'
import type { Frame } from '../../protocol/frame'
import { MqttError } from '../../protocol/mqtt-error'
import { LARGEST_PACKET } from '../../protocol/output'
import type { ConnackProperties, ConnectPacket } from '../../protocol/packet'
import { connectReturnCode, ReasonCode } from '../../protocol/reason-code'
import type { Router } from '../../routing/router'
import { OutgoingAliases } from '../../session/outgoing-aliases'
import { resend } from '../../session/resender'
import { NEVER_EXPIRES, type Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { Fanout } from '../delivery/fanout'
import type { QueueSender } from '../delivery/queue-sender'
import type { RetainedSender } from '../delivery/retained-sender'
import type { RevocationLog, Watch } from '../delivery/revocation-log'
import type { Revocations } from '../delivery/revocations'
import type { WideFanout } from '../delivery/wide-fanout'
import type { Wills } from '../delivery/wills'
import { type Answer, allowed, explanation, isAllowed, refusalOf } from '../hooks/answers'
import type { Authorization } from '../hooks/authorization'
import { willView } from '../hooks/publish-view'
import type { SessionHeads } from '../sessions/heads'
import type { SessionLife } from '../sessions/life'
import type { SessionRegistry } from '../sessions/registry'
import type { Restorer } from '../sessions/restorer'
import { ApplicationChannel } from '../wire/application-channel'
import { ClientHandle } from '../wire/client-handle'
import type { Connection } from '../wire/connection'
import type { HalfOpen } from '../wire/half-open'
import type { BrokerSettings } from '../wire/settings'
import type { Turn } from '../wire/turn'
import { answerTooLarge } from './answers'
import type { AuthenticationResult, AuthReceiver } from './auth'
import { type AuthenticationTurns, outcomeOf } from './authentication-turns'
import { connackProperties } from './connack'
import type { ConnectBounds } from './connect-bounds'
import type { DisconnectReceiver } from './disconnect'
import type { Identities } from './identities'

export interface ConnectParts {
  readonly settings: BrokerSettings
  readonly events: EventEmitter<BrokerEvents>
  readonly bounds: ConnectBounds
  readonly authorization: Authorization
  readonly authentication: AuthReceiver
  readonly turns: AuthenticationTurns
  readonly halfOpen: HalfOpen
  readonly router: Router<Session>
  readonly registry: SessionRegistry
  readonly life: SessionLife
  readonly heads: SessionHeads
  readonly restorer: Restorer
  readonly journal: CommitJournal
  readonly queues: QueueSender
  readonly fanout: Fanout
  readonly wide: WideFanout
  readonly retainedSender: RetainedSender
  readonly revocations: Revocations
  readonly revocationLog: RevocationLog
  readonly wills: Wills
  readonly endings: DisconnectReceiver
  readonly identities: Identities
  readonly turn: Turn
}

/** Units of effort of a question to the application about one subscription. */
const ASKED = 16

/** CONNECT and its CONNACK (sections 3.1 and 3.2). */
export class ConnectReceiver {
  private readonly parts: ConnectParts

  constructor(parts: ConnectParts) {
    this.parts = parts
  }

  /** What the client sends behind its CONNECT waits until CONNACK is written. */
  receive(connection: Connection, packet: ConnectPacket): void {
    connection.parkUntilMore()
    const { revocationLog } = this.parts
    const watch = revocationLog.begin()
    const connected = this.connect(connection, packet, watch).finally(() => revocationLog.end(watch))
    connection.unparkAfter(connected)
  }

  /** After each wait the connection may have ended: then nothing more is done. */
  private async connect(connection: Connection, packet: ConnectPacket, watch: Watch): Promise<void> {
    const { authorization, bounds, endings, heads, journal, life, restorer, settings, wills } = this.parts
    const { identities, revocationLog, revocations } = this.parts
    const { maximumPacketSize = LARGEST_PACKET } = packet.properties
    connection.outbox.maximumPacketSize = Math.min(maximumPacketSize, LARGEST_PACKET)
    const client = new ClientHandle(
      connection,
      packet,
      packet.clientId === '' ? randomUUID() : packet.clientId,
      settings.clock.wallTime(),
    )
    connection.client = client
    const error = bounds.error(packet, connection.channel instanceof ApplicationChannel)
    if (error !== undefined) return this.refuse(connection, packet, error)

    const { answer, data } = await this.authenticate(connection, packet, client)
    if (connection.closing) return
    if (!isAllowed(answer)) return this.denyAuthentication(connection, packet, answer)

    const allowedWill = packet.will === undefined ? allowed : await authorization.publish(client, willView(packet.will))
    if (connection.closing) return
    if (!isAllowed(allowedWill)) return this.denyWill(connection, packet, allowedWill)

    const foreign = bounds.ownership(client)
    if (foreign !== undefined) return this.refuse(connection, packet, foreign)
    await this.formerPackets(client.clientId)
    if (connection.closing) return
    for (;;) {
      // other clients may have connected meanwhile
      const full = bounds.ownership(client) ?? bounds.fullness(packet, client.username)
      if (full !== undefined) return this.refuse(connection, packet, full)
      const former = life.removal(client.clientId) ?? endings.endFormer(client.clientId, packet.clean, 'replaced')
      if (former === undefined) break
      await former
      if (connection.closing) return
    }

    const refusal = revocationLog.isRevoked(watch, client) ? revokedMeanwhile() : identities.admit(client)
    if (refusal !== undefined) return this.refuse(connection, packet, refusal)
    const { session, present } = this.openSession(connection, packet, client)
    if (connection.closing) return
    await wills.answered(client.clientId)
    if (connection.closing) return
    client.keepAlive = isApplicationIdentifier(client.clientId) ? 0 : this.keepAlive(packet)
    try {
      if (authorization.asksSubscribe(client)) await this.reauthorize(connection, session, client)
      if (revocations.isPending(session)) await revocations.settle(session)
      if (connection.closing) return
      // not before: other steps commit while a hook is asked, and CONNACK would not wait for those
      heads.record(session, 0, packet.will)
      const committed = journal.commit()
      await (session.unread ? Promise.all([committed, restorer.read(session)]) : committed)
    } catch (cause) {
      const text = 'the store could not open the session'
      const failure = new MqttError('GNATMQ_STORE_FAILED', text, { cause, reasonCode: ReasonCode.ServerUnavailable })
      return this.refuse(connection, packet, failure)
    }
    if (!connection.closing) this.accept(connection, packet, client, session, present, data)
  }

  /** In the client's turn. */
  private async authenticate(
    connection: Connection,
    packet: ConnectPacket,
    client: ClientHandle,
  ): Promise<AuthenticationResult> {
    const { authentication, authorization, settings, turns } = this.parts
    if (isApplicationIdentifier(client.clientId)) return withoutData(allowed)
    const { authenticate, authenticationMethods } = settings.hooks
    const isEnhanced = packet.properties.authenticationMethod !== undefined
    if (!isEnhanced && authenticate === undefined)
      return authenticationMethods === undefined ? withoutData(allowed) : withoutData(methodMissing())
    const turn = await turns.begin(connection, client)
    if (turn instanceof MqttError) return withoutData(refusalOf(turn))
    if (connection.closing) {
      turn('undecided')
      return withoutData(methodMissing())
    }
    const result = isEnhanced
      ? await authentication.begin(connection, client, packet)
      : withoutData(await authorization.authenticate(client, packet))
    turn(outcomeOf(result.answer))
    return result
  }

  /** What the client sent over a former connection that it has closed comes before its CONNECT. */
  private formerPackets(clientId: string): Promise<void> | undefined {
    const former = this.parts.registry.connection(clientId)
    if (former === undefined || !former.awaitsBroker) return undefined
    return new Promise((resolve) => former.end.precede(resolve))
  }

  /** A new session, or the one that is there. Another connection that has it is closed first [MQTT-3.1.4-2]. */
  private openSession(
    connection: Connection,
    packet: ConnectPacket,
    client: ClientHandle,
  ): { session: Session; present: boolean } {
    const { endings, life, registry, wide, wills } = this.parts
    const { clientId } = client
    endings.takeOver(clientId)
    const former = registry.get(clientId)
    const present = former !== undefined && !packet.clean && !life.isExpired(former)
    // one commit with the record of the session that takes its place
    if (former !== undefined && !present)
      endings.endUncommitted(former, null, life.isExpired(former) ? 'expired' : 'replaced')
    let session: Session
    if (present) {
      session = former
      wide.settle(session)
      life.resume(session, expiryInterval(packet))
      wills.resume(session)
    } else session = life.open(clientId, expiryInterval(packet))
    registry.connect(clientId, connection)
    registry.assign(session, client.username)
    connection.session = session
    // the application may have ended this connection when it was told of the takeover
    if (connection.closing) endings.ended(connection, { reasonCode: 0, byClient: false, error: undefined })
    return { session, present }
  }

  /**
   * Seconds. Server Keep Alive, where the client asks for more (MQTT 5.0 section 3.2.2.3.14). Before MQTT 5.0 a client can't be told: it
   * keeps its own Keep Alive, but none at all is no longer than the maximum either.
   */
  private keepAlive({ keepAlive, protocolVersion }: ConnectPacket): number {
    const { maximumKeepAlive } = this.parts.settings
    const isLonger = keepAlive === 0 || (protocolVersion === 5 && keepAlive > maximumKeepAlive)
    const isCapped = maximumKeepAlive > 0 && isLonger
    return isCapped ? maximumKeepAlive : keepAlive
  }

  /** Rights may have changed since a session was left: each of its subscriptions is asked about again. */
  private async reauthorize(connection: Connection, session: Session, client: ClientHandle): Promise<void> {
    const { authorization, revocations, router, turn } = this.parts
    turn.slice.begin()
    for (const subscription of router.subscriptionsOf(session)) {
      // others have their turn, and clients that come again and again have no more than their share
      if (turn.slice.isOverAfter(ASKED)) await turn.background.turn()
      if (connection.closing) return
      const { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = subscription
      const request = { filter, qos, noLocal, retainAsPublished, retainHandling }
      const identifier = subscriptionIdentifier === 0 ? undefined : subscriptionIdentifier
      const asked = authorization.subscribe(client, request, identifier, [])
      const answered = asked instanceof Promise ? await asked : asked
      if (connection.closing) return
      if (!isAllowed(answered.answer)) revocations.add(subscription, undefined)
      else if (answered.qos < qos) revocations.add(subscription, answered.qos)
    }
  }

  /** CONNACK, then what waits for the client. */
  private accept(
    connection: Connection,
    packet: ConnectPacket,
    client: ClientHandle,
    session: Session,
    present: boolean,
    authenticationData: Uint8Array | undefined,
  ): void {
    const { events, queues, registry, retainedSender, settings, turn } = this.parts
    const { outbox, version } = connection
    const properties: ConnackProperties =
      version === 5 ? connackProperties(settings, packet, client, session, authenticationData) : {}
    const connack = encodeConnack(version, present, ReasonCode.Success, properties)
    // `responseInformation` may have ended it
    if (connection.closing) return
    if (connack.length > outbox.maximumPacketSize) {
      this.refuse(connection, packet, answerTooLarge(connack))
      return
    }
    this.attach(connection, packet, client, session)
    outbox.write(connack)
    turn.counters.acceptClient(registry.connectedCount)
    const { clientId, remoteAddress } = client
    // the application's own is no client
    if (!isApplicationIdentifier(clientId)) {
      connection.announced = true
      settings.logger.info({ clientId, remoteAddress, protocolVersion: version }, 'client connected')
      events.emit('clientConnected', client)
      events.emit(present ? 'sessionResumed' : 'sessionCreated', client)
    }
    if (!present || connection.closing) return
    resend(session, settings.clock.now())
    queues.send(session)
    retainedSender.start(connection)
  }

  /** Joins session and connection. */
  private attach(connection: Connection, packet: ConnectPacket, client: ClientHandle, session: Session): void {
    const { fanout, halfOpen, identities, router, settings } = this.parts
    const { outbox, version } = connection
    const { properties } = packet
    const wanted = version === 5 ? (properties.topicAliasMaximum ?? 0) : 0
    const aliases = Math.min(wanted, settings.maximumOutgoingTopicAliases)
    connection.problemInformation = properties.requestProblemInformation ?? true
    connection.will = packet.will ?? null
    session.willCost = packet.will === undefined ? 0 : willCost(packet.will)
    settings.memory.wills.add(session.willCost)
    client.propertiesCost = userPropertiesCost(client.userProperties)
    settings.memory.sessions.add(client.propertiesCost)
    router.wake(session)
    session.attach(outbox, version === 5 ? (properties.receiveMaximum ?? 65535) : 65535)
    session.refused = fanout.refused
    if (aliases > 0) session.outgoingAliases = new OutgoingAliases(aliases, settings.memory.aliases)
    connection.begin(session, client.keepAlive, version < 5 && packet.keepAlive === 0)
    halfOpen.leave(connection)
    identities.begin(connection)
  }

  private denyAuthentication(connection: Connection, packet: ConnectPacket, answer: Answer): void {
    const { reasonCode } = answer
    const isEnhanced = packet.properties.authenticationMethod !== undefined
    const error = isEnhanced
      ? new MqttError('GNATMQ_NOT_AUTHORIZED', 'the enhanced authentication failed', { reasonCode })
      : new MqttError('GNATMQ_BAD_CREDENTIALS', 'authenticate said no', { reasonCode })
    this.refuse(connection, packet, answer.error ?? error, answer)
  }

  private denyWill(connection: Connection, packet: ConnectPacket, answer: Answer): void {
    const { error, reasonCode } = answer
    const text = 'the client may not publish its Will'
    this.refuse(connection, packet, error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', text, { reasonCode }), answer)
  }

  private refuse(connection: Connection, packet: ConnectPacket, error: MqttError, answer?: Answer): void {
    const reasonCode = error.reasonCode ?? ReasonCode.UnspecifiedError
    const { protocolVersion } = packet
    const properties: ConnackProperties = explanation(answer?.denial)
    if (answer?.denial?.serverReference !== undefined) properties.serverReference = answer.denial.serverReference
    const code = protocolVersion === 5 ? reasonCode : connectReturnCode(reasonCode)
    const connack = encodeConnack(protocolVersion, false, code, properties)
    // the explanation is left out where the client could not take it [MQTT-3.2.2-19]
    const tooLarge = connack.length > connection.outbox.maximumPacketSize
    connection.refuse(tooLarge ? encodeConnack(protocolVersion, false, code) : connack, error)
  }

  /** Answered as far as its version can be read: always in MQTT 5.0, before that only about the version. */
  refuseMalformed(connection: Connection, bytes: Buffer, frame: Frame, error: MqttError): void {
    const version = connackVersion(bytes, frame.body, frame.end)
    const reasonCode = error.reasonCode ?? ReasonCode.UnspecifiedError
    const answered = version === 5 || error.code === 'GNATMQ_PROTOCOL_VERSION'
    const code = version === 5 ? reasonCode : connectReturnCode(reasonCode)
    connection.refuse(answered ? encodeConnack(version, false, code) : null, error)
  }
}

const withoutData = (answer: Answer): AuthenticationResult => ({ answer, data: undefined })

/** Where methods are all that authenticates, a client that names none has proved nothing. */
function methodMissing(): Answer {
  const text = 'the client names no Authentication Method, and there is no authenticate hook'
  return refusalOf(new MqttError('GNATMQ_NOT_AUTHORIZED', text))
}

/** Seconds. */
function expiryInterval(packet: ConnectPacket): number {
  if (packet.protocolVersion === 5) return packet.properties.sessionExpiryInterval ?? 0
  return packet.clean ? 0 : NEVER_EXPIRES
}

const revokedMeanwhile = (): MqttError =>
  new MqttError('GNATMQ_REVOKED', 'the application has revoked the rights of the client while it connected')
