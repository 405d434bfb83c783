import type { IAuthPacket, IConnectPacket, IDisconnectPacket } from 'mqtt-packet'
import { Cursor } from './cursor'
import { malformed, protocolError } from './mqtt-error'
import {
  type AuthPacket,
  type ClientPacket,
  type ConnectPacket,
  type ConnectProperties,
  type DisconnectPacket,
  type MessageProperties,
  PacketType,
  type ProtocolVersion,
  type UserProperties,
  type WillPacket,
} from './packet'
import { parsePacket } from './packet-parser'
import { type ConnectShape, checkFixedHeaderFlags, walkAuth, walkConnect, walkDisconnect, walkProtocol } from './shape'
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
      return decodeDisconnect(bytes, start, bodyStart, end, version)
    case PacketType.Auth:
      return decodeAuth(bytes, start, bodyStart, end)
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

/** A CONNECT's own bytes. What MQTT 3.1 leaves unused is cleared for the parser, in a copy. */
function packetBytes(bytes: Buffer, start: number, end: number, version: ProtocolVersion): Buffer {
  const packet = bytes.subarray(start, end)
  if (version !== 3) return packet
  const copy = Buffer.from(packet)
  copy[0] = PacketType.Connect << 4
  return copy
}

function decodeConnect(bytes: Buffer, start: number, bodyStart: number, end: number): ConnectPacket {
  const head = new Cursor(bytes, bodyStart, end)
  const version = walkProtocol(head)
  checkFixedHeaderFlags(PacketType.Connect, bytes[start]! & 15, version)
  const packet = packetBytes(bytes, start, end, version)
  const shape = walkConnect(new Cursor(packet, head.offset - start, packet.length), version)
  return connectPacket(parsePacket(packet, version) as IConnectPacket, shape)
}

function connectPacket(parsed: IConnectPacket, shape: ConnectShape): ConnectPacket {
  const packet: ConnectPacket = {
    type: PacketType.Connect,
    protocolName: shape.version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: shape.version,
    clean: parsed.clean === true,
    keepAlive: parsed.keepalive ?? 0,
    clientId: parsed.clientId,
    properties: connectProperties(parsed.properties, shape.userProperties),
  }
  if (parsed.username !== undefined) packet.username = parsed.username
  if (parsed.password !== undefined) packet.password = copyOf(parsed.password)
  if (parsed.will !== undefined) packet.will = willPacket(parsed.will, shape.willUserProperties)
  return packet
}

function connectProperties(
  parsed: IConnectPacket['properties'],
  userProperties: UserProperties | undefined,
): ConnectProperties {
  const properties: ConnectProperties = {}
  if (parsed === undefined) return properties
  put(properties, 'sessionExpiryInterval', parsed.sessionExpiryInterval)
  put(properties, 'receiveMaximum', parsed.receiveMaximum)
  put(properties, 'maximumPacketSize', parsed.maximumPacketSize)
  put(properties, 'topicAliasMaximum', parsed.topicAliasMaximum)
  put(properties, 'requestResponseInformation', parsed.requestResponseInformation)
  put(properties, 'requestProblemInformation', parsed.requestProblemInformation)
  put(properties, 'userProperties', userProperties)
  put(properties, 'authenticationMethod', parsed.authenticationMethod)
  put(properties, 'authenticationData', parsed.authenticationData && copyOf(parsed.authenticationData))
  return properties
}

type ParsedWill = NonNullable<IConnectPacket['will']>

function willPacket(parsed: ParsedWill, userProperties: UserProperties | undefined): WillPacket {
  return {
    topic: parsed.topic,
    payload: copyOf(parsed.payload),
    qos: parsed.qos ?? 0,
    retain: parsed.retain === true,
    willDelayInterval: parsed.properties?.willDelayInterval ?? 0,
    properties: willProperties(parsed.properties, userProperties),
  }
}

function willProperties(
  parsed: ParsedWill['properties'],
  userProperties: UserProperties | undefined,
): MessageProperties {
  const properties: MessageProperties = {}
  if (parsed === undefined) return properties
  if (parsed.payloadFormatIndicator !== undefined) {
    properties.payloadFormatIndicator = parsed.payloadFormatIndicator ? 1 : 0
  }
  put(properties, 'messageExpiryInterval', parsed.messageExpiryInterval)
  put(properties, 'contentType', parsed.contentType)
  put(properties, 'responseTopic', parsed.responseTopic)
  put(properties, 'correlationData', parsed.correlationData && copyOf(parsed.correlationData))
  put(properties, 'userProperties', userProperties)
  return properties
}

function decodeDisconnect(
  bytes: Buffer,
  start: number,
  bodyStart: number,
  end: number,
  version: ProtocolVersion,
): DisconnectPacket {
  const decoded: DisconnectPacket = { type: PacketType.Disconnect, reasonCode: 0 }
  if (bodyStart === end) return decoded
  if (version !== 5) throw malformed('DISCONNECT has a body: before MQTT 5.0 its Remaining Length must be 0')
  const userProperties = walkDisconnect(new Cursor(bytes, bodyStart, end))
  const parsed = parsePacket(bytes.subarray(start, end), 5) as IDisconnectPacket
  decoded.reasonCode = parsed.reasonCode ?? 0
  put(decoded, 'sessionExpiryInterval', parsed.properties?.sessionExpiryInterval)
  put(decoded, 'reasonString', parsed.properties?.reasonString)
  put(decoded, 'userProperties', userProperties)
  return decoded
}

function decodeAuth(bytes: Buffer, start: number, bodyStart: number, end: number): AuthPacket {
  if (bodyStart === end) {
    // an empty AUTH means Reason Code 0x00, which only a server sends (section 3.15.2.1)
    throw protocolError('AUTH is empty, which means Success: a client sends 0x18 or 0x19 and its Authentication Method')
  }
  const userProperties = walkAuth(new Cursor(bytes, bodyStart, end))
  const parsed = parsePacket(bytes.subarray(start, end), 5) as IAuthPacket
  const properties = parsed.properties
  const decoded: AuthPacket = { type: PacketType.Auth, reasonCode: parsed.reasonCode }
  put(decoded, 'authenticationMethod', properties?.authenticationMethod)
  put(decoded, 'authenticationData', properties?.authenticationData && copyOf(properties.authenticationData))
  put(decoded, 'reasonString', properties?.reasonString)
  put(decoded, 'userProperties', userProperties)
  return decoded
}

function put<T extends object, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  if (value !== undefined) target[key] = value
}

/** A copy of its own, so that a few bytes of a long-lived session pin no pool. */
function copyOf(bytes: Uint8Array | string): Buffer {
  const source = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  const copy = Buffer.allocUnsafeSlow(source.length)
  copy.set(source)
  return copy
}
