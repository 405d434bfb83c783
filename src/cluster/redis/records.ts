import type { QueueEntry, StoredMessage, StoredSession, StoredSubscription } from '../../ports/store'
import type { QoS } from '../../protocol/packet'

// Heads and subscriptions are JSON: they are written once in a connection. Messages and entries of queues are bytes.

/** Bytes before what an entry has of its own: position, flags, length of the payload. The scripts read them too. */
const ENTRY_HEAD = 13
const SHARED_BYTES = 8
const NOTHING = Buffer.alloc(0)

const Flag = { Retain: 4, Details: 8, Shared: 64 } as const
const MessageFlag = { Properties: 4, Expiry: 8 } as const

/** What an entry seldom has. */
interface EntryDetails {
  readonly ids?: readonly number[]
  readonly share?: QueueEntry['share']
}

export function encodeSession({ clientId: _, will, ...head }: StoredSession): Buffer {
  const { message, ...rest } = will ?? {}
  const kept = message === undefined ? undefined : { ...rest, message: encodeMessage(message).toString('base64') }
  return Buffer.from(JSON.stringify({ ...head, will: kept }))
}

export function decodeSession(clientId: string, record: Buffer): StoredSession {
  const head = JSON.parse(record.toString())
  const { will, username, expiryInterval, disconnectedAt } = head
  if (will === undefined) return { clientId, username, expiryInterval, disconnectedAt, will }
  const message = decodeMessage(Buffer.from(will.message, 'base64'), 0)
  const { retain, delayInterval, messageExpiryInterval } = will
  const stored = { message, retain, delayInterval, messageExpiryInterval }
  return { clientId, username, expiryInterval, disconnectedAt, will: stored }
}

export function encodeSubscription({ filter: _, ...options }: StoredSubscription): Buffer {
  return Buffer.from(JSON.stringify(options))
}

export function decodeSubscription(filter: string, record: Buffer): StoredSubscription {
  return { filter, ...JSON.parse(record.toString()) }
}

export function encodeMessage({ topic, payload, qos, properties, expiresAt }: StoredMessage): Buffer {
  const topicBytes = Buffer.from(topic)
  const block = properties ?? NOTHING
  const flags =
    qos | (properties === undefined ? 0 : MessageFlag.Properties) | (expiresAt === undefined ? 0 : MessageFlag.Expiry)
  const head = Buffer.alloc(1 + 4 + 4 + 8)
  head[0] = flags
  head.writeUInt32BE(topicBytes.length, 1)
  head.writeUInt32BE(block.length, 5)
  head.writeDoubleBE(expiresAt ?? 0, 9)
  return Buffer.concat([head, topicBytes, block, payload])
}

/** Lies in the record's own memory. */
export function decodeMessage(record: Buffer, offset: number): StoredMessage {
  const flags = record[offset]!
  const topicStart = offset + 17
  const topicEnd = topicStart + record.readUInt32BE(offset + 1)
  const payloadStart = topicEnd + record.readUInt32BE(offset + 5)
  if (payloadStart > record.length) throw new RangeError('a record is shorter than its fields')
  return {
    topic: record.toString('utf8', topicStart, topicEnd),
    payload: record.subarray(payloadStart),
    qos: (flags & 3) as QoS,
    properties: flags & MessageFlag.Properties ? record.subarray(topicEnd, payloadStart) : undefined,
    expiresAt: flags & MessageFlag.Expiry ? record.readDoubleBE(offset + 9) : undefined,
  }
}

/** Eight bytes that sort as their numbers do. */
export function positionKey(position: number): Buffer {
  const key = Buffer.alloc(8)
  key.writeUInt32BE(Math.floor(position / 0x1_0000_0000), 0)
  key.writeUInt32BE(position % 0x1_0000_0000, 4)
  return key
}

/** An entry without its Packet Identifier. `shared` is the number of its message where that lies elsewhere. */
export function encodeEntry(entry: QueueEntry, shared: Buffer | undefined): Buffer {
  const { message, position, qos, retain, share, subscriptionIdentifiers: ids } = entry
  const hasDetails = ids.length > 0 || share !== undefined
  const head = Buffer.alloc(ENTRY_HEAD)
  positionKey(position).copy(head)
  head[8] =
    qos | (retain ? Flag.Retain : 0) | (hasDetails ? Flag.Details : 0) | (shared === undefined ? 0 : Flag.Shared)
  head.writeUInt32BE(message.payload.length, 9)
  return Buffer.concat([
    head,
    shared ?? NOTHING,
    hasDetails ? detailsOf({ ids, share }) : NOTHING,
    shared === undefined ? encodeMessage(message) : NOTHING,
  ])
}

function detailsOf(details: EntryDetails): Buffer {
  const text = Buffer.from(JSON.stringify(details))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}

/** `message` is what lies elsewhere. */
export function decodeEntry(member: Buffer, identifier: number, received: boolean, message: Buffer): QueueEntry {
  const flags = member[8]!
  let offset = ENTRY_HEAD + (flags & Flag.Shared ? SHARED_BYTES : 0)
  let details: EntryDetails = {}
  if (flags & Flag.Details) {
    const end = offset + 4 + member.readUInt32BE(offset)
    details = JSON.parse(member.toString('utf8', offset + 4, end))
    offset = end
  }
  return {
    position: member.readUInt32BE(0) * 0x1_0000_0000 + member.readUInt32BE(4),
    message: flags & Flag.Shared ? decodeMessage(message, 0) : decodeMessage(member, offset),
    qos: (flags & 3) as QoS,
    retain: (flags & Flag.Retain) !== 0,
    subscriptionIdentifiers: details.ids ?? [],
    share: details.share,
    packetIdentifier: identifier,
    received,
  }
}
