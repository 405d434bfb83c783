import { MqttError } from './mqtt-error'
import { LARGEST_PACKET } from './output'
import type {
  AuthProperties,
  ConnackProperties,
  DisconnectProperties,
  MessageProperties,
  UserProperties,
} from './packet'
import { Property, propertyRow } from './properties'
import { isEncodableString } from './utf8'

/** Every property that a server writes, but those that are written in place with a PUBLISH. */
interface WritableProperties extends MessageProperties, ConnackProperties, DisconnectProperties, AuthProperties {}

type PropertyOrder<P> = ReadonlyArray<readonly [key: keyof P & keyof WritableProperties, identifier: number]>

/** Order in which the properties of a message are written. Message Expiry Interval is written by the sender. */
export const messageOrder: PropertyOrder<MessageProperties> = [
  ['payloadFormatIndicator', Property.PayloadFormatIndicator],
  ['contentType', Property.ContentType],
  ['responseTopic', Property.ResponseTopic],
  ['correlationData', Property.CorrelationData],
  ['userProperties', Property.UserProperty],
]

/** Order in which the properties of CONNACK, SUBACK, UNSUBACK, DISCONNECT and AUTH are written. */
export const answerOrder: PropertyOrder<ConnackProperties & DisconnectProperties & AuthProperties> = [
  ['sessionExpiryInterval', Property.SessionExpiryInterval],
  ['receiveMaximum', Property.ReceiveMaximum],
  ['maximumQoS', Property.MaximumQoS],
  ['retainAvailable', Property.RetainAvailable],
  ['maximumPacketSize', Property.MaximumPacketSize],
  ['assignedClientIdentifier', Property.AssignedClientIdentifier],
  ['topicAliasMaximum', Property.TopicAliasMaximum],
  ['reasonString', Property.ReasonString],
  ['userProperties', Property.UserProperty],
  ['wildcardSubscriptionAvailable', Property.WildcardSubscriptionAvailable],
  ['subscriptionIdentifiersAvailable', Property.SubscriptionIdentifierAvailable],
  ['sharedSubscriptionAvailable', Property.SharedSubscriptionAvailable],
  ['serverKeepAlive', Property.ServerKeepAlive],
  ['responseInformation', Property.ResponseInformation],
  ['serverReference', Property.ServerReference],
  ['authenticationMethod', Property.AuthenticationMethod],
  ['authenticationData', Property.AuthenticationData],
]

/**
 * Bytes of a property block's content. Throws GNATMQ_OPTION_INVALID for a value that MQTT cannot carry, and
 * GNATMQ_PACKET_TOO_LARGE for more than a packet has room for.
 */
export function sizeOfProperties<P extends object>(properties: P, order: PropertyOrder<P>): number {
  let size = 0
  const values: WritableProperties = properties
  for (const [key, identifier] of order) {
    const value = values[key]
    if (value !== undefined) size += sizeOf(value, identifier)
  }
  if (size > LARGEST_PACKET)
    throw new MqttError('GNATMQ_PACKET_TOO_LARGE', `the properties have ${size} bytes, ${LARGEST_PACKET} are the most`)
  return size
}

/** Writes a property block's content at `offset`; returns the offset after it. */
export function writeProperties<P extends object>(
  bytes: Buffer,
  offset: number,
  properties: P,
  order: PropertyOrder<P>,
): number {
  let next = offset
  const values: WritableProperties = properties
  for (const [key, identifier] of order) {
    const value = values[key]
    if (value !== undefined) next = writeProperty(bytes, next, value, identifier)
  }
  return next
}

type PropertyValue = number | boolean | string | Uint8Array | UserProperties

function sizeOf(value: PropertyValue, identifier: number): number {
  const { type, rule } = propertyRow(identifier)
  if (type === 'string') {
    if (typeof value !== 'string') throw optionInvalid(identifier, 'is no string: give one')
    return 1 + sizeOfString(value, identifier)
  }
  if (type === 'binary') {
    if (!(value instanceof Uint8Array)) throw optionInvalid(identifier, 'is no Buffer: give one')
    return 3 + checkedLength(value.length, identifier)
  }
  if (type === 'pair') return sizeOfPairs(value, identifier)
  const width = widthOf(identifier)
  const number = typeof value === 'boolean' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number >= 2 ** (8 * width)) {
    throw optionInvalid(identifier, `is ${String(number)}: give a whole number that fits into ${width} bytes`)
  }
  if (rule === 'bit' && number > 1) throw optionInvalid(identifier, `is ${number}: it must be 0 or 1`)
  return 1 + width
}

function sizeOfPairs(value: PropertyValue, identifier: number): number {
  if (!Array.isArray(value)) throw optionInvalid(identifier, 'is no list of names and values: give [[name, value]]')
  let size = 0
  for (const pair of value) {
    if (!Array.isArray(pair) || pair.length !== 2) throw optionInvalid(identifier, 'is no name and value')
    size += 1 + sizeOfString(pair[0], identifier) + sizeOfString(pair[1], identifier)
  }
  return size
}

function sizeOfString(text: unknown, identifier: number): number {
  if (typeof text !== 'string') throw optionInvalid(identifier, 'is no string: give one')
  if (!isEncodableString(text)) throw optionInvalid(identifier, 'holds U+0000 or a lone surrogate: leave it out')
  return 2 + checkedLength(Buffer.byteLength(text), identifier)
}

function checkedLength(length: number, identifier: number): number {
  if (length > 65_535) throw optionInvalid(identifier, `has ${length} bytes, 65,535 are the most: shorten it`)
  return length
}

function widthOf(identifier: number): 1 | 2 | 4 {
  const type = propertyRow(identifier).type
  if (type === 'byte') return 1
  return type === 'uint16' ? 2 : 4
}

function optionInvalid(identifier: number, fault: string): MqttError {
  return new MqttError('GNATMQ_OPTION_INVALID', `${propertyRow(identifier).name} ${fault}`)
}

function writeProperty(bytes: Buffer, offset: number, value: PropertyValue, identifier: number): number {
  if (typeof value === 'object' && !(value instanceof Uint8Array)) {
    let next = offset
    for (const [name, text] of value) {
      bytes[next] = identifier
      next = writeString(bytes, writeString(bytes, next + 1, name), text)
    }
    return next
  }
  bytes[offset] = identifier
  if (typeof value === 'string') return writeString(bytes, offset + 1, value)
  if (value instanceof Uint8Array) {
    bytes.writeUInt16BE(value.length, offset + 1)
    bytes.set(value, offset + 3)
    return offset + 3 + value.length
  }
  return bytes.writeUIntBE(Number(value), offset + 1, widthOf(identifier))
}

function writeString(bytes: Buffer, offset: number, text: string): number {
  const length = bytes.write(text, offset + 2)
  bytes.writeUInt16BE(length, offset)
  return offset + 2 + length
}
