import type {
  QueueEntry,
  StoredMessage,
  StoredSession,
  StoredShare,
  StoredSubscription,
  StoredWill,
} from '../../ports/store'
import type { QoS } from '../../protocol/packet'
import { RecordReader, RecordWriter } from './record-bytes'

// A field that is added to the port has to be added here, or the compiler refuses one of these lines.
type Complete<T, Known extends string> = Exclude<keyof T, Known> extends never ? Known : never
type SessionFields = Complete<StoredSession, 'clientId' | 'username' | 'expiryInterval' | 'disconnectedAt' | 'will'>
type WillFields = Complete<StoredWill, 'message' | 'retain' | 'delayInterval' | 'messageExpiryInterval'>
type SubscriptionFields = Complete<
  StoredSubscription,
  'filter' | 'qos' | 'noLocal' | 'retainAsPublished' | 'retainHandling' | 'subscriptionIdentifier' | 'replayAfter'
>
type MessageFields = Complete<StoredMessage, 'topic' | 'payload' | 'qos' | 'properties' | 'expiresAt'>

/** A session's head, and the number that represents it in every other key. */
export interface SessionRecord {
  readonly number: number
  readonly session: Pick<StoredSession, SessionFields>
}

/** What is counted of a session, so that its queue need not be walked through. */
export interface SessionCounters {
  queuedMessages: number
  /** Bytes of payload. */
  queuedBytes: number
  lastPosition: number
}

/** An entry of a queue, with the number of its message instead of the message. */
export interface QueueRecord {
  readonly message: number
  readonly payloadLength: number
  readonly qos: QoS
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
  readonly packetIdentifier: number
  readonly received: boolean
  readonly share: StoredShare | undefined
}

export function encodeSession({ number, session }: SessionRecord): Buffer {
  const { clientId, username, expiryInterval, disconnectedAt, will } = session
  const record = new RecordWriter(64 + clientId.length + (username?.length ?? 0))
  record.number(number).text(clientId).uint32(expiryInterval).number(disconnectedAt)
  record.uint8((username === undefined ? 0 : 1) | (will === undefined ? 0 : 2))
  if (username !== undefined) record.text(username)
  if (will !== undefined) writeWill(record, will)
  return record.finish()
}

export function decodeSession(bytes: Buffer): SessionRecord {
  const record = new RecordReader(bytes)
  const number = record.number()
  const clientId = record.text()
  const expiryInterval = record.uint32()
  const disconnectedAt = record.number()
  const flags = record.uint8()
  const username = flags & 1 ? record.text() : undefined
  const will = flags & 2 ? readWill(record) : undefined
  return { number, session: { clientId, username, expiryInterval, disconnectedAt, will } }
}

export const sessionNumber = (bytes: Buffer): number => new RecordReader(bytes).number()

export function encodeSubscription(subscription: Pick<StoredSubscription, SubscriptionFields>): Buffer {
  const { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier, replayAfter } = subscription
  const flags = qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4)
  const record = new RecordWriter(20 + filter.length + (replayAfter?.length ?? 0))
  record
    .uint8(flags | (replayAfter === undefined ? 0 : 64))
    .uint32(subscriptionIdentifier)
    .text(filter)
  // at the end, where a version that does not know it does not look
  if (replayAfter !== undefined) record.text(replayAfter)
  return record.finish()
}

export function decodeSubscription(bytes: Buffer): StoredSubscription {
  const record = new RecordReader(bytes)
  const flags = record.uint8()
  const subscriptionIdentifier = record.uint32()
  const subscription = {
    filter: record.text(),
    qos: (flags & 3) as QoS,
    noLocal: (flags & 4) !== 0,
    retainAsPublished: (flags & 8) !== 0,
    retainHandling: ((flags >> 4) & 3) as 0 | 1 | 2,
    subscriptionIdentifier,
  }
  return flags & 64 ? { ...subscription, replayAfter: record.text() } : subscription
}

export function encodeCounters({ queuedMessages, queuedBytes, lastPosition }: SessionCounters): Buffer {
  return new RecordWriter(24).number(queuedMessages).number(queuedBytes).number(lastPosition).finish()
}

export function decodeCounters(bytes: Buffer): SessionCounters {
  const record = new RecordReader(bytes)
  return { queuedMessages: record.number(), queuedBytes: record.number(), lastPosition: record.number() }
}

export function queueRecord(entry: QueueEntry, message: number): QueueRecord {
  const { qos, retain, subscriptionIdentifiers, packetIdentifier, received, share } = entry
  const payloadLength = entry.message.payload.length
  return { message, payloadLength, qos, retain, subscriptionIdentifiers, packetIdentifier, received, share }
}

export function encodeQueueRecord(entry: QueueRecord): Buffer {
  const record = new RecordWriter(18 + 4 * entry.subscriptionIdentifiers.length)
  record.number(entry.message).uint32(entry.payloadLength)
  const { share } = entry
  const shareFlags = share === undefined ? 0 : share.retain ? 48 : 16
  record.uint8(entry.qos | (entry.retain ? 4 : 0) | (entry.received ? 8 : 0) | shareFlags)
  record.uint16(entry.packetIdentifier).uint16(entry.subscriptionIdentifiers.length)
  for (const identifier of entry.subscriptionIdentifiers) record.uint32(identifier)
  // at the end, where a version that does not know of it does not look
  if (share !== undefined) record.text(share.filter)
  return record.finish()
}

export function decodeQueueRecord(bytes: Buffer): QueueRecord {
  const record = new RecordReader(bytes)
  const message = record.number()
  const payloadLength = record.uint32()
  const flags = record.uint8()
  const packetIdentifier = record.uint16()
  const subscriptionIdentifiers = Array.from({ length: record.uint16() }, () => record.uint32())
  return {
    message,
    payloadLength,
    qos: (flags & 3) as QoS,
    retain: (flags & 4) !== 0,
    received: (flags & 8) !== 0,
    packetIdentifier,
    subscriptionIdentifiers,
    share: flags & 16 ? { filter: record.text(), retain: (flags & 32) !== 0 } : undefined,
  }
}

/** What the census counts of an entry. */
export function queuedMessage(bytes: Buffer): { message: number; payloadLength: number } {
  const record = new RecordReader(bytes)
  return { message: record.number(), payloadLength: record.uint32() }
}

/** A record that says all by being there. */
export const encodeNothing = (): Buffer => new RecordWriter(0).finish()

export function encodeMessage(message: Pick<StoredMessage, MessageFields>): Buffer {
  const record = new RecordWriter(
    32 + message.topic.length + message.payload.length + (message.properties?.length ?? 0),
  )
  writeMessage(record, message)
  return record.finish()
}

export const decodeMessage = (bytes: Buffer): StoredMessage => readMessage(new RecordReader(bytes))

/** A record that is one number: how many refer to a message, the message of a topic. */
export const encodeNumber = (value: number): Buffer => new RecordWriter(8).number(value).finish()

export const decodeNumber = (bytes: Buffer): number => new RecordReader(bytes).number()

function writeMessage(record: RecordWriter, message: Pick<StoredMessage, MessageFields>): void {
  const { topic, payload, qos, properties, expiresAt } = message
  record.uint8(qos | (properties === undefined ? 0 : 4) | (expiresAt === undefined ? 0 : 8)).text(topic)
  if (properties !== undefined) record.block(properties)
  if (expiresAt !== undefined) record.number(expiresAt)
  record.block(payload)
}

function readMessage(record: RecordReader): StoredMessage {
  const flags = record.uint8()
  const topic = record.text()
  const properties = flags & 4 ? record.block() : undefined
  const expiresAt = flags & 8 ? record.number() : undefined
  return { topic, payload: record.block(), qos: (flags & 3) as QoS, properties, expiresAt }
}

function writeWill(record: RecordWriter, will: Pick<StoredWill, WillFields>): void {
  const { messageExpiryInterval: expiry } = will
  record.uint32(will.delayInterval).uint8((will.retain ? 1 : 0) | (expiry === undefined ? 0 : 2))
  if (expiry !== undefined) record.uint32(expiry)
  writeMessage(record, will.message)
}

function readWill(record: RecordReader): StoredWill {
  const delayInterval = record.uint32()
  const flags = record.uint8()
  const messageExpiryInterval = flags & 2 ? record.uint32() : undefined
  return { delayInterval, retain: (flags & 1) !== 0, messageExpiryInterval, message: readMessage(record) }
}
