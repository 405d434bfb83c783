import {
  checkNames,
  givenBoolean,
  givenBytes,
  givenInteger,
  givenString,
  givenUserProperties,
  invalidValue,
  readFields,
  unreadable,
} from '../../ports/given-values'
import { createMessage, type Message } from '../../protocol/message'
import { encodeMessageProperties } from '../../protocol/message-properties'
import { MqttError } from '../../protocol/mqtt-error'
import { LARGEST_PACKET } from '../../protocol/output'
import type { MessageProperties, QoS } from '../../protocol/packet'
import { topicNameError } from '../../protocol/topic'
import { isUtf8Payload } from '../../protocol/utf8'
import type { BrokerSettings } from '../wire/settings'

/** A message that the application publishes. */
export interface PublishOptions {
  topic: string
  /**
   * A string is sent as UTF-8. Of a typed array, a DataView or a buffer the bytes are sent as they lie in memory. It is
   * copied before `publish` returns. Default: empty.
   */
  payload?: string | ArrayBufferView | ArrayBufferLike
  /** Default: 0. */
  qos?: QoS
  /** Default: false. */
  retain?: boolean
  /** MQTT 5.0 properties. */
  properties?: MessageProperties
  /** Where the message comes from, such as the name of a bridge: subscribers of the application see it, clients do not. */
  origin?: string
}

const optionNames = ['topic', 'payload', 'qos', 'retain', 'properties', 'origin'] as const

const propertyNames = [
  'payloadFormatIndicator',
  'messageExpiryInterval',
  'contentType',
  'responseTopic',
  'correlationData',
  'userProperties',
] as const

/**
 * Of the largest packet: five bytes of fixed header, the length of the topic, the Packet Identifier, the length of the
 * properties, Message Expiry Interval, Topic Alias.
 */
const OVERHEAD = 5 + 2 + 2 + 4 + 5 + 3

const noProperties: MessageProperties = Object.freeze({})
const noBlock = new Uint8Array(0)

/** With the flag u, a pair is one character and does not match. */
const loneSurrogate = /\p{Surrogate}/u

/** The message that `publish` is given, checked and copied. Throws MqttError. */
export function givenMessage(given: unknown, settings: BrokerSettings): Message {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw invalidValue('publish', 'an object', given)
  let fields: { [name in (typeof optionNames)[number]]: unknown }
  try {
    checkNames('publish', given, optionNames)
    const { topic, payload = '', qos = 0, retain = false, properties, origin } = given as { [name: string]: unknown }
    fields = { topic, payload, qos, retain, properties, origin }
  } catch (cause) {
    throw unreadable('publish', cause)
  }
  const { topic, payload, qos, retain, properties, origin } = fields
  const name = givenTopicName('topic', topic, settings.maximumTopicLevels)
  if (qos !== 0 && qos !== 1 && qos !== 2) throw invalidValue('qos', '0, 1 or 2', qos)
  const isRetained = givenBoolean('retain', retain)
  if (isRetained && !settings.retainAvailable)
    throw new MqttError('GNATMQ_RETAIN_NOT_SUPPORTED', 'retain is true where retainAvailable is false')
  const message = properties === undefined ? noProperties : givenProperties(properties)
  const block = message === noProperties ? noBlock : encodeMessageProperties(message)
  const bytes = givenPayload(payload, LARGEST_PACKET - OVERHEAD - Buffer.byteLength(name) - block.length)
  if (message.payloadFormatIndicator === 1 && !isUtf8Payload(bytes, 0, bytes.length))
    throw new MqttError('GNATMQ_PAYLOAD_FORMAT_INVALID', 'payloadFormatIndicator is 1, and the payload is not UTF-8')
  const interval = message.messageExpiryInterval
  const expiresAt = interval === undefined ? 0 : settings.clock.now() + interval * 1000
  const accepted = createMessage(name, bytes, block, qos, isRetained, expiresAt, undefined)
  if (origin !== undefined) accepted.origin = givenString('origin', origin)
  return accepted
}

function givenTopicName(what: string, value: unknown, maximumLevels: number): string {
  if (typeof value !== 'string') throw invalidValue(what, 'a string', value)
  const error = topicNameError(value, maximumLevels)
  if (error !== undefined) throw new MqttError('GNATMQ_TOPIC_NAME_INVALID', `${what}: ${error}`)
  return value
}

function givenPayload(value: unknown, maximum: number): Buffer {
  if (typeof value !== 'string') {
    if (typeof value !== 'object' || value === null)
      throw invalidValue('payload', 'a string, a typed array, a DataView or an ArrayBuffer', value)
    return givenBytes('payload', value, maximum)
  }
  const length = Buffer.byteLength(value)
  if (length > maximum)
    throw new MqttError('GNATMQ_PACKET_TOO_LARGE', `payload has ${length} bytes, ${maximum} are the most`)
  // Buffer would write U+FFFD in its place
  if (length !== value.length && loneSurrogate.test(value))
    throw new MqttError('GNATMQ_OPTION_INVALID', 'payload holds a lone surrogate, which UTF-8 cannot carry')
  return Buffer.from(value)
}

function givenProperties(given: unknown): MessageProperties {
  const fields = readFields('properties', given, propertyNames)
  const properties: MessageProperties = {}
  const { payloadFormatIndicator, messageExpiryInterval, contentType, responseTopic } = fields
  const { correlationData, userProperties } = fields
  if (payloadFormatIndicator !== undefined) {
    if (payloadFormatIndicator !== 0 && payloadFormatIndicator !== 1)
      throw invalidValue('properties.payloadFormatIndicator', '0 or 1', payloadFormatIndicator)
    properties.payloadFormatIndicator = payloadFormatIndicator
  }
  if (messageExpiryInterval !== undefined)
    properties.messageExpiryInterval = givenInteger(
      'properties.messageExpiryInterval',
      messageExpiryInterval,
      0,
      0xffffffff,
    )
  if (contentType !== undefined) properties.contentType = givenString('properties.contentType', contentType)
  if (responseTopic !== undefined)
    properties.responseTopic = givenTopicName('properties.responseTopic', responseTopic, Number.POSITIVE_INFINITY)
  if (correlationData !== undefined)
    properties.correlationData = givenBinary('properties.correlationData', correlationData)
  if (userProperties !== undefined)
    properties.userProperties = givenUserProperties('properties.userProperties', userProperties)
  return properties
}

/** Binary Data has a length of two bytes (MQTT 5.0 section 1.5.6). */
function givenBinary(what: string, value: unknown): Buffer {
  const bytes = givenBytes(what, value, LARGEST_PACKET)
  if (bytes.length > 65_535)
    throw new MqttError('GNATMQ_OPTION_INVALID', `${what} has ${bytes.length} bytes, 65,535 are the most: shorten it`)
  return bytes
}
