import { randomUUID } from 'node:crypto'
import { disregard, givenString } from '../ports/given-values'
import { encodeConnack } from '../protocol/codec'
import { MqttError } from '../protocol/mqtt-error'
import { Dialect, LARGEST_PACKET } from '../protocol/output'
import type { ConnackProperties, ConnectPacket } from '../protocol/packet'
import { connectReturnCode, ReasonCode } from '../protocol/reason-code'
import { topicNameError } from '../protocol/topic'
import { isUtf8Payload } from '../protocol/utf8'
import type { Subscription } from '../routing/subscription'
import { OutgoingAliases } from '../session/outgoing-aliases'
import { resend } from '../session/resender'
import { NEVER_EXPIRES, type Session } from '../session/session'
import { ClientHandle } from './client-handle'
import { ConnectFailures } from './connect-failures'
import type { Connection } from './connection'
import type { Core } from './core'
import { type Answer, explanation, inTurn } from './gate'
import type { Gatekeeper } from './gatekeeper'
import { answerTooLarge } from './outgoing-acknowledgements'

/** What 3.1 allows a Client Identifier to be long. */
const V31_CLIENT_IDENTIFIER = 23

/** CONNECT and its CONNACK (sections 3.1 and 3.2). */
export class Handshake {
  private readonly core: Core
  private readonly gatekeeper: Gatekeeper
  private readonly failures: ConnectFailures

  constructor(core: Core, gatekeeper: Gatekeeper) {
    this.failures = new ConnectFailures(core.settings.clock, core.settings.maximumFailedConnectsPerAddress)
    this.core = core
    this.gatekeeper = gatekeeper
  }

  receive(connection: Connection, packet: ConnectPacket): void {
    const { settings } = this.core
    connection.outbox.maximumPacketSize = Math.min(
      packet.properties.maximumPacketSize ?? LARGEST_PACKET,
      LARGEST_PACKET,
    )
    const error = this.clientIdentifierError(packet)
    if (error !== undefined) {
      this.refuse(connection, packet, error)
      return
    }
    const unavailable = this.rateError(connection) ?? this.boundError(packet) ?? this.willError(packet)
    if (unavailable !== undefined) {
      this.refuse(connection, packet, unavailable)
      return
    }
    const clientId = packet.clientId === '' ? randomUUID() : packet.clientId
    const client = new ClientHandle(connection, packet, clientId, settings.clock.wallTime())
    connection.client = client
    if (packet.properties.authenticationMethod !== undefined) {
      this.core.authentication.begin(connection, client, packet, (answer, data) => {
        connection.authenticationData = data
        if (answer.reasonCode !== ReasonCode.Success)
          this.deny(connection, packet, answer, 'GNATMQ_NOT_AUTHORIZED', 'the enhanced authentication failed')
        else this.authorizeWill(connection, packet, client)
      })
      return
    }
    this.gatekeeper.authenticate(connection, client, packet, (answer) => {
      if (answer.reasonCode !== ReasonCode.Success)
        this.deny(connection, packet, answer, 'GNATMQ_BAD_CREDENTIALS', 'authenticate said no')
      else this.authorizeWill(connection, packet, client)
    })
  }

  /** Who fails too often is not even asked who he is. */
  private rateError({ channel }: Connection): MqttError | undefined {
    const { remoteAddress } = channel.peer
    if (!this.failures.isBarred(remoteAddress)) return undefined
    const { maximumFailedConnectsPerAddress: maximum } = this.core.settings
    const text = `${remoteAddress} has failed to authenticate ${maximum} times within a minute: it may try again in the next one`
    return new MqttError('GNATMQ_CONNECTION_RATE', text)
  }

  /** What bounds all clients together. */
  private boundError(packet: ConnectPacket): MqttError | undefined {
    const { sessions, settings } = this.core
    const { maximumConnections, maximumSessions } = settings
    if (sessions.connectedCount >= maximumConnections && sessions.connection(packet.clientId) === undefined)
      return new MqttError(
        'GNATMQ_SERVER_BUSY',
        `${maximumConnections} clients are connected, and more are not allowed`,
      )
    if (sessions.size >= maximumSessions && sessions.get(packet.clientId) === undefined)
      return new MqttError('GNATMQ_QUOTA_EXCEEDED', `there are ${maximumSessions} sessions, and more are not allowed`)
    return undefined
  }

  private clientIdentifierError(packet: ConnectPacket): MqttError | undefined {
    const { clientId, protocolVersion } = packet
    if (clientId === '') {
      if (protocolVersion === 3 && !this.core.settings.lenientClientIdentifiers)
        return new MqttError('GNATMQ_CLIENT_IDENTIFIER', 'MQTT 3.1 wants a Client Identifier of 1 to 23 characters')
      // [MQTT-3.1.3-8] of 3.1.1
      if (protocolVersion < 5 && !packet.clean)
        return new MqttError(
          'GNATMQ_CLIENT_IDENTIFIER',
          'a session that is kept needs a Client Identifier [MQTT-3.1.3-8]',
        )
    } else if (
      protocolVersion === 3 &&
      clientId.length > V31_CLIENT_IDENTIFIER &&
      !this.core.settings.lenientClientIdentifiers
    ) {
      return new MqttError(
        'GNATMQ_CLIENT_IDENTIFIER',
        'MQTT 3.1 wants a Client Identifier of 1 to 23 characters: set lenientClientIdentifiers to allow longer ones',
      )
    }
    return undefined
  }

  /** A Will is a message like any other: it keeps to what the broker does (MQTT 5.0 sections 3.2.2.3.4 and 3.2.2.3.5). */
  private willError({ will }: ConnectPacket): MqttError | undefined {
    const { maximumQoS, maximumTopicLevels, retainAvailable, validatePayloadFormat } = this.core.settings
    if (will === undefined) return undefined
    const error = topicNameError(will.topic, maximumTopicLevels)
    if (error !== undefined) return new MqttError('GNATMQ_TOPIC_NAME_INVALID', error)
    if (will.qos > maximumQoS)
      return new MqttError('GNATMQ_QOS_NOT_SUPPORTED', `a Will with QoS ${will.qos} [MQTT-3.2.2-12]`)
    if (will.retain && !retainAvailable)
      return new MqttError('GNATMQ_RETAIN_NOT_SUPPORTED', 'a Will with RETAIN [MQTT-3.2.2-13]')
    const { payload, properties } = will
    if (validatePayloadFormat && properties.payloadFormatIndicator === 1 && !isUtf8Payload(payload, 0, payload.length))
      return new MqttError(
        'GNATMQ_PAYLOAD_FORMAT_INVALID',
        'the payload of the Will is not the UTF-8 that it claims to be',
      )
    return undefined
  }

  /** A Will that the client may not publish refuses the connection. */
  private authorizeWill(connection: Connection, packet: ConnectPacket, client: ClientHandle): void {
    if (packet.will === undefined) {
      this.succeed(connection, packet, client)
      return
    }
    this.gatekeeper.authorizePublish(connection, client, this.core.wills.view(packet.will), (answer) => {
      if (answer.reasonCode !== ReasonCode.Success)
        this.deny(connection, packet, answer, 'GNATMQ_NOT_AUTHORIZED', 'the client may not publish its Will')
      else this.succeed(connection, packet, client)
    })
  }

  /** What a client sent over a former connection that it has closed comes before its CONNECT. */
  private succeed(connection: Connection, packet: ConnectPacket, client: ClientHandle): void {
    const former = this.core.sessions.connection(client.clientId)
    if (former === undefined || !former.awaitsBroker) {
      this.open(connection, packet, client)
      return
    }
    connection.park()
    former.end.precede(() => goOn(connection, () => this.open(connection, packet, client)))
  }

  private open(connection: Connection, packet: ConnectPacket, client: ClientHandle): void {
    const { settings, sessions, journal } = this.core
    // others may have come while a hook was thinking
    const error = this.boundError(packet)
    if (error !== undefined) {
      this.refuse(connection, packet, error)
      return
    }
    const ending = sessions.slowEnding(client.clientId, packet.clean)
    if (ending !== undefined) {
      connection.park()
      sessions.endFirst(ending, () => goOn(connection, () => this.open(connection, packet, client)))
      return
    }
    const expiryInterval = this.expiryInterval(packet)
    const { session, present } = sessions.open(connection, client.clientId, packet.clean, expiryInterval)
    session.username = client.username
    connection.session = session
    if (connection.closing) {
      // the application ended it when it was told of the takeover
      sessions.disconnected(connection, session, { reasonCode: 0, byClient: false, error: undefined })
      return
    }
    this.afterFormerWill(connection, client, () => {
      const cap = settings.maximumKeepAlive
      if (cap > 0 && packet.protocolVersion === 5 && (packet.keepAlive === 0 || packet.keepAlive > cap))
        client.keepAlive = cap
      this.reauthorize(connection, session, client, () => {
        // not before: others commit while a hook thinks, and CONNACK would not wait for that
        sessions.record(session, 0, packet.will)
        const committed = journal.commit()
        if (committed === undefined && !session.unread) this.accept(connection, packet, client, session, present)
        else this.acceptLater(connection, packet, client, session, present, committed)
      })
    })
  }

  /** While a hook thinks about the Will of the connection before, the store keeps it where the new record would go. */
  private afterFormerWill(connection: Connection, { clientId }: ClientHandle, then: () => void): void {
    if (this.core.wills.afterAnswer(clientId, () => goOn(connection, then))) connection.park()
    else then()
  }

  /** The store has to answer first; the client's next packets wait. */
  private acceptLater(
    connection: Connection,
    packet: ConnectPacket,
    client: ClientHandle,
    session: Session,
    present: boolean,
    committed: Promise<void> | undefined,
  ): void {
    connection.park()
    const ready = Promise.all([committed, session.unread ? this.core.restorer.read(session) : undefined])
    void ready.then(
      () => goOn(connection, () => this.accept(connection, packet, client, session, present)),
      (cause: unknown) => {
        const error = new MqttError('GNATMQ_STORE_FAILED', 'the store could not open the session', {
          cause,
          reasonCode: ReasonCode.ServerUnavailable,
        })
        goOn(connection, () => this.refuse(connection, packet, error))
      },
    )
  }

  private expiryInterval(packet: ConnectPacket): number {
    const before5 = packet.clean ? 0 : NEVER_EXPIRES
    const asked = packet.protocolVersion === 5 ? (packet.properties.sessionExpiryInterval ?? 0) : before5
    return Math.min(asked, this.core.settings.maximumSessionExpiryInterval)
  }

  /** Rights may have changed since a session was left: each of its subscriptions is asked about again. */
  private reauthorize(connection: Connection, session: Session, client: ClientHandle, then: () => void): void {
    if (this.core.settings.hooks.authorizeSubscribe === undefined) {
      then()
      return
    }
    const ask = (subscription: Subscription<Session>, next: () => void): void => {
      const identifier = subscription.subscriptionIdentifier === 0 ? undefined : subscription.subscriptionIdentifier
      this.gatekeeper.authorizeSubscribe(connection, client, pick(subscription), identifier, [], ({ answer }) => {
        if (answer.reasonCode !== ReasonCode.Success) {
          this.core.router.unsubscribe(session, subscription.filter)
          if (session.journal !== null) this.core.journal.unsubscribe(session, subscription.filter)
        }
        next()
      })
    }
    inTurn([...this.core.router.subscriptionsOf(session)], ask, then)
  }

  /** CONNACK, then what waits for the client. */
  private accept(
    connection: Connection,
    packet: ConnectPacket,
    client: ClientHandle,
    session: Session,
    present: boolean,
  ): void {
    const { settings, events, publisher } = this.core
    const { outbox, version } = connection
    const connack = encodeConnack(
      version,
      present,
      ReasonCode.Success,
      version === 5 ? this.connackProperties(connection, packet, client, session) : {},
    )
    // `responseInformation` may have ended it
    if (connection.closing) return
    if (connack.length > outbox.maximumPacketSize) {
      this.refuse(connection, packet, answerTooLarge(connack))
      return
    }
    const aliases = version === 5 ? (packet.properties.topicAliasMaximum ?? 0) : 0
    outbox.dialect = version < 5 ? Dialect.V3 : aliases > 0 ? Dialect.V5Aliased : Dialect.V5
    connection.problemInformation = packet.properties.requestProblemInformation ?? true
    if (packet.will !== undefined) connection.will = { packet: packet.will, client, session }
    session.attach(outbox, version === 5 ? (packet.properties.receiveMaximum ?? 65535) : 65535)
    session.refused = publisher.refused
    session.gate = this.gatekeeper.deliveryGate(client, this.core.journal)
    if (aliases > 0) session.outgoingAliases = new OutgoingAliases(aliases)
    connection.begin(session, client.keepAlive)
    outbox.write(connack)
    connection.announced = true
    settings.logger.info(
      { clientId: client.clientId, remoteAddress: client.remoteAddress, protocolVersion: version },
      'client connected',
    )
    events.emit('clientConnected', client)
    if (!present || connection.closing) return
    resend(session, settings.clock.now())
    publisher.sendQueued(session)
    this.core.retainedSender.start(connection)
  }

  /** Only what differs from the specification's defaults (MQTT 5.0 section 3.2.2.3). */
  private connackProperties(
    connection: Connection,
    packet: ConnectPacket,
    client: ClientHandle,
    session: Session,
  ): ConnackProperties {
    const { settings } = this.core
    const properties: ConnackProperties = {}
    if (connection.exchange !== null) {
      // [MQTT-4.12.0-5]
      properties.authenticationMethod = connection.exchange.method
      if (connection.authenticationData !== undefined) properties.authenticationData = connection.authenticationData
    }
    if (packet.clientId === '') properties.assignedClientIdentifier = client.clientId
    if (session.expiryInterval !== (packet.properties.sessionExpiryInterval ?? 0))
      properties.sessionExpiryInterval = session.expiryInterval
    if (client.keepAlive !== packet.keepAlive) properties.serverKeepAlive = client.keepAlive
    if (settings.receiveMaximum < 65535) properties.receiveMaximum = settings.receiveMaximum
    if (settings.topicAliasMaximum > 0) properties.topicAliasMaximum = settings.topicAliasMaximum
    properties.maximumPacketSize = settings.maximumPacketSize
    if (settings.maximumQoS < 2) properties.maximumQoS = settings.maximumQoS as 0 | 1
    if (!settings.retainAvailable) properties.retainAvailable = false
    if (!settings.wildcardSubscriptionAvailable) properties.wildcardSubscriptionAvailable = false
    if (!settings.subscriptionIdentifiersAvailable) properties.subscriptionIdentifiersAvailable = false
    if (!settings.sharedSubscriptionAvailable) properties.sharedSubscriptionAvailable = false
    if (packet.properties.requestResponseInformation === true) {
      const responseInformation = this.responseInformation(client)
      if (responseInformation !== undefined) properties.responseInformation = responseInformation
    }
    return properties
  }

  /** What MQTT cannot carry is left out, and told of. */
  private responseInformation(client: ClientHandle): string | undefined {
    const { logger, responseInformation } = this.core.settings
    try {
      const answer: unknown = responseInformation?.(client)
      disregard(answer)
      return answer === undefined ? undefined : givenString('the answer of responseInformation', answer)
    } catch (err) {
      logger.error({ err, clientId: client.clientId }, 'responseInformation failed: the client gets none')
      return undefined
    }
  }

  private deny(
    connection: Connection,
    packet: ConnectPacket,
    answer: Answer,
    code: 'GNATMQ_BAD_CREDENTIALS' | 'GNATMQ_NOT_AUTHORIZED',
    text: string,
  ): void {
    const error = answer.error ?? new MqttError(code, text, { reasonCode: answer.reasonCode })
    // neither a hook that failed nor a client that is sent elsewhere
    if (answer.error === undefined && isWrong(answer.reasonCode))
      this.failures.add(connection.channel.peer.remoteAddress)
    this.refuse(connection, packet, error, answer)
  }

  private refuse(connection: Connection, packet: ConnectPacket, error: MqttError, answer?: Answer): void {
    const reasonCode = error.reasonCode ?? ReasonCode.UnspecifiedError
    const { protocolVersion } = packet
    const properties: ConnackProperties = explanation(answer?.denial)
    if (answer?.denial?.serverReference !== undefined) properties.serverReference = answer.denial.serverReference
    const code = protocolVersion === 5 ? reasonCode : connectReturnCode(reasonCode)
    const connack = encodeConnack(protocolVersion, false, code, properties)
    // what explains it is left out where the client could not take it [MQTT-3.2.2-19]
    const tooLarge = connack.length > connection.outbox.maximumPacketSize
    connection.refuse(tooLarge ? encodeConnack(protocolVersion, false, code) : connack, error)
  }
}

/** A CONNECT that had to wait, its connection parked. */
function goOn(connection: Connection, then: () => void): void {
  try {
    if (!connection.closing) then()
  } catch (error) {
    connection.fail(error)
  }
  connection.unpark()
}

function isWrong(reasonCode: number): boolean {
  return reasonCode === ReasonCode.BadUserNameOrPassword || reasonCode === ReasonCode.NotAuthorized
}

function pick(subscription: {
  filter: string
  qos: 0 | 1 | 2
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
}) {
  const { filter, qos, noLocal, retainAsPublished, retainHandling } = subscription
  return { filter, qos, noLocal, retainAsPublished, retainHandling }
}
