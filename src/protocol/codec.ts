import { checkFixedHeaderFlags, readAuth, readConnect, readDisconnect, readProtocol } from './connection-packets'
import { Cursor } from './cursor'
import { malformed, protocolError } from './mqtt-error'
import {
  type AuthPacket,
  type ClientPacket,
  type ConnectPacket,
  type DisconnectPacket,
  PacketType,
  type ProtocolVersion,
} from './packet'
import { readSubscribe, readUnsubscribe, SubscribeReader, UnsubscribeReader } from './subscription-packets'

export {
  encodeAcknowledgement,
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodeDisconnectWithin,
  encodeSuback,
  encodeUnsuback,
  pingresp,
} from './encode'
export { SubscribeReader, UnsubscribeReader } from './subscription-packets'

/**
 * Decodes one whole packet of a client, other than PUBLISH and its acknowledgements. The fixed header is at `start`, the
 * variable header at `bodyStart`, the packet ends at `end`. `version` is not looked at for CONNECT. Nothing in the result
 * points into `bytes`. Throws MqttError with the Reason Code that the specification names.
 */
export function decodePacket(
  bytes: Buffer,
  start: number,
  bodyStart: number,
  end: number,
  version: ProtocolVersion,
): ClientPacket {
  const type = bytes[start]! >> 4
  if (type === PacketType.Connect) return decodeConnect(bytes, start, bodyStart, end)
  refuseOtherTypes(type, version)
  checkFixedHeaderFlags(type, bytes[start]! & 15, version)
  switch (type) {
    case PacketType.Subscribe:
      return readSubscribe(bytes, bodyStart, end, version)
    case PacketType.Unsubscribe:
      return readUnsubscribe(bytes, bodyStart, end, version)
    case PacketType.Disconnect:
      return decodeDisconnect(bytes, bodyStart, end, version)
    case PacketType.Auth:
      return decodeAuth(bytes, bodyStart, end)
    default:
      if (bodyStart !== end) throw malformed('PINGREQ has a body: its Remaining Length must be 0')
      return { type: PacketType.Pingreq }
  }
}

/** Reads a SUBSCRIBE or UNSUBSCRIBE piece by piece, from bytes that stay as they are. Throws as `decodePacket` does. */
export function subscriptionReader(
  first: number,
  bytes: Buffer,
  bodyStart: number,
  end: number,
  version: ProtocolVersion,
): SubscribeReader | UnsubscribeReader {
  const type = first >> 4
  checkFixedHeaderFlags(type, first & 15, version)
  if (type === PacketType.Subscribe) return new SubscribeReader(bytes, bodyStart, end, version)
  return new UnsubscribeReader(bytes, bodyStart, end, version)
}

/**
 * The protocol version in which to answer a CONNECT that could not be decoded: by its name and level, as far as they can
 * be read. Levels above 5 are answered as 5.0, everything unknown as 3.1.1.
 */
export function connackVersion(bytes: Buffer, bodyStart: number, end: number): ProtocolVersion {
  if (bodyStart + 7 <= end && bytes.toString('latin1', bodyStart, bodyStart + 6) === '\0\x04MQTT') {
    return bytes[bodyStart + 6]! >= 5 && bytes[bodyStart + 6]! < 0x80 ? 5 : 4
  }
  return bodyStart + 8 <= end && bytes.toString('latin1', bodyStart, bodyStart + 8) === '\0\x06MQIsdp' ? 3 : 4
}

function refuseOtherTypes(type: number, version: ProtocolVersion): void {
  switch (type) {
    case PacketType.Subscribe:
    case PacketType.Unsubscribe:
    case PacketType.Pingreq:
    case PacketType.Disconnect:
      return
    case PacketType.Auth:
      if (version === 5) return
      throw malformed('packet type 15 is reserved before MQTT 5.0')
    case 0:
      throw malformed('packet type 0 is reserved')
    case PacketType.Publish:
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
      throw protocolError(`packet type ${type} is not read here: PUBLISH and its acknowledgements are read in place`)
    default:
      throw protocolError(`packet type ${type} comes from a client: only a server sends it`)
  }
}

function decodeConnect(bytes: Buffer, start: number, bodyStart: number, end: number): ConnectPacket {
  const cursor = new Cursor(bytes, bodyStart, end)
  const version = readProtocol(cursor)
  checkFixedHeaderFlags(PacketType.Connect, bytes[start]! & 15, version)
  return readConnect(cursor, version)
}

function decodeDisconnect(bytes: Buffer, bodyStart: number, end: number, version: ProtocolVersion): DisconnectPacket {
  if (bodyStart === end) return { type: PacketType.Disconnect, reasonCode: 0 }
  if (version !== 5) throw malformed('DISCONNECT has a body: before MQTT 5.0 its Remaining Length must be 0')
  return readDisconnect(new Cursor(bytes, bodyStart, end))
}

function decodeAuth(bytes: Buffer, bodyStart: number, end: number): AuthPacket {
  // an empty AUTH means Reason Code 0x00, which only a server sends (section 3.15.2.1)
  if (bodyStart === end)
    throw protocolError('AUTH is empty, which means Success: a client sends 0x18 or 0x19 and its Authentication Method')
  return readAuth(new Cursor(bytes, bodyStart, end))
}
