import type { Cursor } from './cursor'
import { MqttError, malformed, protocolError } from './mqtt-error'
import { PacketType, type ProtocolVersion, type UserProperties } from './packet'
import { Carrier, walkProperties } from './properties'
import { ReasonCode } from './reason-code'
import { isReasonCodeOf } from './reason-code-table'
import { hasWildcardByte } from './topic'

// The strict walk over a packet's bytes, before the lenient parser sees them. A packet that passes has every field in
// its place and in its range. What MQTT 3.1 leaves unused is set to zero, as the parser requires; the
// bytes are then a copy.

/** What the walk over a CONNECT keeps: the parser loses the order of User Properties. */
export interface ConnectShape {
  version: ProtocolVersion
  userProperties: UserProperties | undefined
  willUserProperties: UserProperties | undefined
}

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

/** Reads Protocol Name and Protocol Level. Throws GNATMQ_PROTOCOL_VERSION for any other. */
export function walkProtocol(cursor: Cursor): ProtocolVersion {
  const length = cursor.binary('Protocol Name')
  const name = cursor.bytes.toString('latin1', cursor.offset - length, cursor.offset)
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    throw new MqttError('GNATMQ_PROTOCOL_VERSION', 'Protocol Name is neither MQTT nor MQIsdp: connect with MQTT')
  }
  const level = cursor.byte('Protocol Level')
  if (name === 'MQIsdp' && level === 3) return 3
  if (name === 'MQTT' && (level === 4 || level === 5)) return level
  const message = `Protocol Level ${level} of ${name} is not supported: connect with MQTT 3.1, 3.1.1 or 5.0`
  throw new MqttError('GNATMQ_PROTOCOL_VERSION', message)
}

/** Walks a CONNECT from after its Protocol Level. */
export function walkConnect(cursor: Cursor, version: ProtocolVersion): ConnectShape {
  const flagsAt = cursor.offset
  const flags = cursor.byte('Connect Flags')
  checkConnectFlags(flags, version)
  cursor.uint16('Keep Alive')
  const shape: ConnectShape = { version, userProperties: undefined, willUserProperties: undefined }
  if (version === 5) shape.userProperties = walkProperties(cursor, Carrier.Connect)
  cursor.string('Client Identifier')
  if (flags & ConnectFlag.Will) {
    if (version === 5) shape.willUserProperties = walkProperties(cursor, Carrier.Will)
    walkWillTopic(cursor, version)
    cursor.binary('Will Payload')
  }
  let present = flags
  // In MQTT 3.1, Remaining Length takes precedence over the flags: what is missing is no error (3.1 section 3.1)
  if (version === 3 && cursor.done) present &= ~(ConnectFlag.Username | ConnectFlag.Password)
  if (present & ConnectFlag.Username) cursor.string('User Name')
  if (version === 3 && cursor.done) present &= ~ConnectFlag.Password
  if (present & ConnectFlag.Password) cursor.binary('Password')
  cursor.finish('CONNECT')
  if (version === 3) cursor.bytes[flagsAt] = present & ~ConnectFlag.Reserved
  return shape
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

function walkWillTopic(cursor: Cursor, version: ProtocolVersion): void {
  const length = cursor.string('Will Topic')
  if (length > 0 && !hasWildcardByte(cursor.bytes, cursor.offset - length, cursor.offset)) return
  const message = 'Will Topic is empty or holds a wildcard: it must be a Topic Name [MQTT-4.7.1-1]'
  // MQTT 3.1.1 has no return code for it: the connection is closed
  throw version === 5
    ? new MqttError('GNATMQ_TOPIC_NAME_INVALID', message, { reasonCode: ReasonCode.MalformedPacket })
    : malformed(message)
}

/** Walks what follows the fixed header of a DISCONNECT of MQTT 5.0, at least one byte; returns its User Properties. */
export function walkDisconnect(cursor: Cursor): UserProperties | undefined {
  walkReasonCode(cursor, PacketType.Disconnect, 'DISCONNECT')
  if (cursor.done) return undefined
  const userProperties = walkProperties(cursor, Carrier.Disconnect)
  cursor.finish('DISCONNECT')
  return userProperties
}

/** Walks what follows the fixed header of an AUTH, at least one byte; returns its User Properties. */
export function walkAuth(cursor: Cursor): UserProperties | undefined {
  walkReasonCode(cursor, PacketType.Auth, 'AUTH')
  const userProperties = walkProperties(cursor, Carrier.Auth)
  cursor.finish('AUTH')
  return userProperties
}

function walkReasonCode(cursor: Cursor, type: number, packet: string): void {
  const code = cursor.byte('Reason Code')
  if (isReasonCodeOf(type, code, true)) return
  throw protocolError(`${packet} has Reason Code ${code}, which a client does not send in it`)
}
