import type { Cursor } from './cursor'
import { MqttError, malformed, protocolError } from './mqtt-error'
import {
  type AuthPacket,
  type ConnectPacket,
  type ConnectProperties,
  type DisconnectPacket,
  type MessageProperties,
  PacketType,
  type ProtocolVersion,
  type QoS,
  type WillPacket,
} from './packet'
import { Carrier, Property, type PropertyBlock, readProperties } from './properties'
import { ReasonCode } from './reason-code'
import { isReasonCodeOf } from './reason-code-table'

// CONNECT, DISCONNECT and AUTH, read where they lie: each byte once, every field in its place and in its range. Nothing in what is read
// points into the packet.

const ConnectFlag = {
  Reserved: 1,
  Clean: 2,
  Will: 4,
  WillQoS: 24,
  WillRetain: 32,
  Password: 64,
  Username: 128,
} as const

/** Flags of the fixed header that a client must send (MQTT 3.1.1 section 2.2.2, 5.0 section 2.1.3). */
const requiredFlags: ReadonlyMap<number, number> = new Map<number, number>([
  [PacketType.Subscribe, 2],
  [PacketType.Unsubscribe, 2],
])

/** Throws 0x81 unless the fixed header's lower four bits are as they must be. */
export function checkFixedHeaderFlags(type: number, flags: number, version: ProtocolVersion): void {
  const required = requiredFlags.get(type) ?? 0
  // MQTT 3.1 repeats SUBSCRIBE and UNSUBSCRIBE with DUP, and calls the other bits unused
  const given = version === 3 ? flags & required : flags
  if (given !== required) {
    throw malformed(`packet type ${type} has the flags ${flags}, they must be ${required} [MQTT-2.2.2-2]`)
  }
}

/** Reads Protocol Name and Protocol Level. Throws GNATMQ_PROTOCOL_VERSION for what is not spoken. */
export function readProtocol(cursor: Cursor): ProtocolVersion {
  const length = cursor.binary('Protocol Name')
  const name = cursor.bytes.toString('latin1', cursor.offset - length, cursor.offset)
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    throw new MqttError('GNATMQ_PROTOCOL_VERSION', 'Protocol Name is neither MQTT nor MQIsdp: connect with MQTT')
  }
  const level = cursor.byte('Protocol Level')
  if (name === 'MQIsdp' && level === 3) return 3
  if (name === 'MQTT' && (level === 4 || level === 5)) return level
  const message = `Protocol Level ${level} of ${name} is not spoken: connect with MQTT 3.1, 3.1.1 or 5.0`
  throw new MqttError('GNATMQ_PROTOCOL_VERSION', message)
}

/** Reads a CONNECT from after its Protocol Level. */
export function readConnect(cursor: Cursor, version: ProtocolVersion): ConnectPacket {
  const flags = cursor.byte('Connect Flags')
  checkConnectFlags(flags, version)
  const keepAlive = cursor.uint16('Keep Alive')
  const packet: ConnectPacket = {
    type: PacketType.Connect,
    protocolName: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    clean: (flags & ConnectFlag.Clean) !== 0,
    keepAlive,
    clientId: '',
    properties: version === 5 ? connectProperties(readProperties(cursor, Carrier.Connect)) : {},
  }
  packet.clientId = cursor.text('Client Identifier')
  if (flags & ConnectFlag.Will) packet.will = readWill(cursor, flags, version)
  // In MQTT 3.1, Remaining Length takes precedence over the flags: what is missing is no error (3.1 section 3.1)
  if (flags & ConnectFlag.Username && !(version === 3 && cursor.done)) packet.username = cursor.text('User Name')
  if (flags & ConnectFlag.Password && !(version === 3 && cursor.done)) packet.password = cursor.binaryCopy('Password')
  cursor.finish('CONNECT')
  return packet
}

function connectProperties(block: PropertyBlock): ConnectProperties {
  const properties: ConnectProperties = {}
  put(properties, 'sessionExpiryInterval', block.number(Property.SessionExpiryInterval))
  put(properties, 'receiveMaximum', block.number(Property.ReceiveMaximum))
  put(properties, 'maximumPacketSize', block.number(Property.MaximumPacketSize))
  put(properties, 'topicAliasMaximum', block.number(Property.TopicAliasMaximum))
  put(properties, 'requestResponseInformation', isSet(block, Property.RequestResponseInformation))
  put(properties, 'requestProblemInformation', isSet(block, Property.RequestProblemInformation))
  put(properties, 'userProperties', block.userProperties)
  put(properties, 'authenticationMethod', block.text(Property.AuthenticationMethod))
  put(properties, 'authenticationData', block.binary(Property.AuthenticationData))
  return properties
}

function isSet(block: PropertyBlock, identifier: number): boolean | undefined {
  const value = block.number(identifier)
  return value === undefined ? undefined : value === 1
}

function readWill(cursor: Cursor, flags: number, version: ProtocolVersion): WillPacket {
  const block = version === 5 ? readProperties(cursor, Carrier.Will) : undefined
  return {
    topic: readWillTopic(cursor, version),
    payload: cursor.binaryCopy('Will Payload'),
    qos: ((flags & ConnectFlag.WillQoS) >> 3) as QoS,
    retain: (flags & ConnectFlag.WillRetain) !== 0,
    willDelayInterval: block?.number(Property.WillDelayInterval) ?? 0,
    properties: block === undefined ? {} : willProperties(block),
  }
}

function willProperties(block: PropertyBlock): MessageProperties {
  const properties: MessageProperties = {}
  const indicator = block.number(Property.PayloadFormatIndicator)
  if (indicator !== undefined) properties.payloadFormatIndicator = indicator === 1 ? 1 : 0
  put(properties, 'messageExpiryInterval', block.number(Property.MessageExpiryInterval))
  put(properties, 'contentType', block.text(Property.ContentType))
  put(properties, 'responseTopic', block.text(Property.ResponseTopic))
  put(properties, 'correlationData', block.binary(Property.CorrelationData))
  put(properties, 'userProperties', block.userProperties)
  return properties
}

function checkConnectFlags(flags: number, version: ProtocolVersion): void {
  if (flags & ConnectFlag.Reserved && version !== 3) {
    throw malformed('the reserved bit of Connect Flags is set: it must be 0 [MQTT-3.1.2-3]')
  }
  if ((flags & ConnectFlag.WillQoS) === ConnectFlag.WillQoS) {
    throw malformed('Will QoS is 3: it must be 0, 1 or 2 [MQTT-3.1.2-14]')
  }
  if (!(flags & ConnectFlag.Will) && flags & (ConnectFlag.WillQoS | ConnectFlag.WillRetain)) {
    throw malformed('Will QoS or Will Retain is set without Will Flag: clear them [MQTT-3.1.2-13]')
  }
  if (version !== 5 && flags & ConnectFlag.Password && !(flags & ConnectFlag.Username)) {
    throw malformed('a Password comes without a User Name: MQTT 5.0 allows that, 3.1.1 does not [MQTT-3.1.2-22]')
  }
}

function readWillTopic(cursor: Cursor, version: ProtocolVersion): string {
  const topic = cursor.text('Will Topic')
  if (topic !== '' && !topic.includes('+') && !topic.includes('#')) return topic
  const message = 'Will Topic is empty or holds a wildcard: it must be a Topic Name [MQTT-4.7.1-1]'
  // MQTT 3.1.1 has no return code for it: the connection is closed
  throw version === 5
    ? new MqttError('GNATMQ_TOPIC_NAME_INVALID', message, { reasonCode: ReasonCode.MalformedPacket })
    : malformed(message)
}

/** Reads what follows the fixed header of a DISCONNECT of MQTT 5.0, at least one byte. */
export function readDisconnect(cursor: Cursor): DisconnectPacket {
  const reasonCode = readReasonCode(cursor, PacketType.Disconnect, 'DISCONNECT')
  const packet: DisconnectPacket = { type: PacketType.Disconnect, reasonCode }
  if (cursor.done) return packet
  const block = readProperties(cursor, Carrier.Disconnect)
  cursor.finish('DISCONNECT')
  put(packet, 'sessionExpiryInterval', block.number(Property.SessionExpiryInterval))
  put(packet, 'reasonString', block.text(Property.ReasonString))
  put(packet, 'userProperties', block.userProperties)
  return packet
}

/** Reads what follows the fixed header of an AUTH, at least one byte. */
export function readAuth(cursor: Cursor): AuthPacket {
  const reasonCode = readReasonCode(cursor, PacketType.Auth, 'AUTH')
  const block = readProperties(cursor, Carrier.Auth)
  cursor.finish('AUTH')
  const packet: AuthPacket = { type: PacketType.Auth, reasonCode }
  put(packet, 'authenticationMethod', block.text(Property.AuthenticationMethod))
  put(packet, 'authenticationData', block.binary(Property.AuthenticationData))
  put(packet, 'reasonString', block.text(Property.ReasonString))
  put(packet, 'userProperties', block.userProperties)
  return packet
}

function put<T extends object, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  if (value !== undefined) target[key] = value
}

function readReasonCode(cursor: Cursor, type: number, packet: string): number {
  const code = cursor.byte('Reason Code')
  if (isReasonCodeOf(type, code, true)) return code
  throw protocolError(`${packet} has Reason Code ${code}, which a client does not send in it`)
}
