import {
  type AuthProperties,
  type ConnackProperties,
  type DisconnectProperties,
  PacketType,
  type ProtocolVersion,
  type ReasonProperties,
} from './packet'
import { answerOrder, sizeOfProperties, writeProperties } from './property-writer'
import { reasonCodeOf } from './reason-code-table'
import { variableByteIntegerLength, writeVariableByteInteger } from './variable-byte-integer'

// Written by hand: mqtt-packet's writer keeps User Properties in an object, which loses their order, and makes a table of 65,536
// buffers when it writes its first number. Each packet of
// MQTT 5.0 leaves with a Reason Code of its own table, whatever it is given [MQTT-3.2.2-8, -3.4.2-1, -3.14.2-1 …].

/** PINGRESP. Shared: not to be written to. */
export const pingresp: Uint8Array = Uint8Array.of(PacketType.Pingresp << 4, 0)

interface AnswerProperties extends ConnackProperties, DisconnectProperties, AuthProperties {}

/**
 * CONNACK. `code` is a Reason Code in MQTT 5.0 and a return code before. A refusal never says that a session is present
 * [MQTT-3.2.2-4], and MQTT 3.1 does not know the flag.
 */
export function encodeConnack(
  version: ProtocolVersion,
  sessionPresent: boolean,
  code: number,
  properties: ConnackProperties = {},
): Uint8Array {
  const flags = sessionPresent && version !== 3 && code === 0 ? 1 : 0
  if (version !== 5) return Uint8Array.of(PacketType.Connack << 4, 2, flags, code)
  return withProperties(PacketType.Connack, [flags, reasonCodeOf(PacketType.Connack, code)], properties, [])
}

/** SUBACK. `codes` has one Reason Code for each filter, in order; before MQTT 5.0 a failure is 0x80. */
export function encodeSuback(
  version: ProtocolVersion,
  packetIdentifier: number,
  codes: ArrayLike<number>,
  properties: ReasonProperties = {},
): Uint8Array {
  if (version === 5)
    return withProperties(PacketType.Suback, uint16(packetIdentifier), properties, codesOf(PacketType.Suback, codes))
  const remaining = 2 + codes.length
  const bytes = Buffer.allocUnsafe(1 + variableByteIntegerLength(remaining) + remaining)
  bytes[0] = PacketType.Suback << 4
  let offset = writeVariableByteInteger(bytes, 1, remaining)
  bytes[offset++] = packetIdentifier >> 8
  bytes[offset++] = packetIdentifier & 0xff
  // [MQTT-3.9.3-2]: 0, 1, 2 and 0x80 are all that there is
  for (let i = 0; i < codes.length; i++) bytes[offset++] = codes[i]! > 2 ? 0x80 : codes[i]!
  return bytes
}

/** UNSUBACK. Before MQTT 5.0 it has no codes. */
export function encodeUnsuback(
  version: ProtocolVersion,
  packetIdentifier: number,
  codes: ArrayLike<number>,
  properties: ReasonProperties = {},
): Uint8Array {
  if (version !== 5) return Uint8Array.of(PacketType.Unsuback << 4, 2, packetIdentifier >> 8, packetIdentifier & 0xff)
  return withProperties(PacketType.Unsuback, uint16(packetIdentifier), properties, codesOf(PacketType.Unsuback, codes))
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP with properties, MQTT 5.0 only. `first` is the packet's first byte. */
export function encodeAcknowledgement(
  first: number,
  packetIdentifier: number,
  reasonCode: number,
  properties: ReasonProperties,
): Uint8Array {
  const code = reasonCodeOf(first >> 4, reasonCode)
  const bytes = withProperties(first >> 4, [packetIdentifier >> 8, packetIdentifier & 0xff, code], properties, [])
  bytes[0] = first
  return bytes
}

/** DISCONNECT of a server, MQTT 5.0 only: before, a server just closes the connection. */
export function encodeDisconnect(reasonCode: number, properties: DisconnectProperties = {}): Uint8Array {
  return withProperties(PacketType.Disconnect, [reasonCodeOf(PacketType.Disconnect, reasonCode)], properties, [])
}

/** The same; what explains it is left out where the client could not take it [MQTT-3.14.2-3]. */
export function encodeDisconnectWithin(
  maximumPacketSize: number,
  reasonCode: number,
  properties: DisconnectProperties,
): Uint8Array {
  const packet = encodeDisconnect(reasonCode, properties)
  return packet.length <= maximumPacketSize ? packet : encodeDisconnect(reasonCode)
}

/** AUTH, MQTT 5.0 only. */
export function encodeAuth(reasonCode: number, properties: AuthProperties = {}): Uint8Array {
  return withProperties(PacketType.Auth, [reasonCodeOf(PacketType.Auth, reasonCode)], properties, [])
}

const uint16 = (value: number): number[] => [value >> 8, value & 0xff]

/** Most of many codes are the same: each is looked up where it differs from the one before. */
function codesOf(type: number, codes: ArrayLike<number>): Uint8Array {
  const known = new Uint8Array(codes.length)
  let last = -1
  let result = 0
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]!
    if (code !== last) {
      last = code
      result = reasonCodeOf(type, code)
    }
    known[i] = result
  }
  return known
}

function withProperties(
  type: number,
  head: readonly number[],
  properties: AnswerProperties,
  tail: ArrayLike<number>,
): Uint8Array {
  const given = sizeOfProperties(properties, answerOrder)
  const remaining = head.length + variableByteIntegerLength(given) + given + tail.length
  const bytes = Buffer.allocUnsafe(1 + variableByteIntegerLength(remaining) + remaining)
  bytes[0] = type << 4
  let offset = writeVariableByteInteger(bytes, 1, remaining)
  for (const byte of head) bytes[offset++] = byte
  offset = writeVariableByteInteger(bytes, offset, given)
  offset = writeProperties(bytes, offset, properties, answerOrder)
  for (let i = 0; i < tail.length; i++) bytes[offset++] = tail[i]!
  return bytes
}
