import { Cursor } from './cursor'
import type { MessageProperties } from './packet'
import { Property, propertyRow, skipValue } from './properties'
import { messageOrder, sizeOfProperties, writeProperties } from './property-writer'

/**
 * The content of a property block, without its length and without Message Expiry Interval, which changes while a
 * message waits. Throws GNATMQ_OPTION_INVALID for a value that MQTT cannot carry.
 */
export function encodeMessageProperties(properties: MessageProperties): Uint8Array {
  const bytes = Buffer.allocUnsafe(sizeOfProperties(properties, messageOrder))
  writeProperties(bytes, 0, properties, messageOrder)
  return bytes
}

/**
 * The properties of a message from the content of a property block, without its length. Topic Alias and Subscription
 * Identifiers belong to a connection and are passed over. Copies everything. Throws 0x81 for a damaged block.
 */
export function decodeMessageProperties(bytes: Uint8Array, start: number, end: number): MessageProperties {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const cursor = new Cursor(buffer, start, Math.min(end, buffer.length))
  const properties: MessageProperties = {}
  let userProperties: Array<readonly [string, string]> | undefined
  while (!cursor.done) {
    const identifier = cursor.variableByteInteger('Property Identifier')
    const row = propertyRow(identifier)
    switch (identifier) {
      case Property.PayloadFormatIndicator:
        properties.payloadFormatIndicator = cursor.byte(row.name) === 1 ? 1 : 0
        break
      case Property.MessageExpiryInterval:
        properties.messageExpiryInterval = cursor.uint32(row.name)
        break
      case Property.ContentType:
        properties.contentType = cursor.text(row.name)
        break
      case Property.ResponseTopic:
        properties.responseTopic = cursor.text(row.name)
        break
      case Property.CorrelationData: {
        const length = cursor.binary(row.name)
        properties.correlationData = Buffer.from(buffer.subarray(cursor.offset - length, cursor.offset))
        break
      }
      case Property.UserProperty:
        userProperties ??= []
        userProperties.push([cursor.text(row.name), cursor.text(row.name)])
        break
      default:
        skipValue(cursor, row)
    }
  }
  if (userProperties !== undefined) properties.userProperties = userProperties
  return properties
}
