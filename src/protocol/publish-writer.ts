import { copyBytes, type Output } from './output'
import type { PublishEnvelope } from './publish-envelope'
import type { PublishSource } from './publish-source'
import { variableByteIntegerLength, writeVariableByteInteger } from './variable-byte-integer'

/** Payloads of at least this many bytes are sent as they lie, not copied, where they lie still. */
const ATTACH_BYTES = 16 * 1024

/**
 * Writes a PUBLISH for one receiver. Returns false, and writes nothing, when the packet would be larger than the
 * receiver's Maximum Packet Size [MQTT-3.1.2-24].
 */
export function writePublish(output: Output, source: PublishSource, envelope: PublishEnvelope): boolean {
  const v5 = output.version === 5
  const topicLength = envelope.omitTopic ? 0 : source.topicEnd - source.topicStart
  const payloadLength = source.payloadEnd - source.payloadStart
  const identified = (envelope.flags & 6) !== 0
  const extra = v5 ? extraPropertyLength(envelope) : 0
  const propertyLength = v5 ? source.propertiesEnd - source.propertiesStart + extra : 0
  const propertyLengthBytes = v5 ? variableByteIntegerLength(propertyLength) : 0
  const remaining = 2 + topicLength + (identified ? 2 : 0) + propertyLengthBytes + propertyLength + payloadLength
  const size = 1 + variableByteIntegerLength(remaining) + remaining
  if (size > output.maximumPacketSize) return false
  const attach = payloadLength >= ATTACH_BYTES && source.stable
  let at = output.take(attach ? size - payloadLength : size)
  const bytes = output.bytes
  bytes[at++] = 0x30 | envelope.flags
  at = writeVariableByteInteger(bytes, at, remaining)
  bytes[at++] = topicLength >> 8
  bytes[at++] = topicLength & 255
  if (topicLength > 0) copyBytes(bytes, at, source.topicBytes, source.topicStart, source.topicEnd)
  at += topicLength
  if (identified) {
    bytes[at++] = envelope.packetIdentifier >> 8
    bytes[at++] = envelope.packetIdentifier & 255
  }
  if (v5) {
    at = writeVariableByteInteger(bytes, at, propertyLength)
    copyBytes(bytes, at, source.bytes, source.propertiesStart, source.propertiesEnd)
    at += propertyLength - extra
    if (extra > 0) at = writeExtraProperties(bytes, at, envelope)
  }
  if (attach) output.attach(source.bytes.subarray(source.payloadStart, source.payloadEnd))
  else copyBytes(bytes, at, source.bytes, source.payloadStart, source.payloadEnd)
  return true
}

function extraPropertyLength(envelope: PublishEnvelope): number {
  let length = 0
  if (envelope.messageExpiryInterval >= 0) length += 5
  if (envelope.topicAlias !== 0) length += 3
  const identifiers = envelope.subscriptionIdentifiers
  for (let i = 0; i < identifiers.length; i++) length += 1 + variableByteIntegerLength(identifiers[i]!)
  return length
}

function writeExtraProperties(bytes: Uint8Array, at: number, envelope: PublishEnvelope): number {
  if (envelope.messageExpiryInterval >= 0) {
    const seconds = envelope.messageExpiryInterval
    bytes[at++] = 0x02
    bytes[at++] = seconds >>> 24
    bytes[at++] = (seconds >>> 16) & 255
    bytes[at++] = (seconds >>> 8) & 255
    bytes[at++] = seconds & 255
  }
  if (envelope.topicAlias !== 0) {
    bytes[at++] = 0x23
    bytes[at++] = envelope.topicAlias >> 8
    bytes[at++] = envelope.topicAlias & 255
  }
  const identifiers = envelope.subscriptionIdentifiers
  for (let i = 0; i < identifiers.length; i++) {
    bytes[at++] = 0x0b
    at = writeVariableByteInteger(bytes, at, identifiers[i]!)
  }
  return at
}

/**
 * Copies a PUBLISH of QoS 1 or 2 unchanged, with another identifier and other flags: the straight way from one
 * client to another of the same protocol version. False when it is too large for the receiver.
 */
export function forwardPublish(
  output: Output,
  bytes: Uint8Array,
  start: number,
  end: number,
  identifierAt: number,
  flags: number,
  packetIdentifier: number,
): boolean {
  const size = end - start
  if (size > output.maximumPacketSize) return false
  const at = output.take(size)
  const target = output.bytes
  copyBytes(target, at, bytes, start, end)
  target[at] = 0x30 | flags
  const identifier = at + identifierAt - start
  target[identifier] = packetIdentifier >> 8
  target[identifier + 1] = packetIdentifier & 255
  return true
}
