import type { Frame } from './frame'
import { malformed, protocolError } from './mqtt-error'
import type { ProtocolVersion, QoS } from './packet'
import { checkPropertyBytes, MAXIMUM_PUBLISH_PROPERTY_BYTES } from './properties'
import { copyForwardedProperties, PublishProperties, scanPublishProperties } from './publish-properties'
import type { PublishSource } from './publish-source'

/**
 * A PUBLISH read in place (section 3.3): offsets into the read buffer, no copy. One object serves for all packets, so
 * what it says holds until the next one is read.
 */
export class PublishPacket implements PublishSource {
  bytes: Buffer = Buffer.alloc(0)
  stable = false
  /** Offsets of the whole packet. */
  start = 0
  end = 0
  first = 0
  topicBytes: Uint8Array = this.bytes
  topicStart = 0
  topicEnd = 0
  /** 0 with QoS 0. */
  packetIdentifier = 0
  identifierAt = 0
  propertiesStart = 0
  propertiesEnd = 0
  payloadStart = 0
  payloadEnd = 0
  /** True when the packet may be forwarded unchanged to receivers of its own protocol version. */
  verbatim = false
  readonly found = new PublishProperties()

  get qos(): QoS {
    return ((this.first >> 1) & 3) as QoS
  }

  get retain(): boolean {
    return (this.first & 1) === 1
  }

  /** Seconds, or -1. */
  get messageExpiryInterval(): number {
    return this.verbatim ? -1 : this.found.messageExpiryInterval
  }

  get dup(): boolean {
    return (this.first & 8) !== 0
  }
}

/** A Topic Alias property: its identifier and two bytes. */
const ALIAS_BYTES = 3

/** Reads the PUBLISH that `frame` found. Throws MqttError for a malformed one. Does not look at the topic's characters. */
export function readPublish(
  packet: PublishPacket,
  bytes: Buffer,
  frame: Frame,
  version: ProtocolVersion,
  stable: boolean,
): void {
  const { first, body, end } = frame
  const qos = (first >> 1) & 3
  packet.bytes = bytes
  packet.topicBytes = bytes
  packet.stable = stable
  packet.start = frame.start
  packet.end = end
  packet.first = first
  if (qos === 3) throw malformed('PUBLISH with QoS 3 [MQTT-3.3.1-4]')
  if (qos === 0 && (first & 8) !== 0) throw malformed('PUBLISH with QoS 0 and DUP [MQTT-3.3.1-2]')
  const topicStart = body + 2
  let at = topicStart + ((bytes[body]! << 8) | bytes[body + 1]!)
  packet.topicStart = topicStart
  packet.topicEnd = at
  if (qos > 0) {
    packet.identifierAt = at
    packet.packetIdentifier = (bytes[at]! << 8) | bytes[at + 1]!
    at += 2
  } else packet.packetIdentifier = 0
  if (at > end || topicStart > end) throw malformed('PUBLISH that ends inside its variable header')
  if (qos > 0 && packet.packetIdentifier === 0) throw protocolError('PUBLISH with Packet Identifier 0 [MQTT-2.2.1-3]')
  packet.verbatim = true
  if (version === 5) at = readProperties(packet, bytes, at, end)
  else packet.propertiesStart = packet.propertiesEnd = at
  packet.payloadStart = at
  packet.payloadEnd = end
}

/** Returns the offset of the payload. */
function readProperties(packet: PublishPacket, bytes: Buffer, at: number, end: number): number {
  if (at >= end) throw malformed('PUBLISH without a property length')
  let length = bytes[at++]!
  if (length === 0) {
    packet.found.clear()
    packet.propertiesStart = packet.propertiesEnd = at
    return at
  }
  if (length > 127) {
    let digit = length
    length &= 127
    for (let shift = 7; digit > 127; shift += 7) {
      if (shift > 21 || at >= end) throw malformed('PUBLISH with a broken property length')
      digit = bytes[at++]!
      length |= (digit & 127) << shift
    }
    if (digit === 0) throw malformed('PUBLISH with a padded property length [MQTT-1.5.5-1]')
    checkPropertyBytes(length, MAXIMUM_PUBLISH_PROPERTY_BYTES)
  }
  if (at + length > end) throw malformed('PUBLISH with properties beyond its end')
  packet.propertiesStart = at
  packet.propertiesEnd = at + length
  scanPublishProperties(bytes, at, at + length, packet.found)
  packet.verbatim = packet.found.plain
  return at + length
}

/** Leaves only what is forwarded, where the block holds an alias or an expiry. The payload moves along. */
export function keepForwardedProperties(packet: PublishPacket): void {
  // nothing but an alias, as it comes again and again
  if (packet.found.topicAlias !== 0 && packet.propertiesEnd - packet.propertiesStart === ALIAS_BYTES) {
    packet.propertiesStart = packet.propertiesEnd
    return
  }
  const forwarded = copyForwardedProperties(packet.bytes, packet.propertiesStart, packet.propertiesEnd)
  // the block only shrinks, so it can be written over its own end: the payload stays where it is
  const start = packet.payloadStart - forwarded.length
  packet.bytes.set(forwarded, start)
  packet.propertiesStart = start
  packet.propertiesEnd = packet.payloadStart
}
