import { sessionCost, userPropertiesCost, willCost } from '../../memory/session-cost'
import type { Client } from '../../ports/client'
import { authenticates } from '../../ports/hooks'
import { isApplicationIdentifier } from '../../protocol/application-identifier'
import { MqttError } from '../../protocol/mqtt-error'
import type { ConnectPacket } from '../../protocol/packet'
import { isSystemTopic, topicNameError } from '../../protocol/topic'
import { isUtf8Payload } from '../../protocol/utf8'
import type { SessionRegistry } from '../sessions/registry'
import type { BrokerSettings } from '../wire/settings'

/** The longest Client Identifier of MQTT 3.1, in characters. */
const V31_CLIENT_IDENTIFIER = 23

/** The bounds that a CONNECT must keep to before a hook is asked. Every check answers with the error, or undefined. */
export class ConnectBounds {
  private readonly settings: BrokerSettings
  private readonly registry: SessionRegistry

  constructor(settings: BrokerSettings, registry: SessionRegistry) {
    this.settings = settings
    this.registry = registry
  }

  /** `isApplication` is true for a connection of the application's own. */
  error(packet: ConnectPacket, isApplication: boolean): MqttError | undefined {
    if (isApplication) return this.fullness(packet)
    return this.clientIdentifierError(packet) ?? this.fullness(packet) ?? this.willError(packet)
  }

  /** What bounds all clients together, and those of one user. */
  fullness(packet: ConnectPacket, username = packet.username): MqttError | undefined {
    const { registry } = this
    const { maximumConnections, maximumSessions } = this.settings
    if (registry.connectedCount >= maximumConnections && registry.connection(packet.clientId) === undefined) {
      const text = `${maximumConnections} clients are connected, and more are not allowed`
      return new MqttError('GNATMQ_SERVER_BUSY', text)
    }
    if (registry.size >= maximumSessions && registry.get(packet.clientId) === undefined)
      return new MqttError('GNATMQ_QUOTA_EXCEEDED', `there are ${maximumSessions} sessions, and more are not allowed`)
    const { hooks, memory } = this.settings
    const { wills } = memory
    const isNew = registry.get(packet.clientId) === undefined
    const head = isNew ? sessionCost(packet.clientId, username) : 0
    // only where names are proved do they tell users apart
    const user = isNew && authenticates(hooks) ? username : undefined
    if (!registry.admits(head + userPropertiesCost(packet.properties.userProperties), user))
      return new MqttError('GNATMQ_QUOTA_EXCEEDED', 'the memory for sessions is used up: see limits.memory')
    if (packet.will !== undefined && !wills.admits(willCost(packet.will), 0))
      return new MqttError('GNATMQ_QUOTA_EXCEEDED', 'the memory for Wills is used up: see limits.memory')
    return undefined
  }

  /**
   * A session belongs to the user that opened it: another one neither gets what waits in it nor closes the connection that has
   * it. Sessions without a user name, and all where clients are not authenticated, have no owner.
   */
  ownership({ clientId, username }: Client): MqttError | undefined {
    const { clock, hooks, sessionOwnership } = this.settings
    const session = this.registry.get(clientId)
    if (!sessionOwnership || session === undefined || !authenticates(hooks)) return undefined
    const { expiresAt, username: owner } = session
    const isExpired = expiresAt !== 0 && expiresAt <= clock.now()
    if (owner === undefined || owner === username || isExpired) return undefined
    const text = `the session of the Client Identifier ${clientId} belongs to another user`
    return new MqttError('GNATMQ_SESSION_OWNER', text)
  }

  private clientIdentifierError({ clean, clientId, protocolVersion }: ConnectPacket): MqttError | undefined {
    const strict = protocolVersion === 3 && !this.settings.lenientClientIdentifiers
    if (clientId === '') {
      if (strict)
        return new MqttError('GNATMQ_CLIENT_IDENTIFIER', 'MQTT 3.1 wants a Client Identifier of 1 to 23 characters')
      if (protocolVersion === 5 || clean) return undefined
      // [MQTT-3.1.3-8] of 3.1.1
      const text = 'a session that is kept needs a Client Identifier [MQTT-3.1.3-8]'
      return new MqttError('GNATMQ_CLIENT_IDENTIFIER', text)
    }
    if (isApplicationIdentifier(clientId))
      return new MqttError('GNATMQ_CLIENT_IDENTIFIER', 'a Client Identifier that only the application itself may have')
    const { maximumClientIdentifierLength: maximum } = this.settings
    if (clientId.length > maximum || Buffer.byteLength(clientId) > maximum)
      return new MqttError('GNATMQ_CLIENT_IDENTIFIER', `the Client Identifier is longer than ${maximum} bytes`)
    if (!strict || clientId.length <= V31_CLIENT_IDENTIFIER) return undefined
    const text =
      'MQTT 3.1 wants a Client Identifier of 1 to 23 characters: set lenientClientIdentifiers to allow longer ones'
    return new MqttError('GNATMQ_CLIENT_IDENTIFIER', text)
  }

  /** A Will keeps to what CONNACK says of the broker (MQTT 5.0 sections 3.2.2.3.4 and 3.2.2.3.5). */
  private willError({ will }: ConnectPacket): MqttError | undefined {
    const { maximumQoS, maximumTopicLevels, retainAvailable, validatePayloadFormat } = this.settings
    if (will === undefined) return undefined
    const error = topicNameError(will.topic, maximumTopicLevels)
    if (error !== undefined) return new MqttError('GNATMQ_TOPIC_NAME_INVALID', error)
    if (isSystemTopic(will.topic))
      return new MqttError('GNATMQ_NOT_AUTHORIZED', 'a Will below $SYS, where no client may publish')
    if (will.qos > maximumQoS)
      return new MqttError('GNATMQ_QOS_NOT_SUPPORTED', `a Will with QoS ${will.qos} [MQTT-3.2.2-12]`)
    if (will.retain && !retainAvailable)
      return new MqttError('GNATMQ_RETAIN_NOT_SUPPORTED', 'a Will with RETAIN [MQTT-3.2.2-13]')
    const { payload, properties } = will
    const isText = properties.payloadFormatIndicator === 1
    if (!validatePayloadFormat || !isText || isUtf8Payload(payload, 0, payload.length)) return undefined
    const text = 'the payload of the Will is not the UTF-8 that it claims to be'
    return new MqttError('GNATMQ_PAYLOAD_FORMAT_INVALID', text)
  }
}
