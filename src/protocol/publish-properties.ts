import { Cursor } from './cursor'
import { MqttError, malformed, protocolError } from './mqtt-error'
import { Carrier, checkUserProperties, Property, propertyRow, readPropertyBlock, skipValue } from './properties'
import { hasWildcardByte } from './topic'
import { isWellFormedUtf8 } from './utf8'

/**
 * What a scan finds in the property block of a PUBLISH. One object serves for all packets. Offsets are those of the
 * scanned bytes; -1 means absent.
 */
export class PublishProperties {
  /** Nothing but properties that are forwarded unchanged [MQTT-3.3.2-4, -15, -16, -17, -20]. */
  plain = true
  /** 0: none. */
  topicAlias = 0
  /** Seconds, or -1. */
  messageExpiryInterval = -1
  /** 0, 1, or -1. */
  payloadFormatIndicator = -1
  contentTypeStart = -1
  contentTypeEnd = -1
  responseTopicStart = -1
  responseTopicEnd = -1
  correlationDataStart = -1
  correlationDataEnd = -1
  userPropertyCount = 0

  /** Says what a PUBLISH without properties says. */
  clear(): void {
    this.plain = true
    this.topicAlias = 0
    this.messageExpiryInterval = -1
    this.payloadFormatIndicator = -1
    this.contentTypeStart = -1
    this.contentTypeEnd = -1
    this.responseTopicStart = -1
    this.responseTopicEnd = -1
    this.correlationDataStart = -1
    this.correlationDataEnd = -1
    this.userPropertyCount = 0
  }
}

/**
 * Walks the content of a client's PUBLISH property block in place, from after its length to `end`, checks it, and fills
 * `found`. Throws 0x81, 0x82, 0x97 or, for Topic Alias 0, 0x94. Whether an alias is below the maximum is the session's to say.
 */
export function scanPublishProperties(bytes: Buffer, start: number, end: number, found: PublishProperties): void {
  found.clear()
  let offset = start
  while (offset < end) {
    const identifier = bytes[offset]
    if (identifier === Property.UserProperty) {
      offset = stringEnd(bytes, stringEnd(bytes, offset + 1, end), end)
      checkUserProperties(++found.userPropertyCount)
    } else {
      offset = scanSingle(bytes, offset + 1, end, identifier!, found)
    }
  }
}

/** Reads one property that may come only once; returns the offset after it. */
function scanSingle(bytes: Buffer, start: number, end: number, identifier: number, found: PublishProperties): number {
  switch (identifier) {
    case Property.PayloadFormatIndicator:
      if (found.payloadFormatIndicator !== -1) throw twice('Payload Format Indicator')
      need(start + 1, end, 'Payload Format Indicator')
      if (bytes[start]! > 1) throw protocolError(`Payload Format Indicator is ${bytes[start]}: it must be 0 or 1`)
      found.payloadFormatIndicator = bytes[start]!
      return start + 1
    case Property.MessageExpiryInterval:
      if (found.messageExpiryInterval !== -1) throw twice('Message Expiry Interval')
      need(start + 4, end, 'Message Expiry Interval')
      found.messageExpiryInterval = bytes.readUInt32BE(start)
      found.plain = false
      return start + 4
    case Property.ContentType:
      if (found.contentTypeStart !== -1) throw twice('Content Type')
      found.contentTypeEnd = stringEnd(bytes, start, end)
      found.contentTypeStart = start + 2
      return found.contentTypeEnd
    case Property.ResponseTopic:
      if (found.responseTopicStart !== -1) throw twice('Response Topic')
      found.responseTopicEnd = stringEnd(bytes, start, end)
      found.responseTopicStart = start + 2
      checkResponseTopic(bytes, found.responseTopicStart, found.responseTopicEnd)
      return found.responseTopicEnd
    case Property.CorrelationData:
      if (found.correlationDataStart !== -1) throw twice('Correlation Data')
      found.correlationDataEnd = binaryEnd(bytes, start, end)
      found.correlationDataStart = start + 2
      return found.correlationDataEnd
    case Property.TopicAlias:
      if (found.topicAlias !== 0) throw twice('Topic Alias')
      need(start + 2, end, 'Topic Alias')
      found.topicAlias = (bytes[start]! << 8) | bytes[start + 1]!
      found.plain = false
      if (found.topicAlias === 0) {
        throw new MqttError('GNATMQ_TOPIC_ALIAS_INVALID', 'Topic Alias is 0: it must be at least 1 [MQTT-3.3.2-8]')
      }
      return start + 2
    case Property.SubscriptionIdentifier:
      throw protocolError('Subscription Identifier in a PUBLISH of a client: leave it out [MQTT-3.3.4-6]')
    default:
      throw malformed(`property ${identifier} does not belong into a PUBLISH: leave it out [MQTT-2.2.2-2]`)
  }
}

function checkResponseTopic(bytes: Buffer, start: number, end: number): void {
  if (start < end && !hasWildcardByte(bytes, start, end)) return
  throw malformed('Response Topic is empty or holds a wildcard: it must be a Topic Name [MQTT-3.3.2-14]')
}

function stringEnd(bytes: Buffer, start: number, end: number): number {
  const next = binaryEnd(bytes, start, end)
  if (isWellFormedUtf8(bytes, start + 2, next)) return next
  throw malformed('a string property is not well-formed UTF-8, or holds U+0000: send it as UTF-8 [MQTT-1.5.4-1]')
}

function binaryEnd(bytes: Buffer, start: number, end: number): number {
  need(start + 2, end, 'a property')
  const next = start + 2 + ((bytes[start]! << 8) | bytes[start + 1]!)
  need(next, end, 'a property')
  return next
}

function need(next: number, end: number, property: string): void {
  if (next > end) throw malformed(`${property} is cut short: it goes beyond the property block`)
}

const twice = (property: string) => protocolError(`${property} comes twice: send it once`)

/**
 * What is forwarded of a scanned block: its content without Topic Alias, Message Expiry Interval and Subscription
 * Identifiers, everything else in its order. A copy.
 */
export function copyForwardedProperties(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start)
  const cursor = new Cursor(bytes, start, end)
  let length = 0
  while (!cursor.done) {
    const from = cursor.offset
    const identifier = cursor.byte('Property Identifier')
    skipValue(cursor, propertyRow(identifier))
    if (!isOfConnection(identifier)) length += bytes.copy(copy, length, from, cursor.offset)
  }
  return copy.subarray(0, length)
}

const isOfConnection = (identifier: number): boolean =>
  identifier === Property.TopicAlias ||
  identifier === Property.MessageExpiryInterval ||
  identifier === Property.SubscriptionIdentifier

/**
 * Checks the content of the property block of a PUBACK, PUBREC, PUBREL or PUBCOMP, from after its length to `end`:
 * Reason String once, User Property. Throws 0x81 or 0x82.
 */
export function checkAckProperties(bytes: Buffer, start: number, end: number, _type: number): void {
  if (start < end) readPropertyBlock(new Cursor(bytes, start, end), Carrier.Acknowledgement)
}
