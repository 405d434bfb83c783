import { Cursor } from './cursor'
import { MqttError, malformed, protocolError } from './mqtt-error'
import {
  PacketType,
  type ProtocolVersion,
  type QoS,
  type SubscribePacket,
  type SubscriptionRequest,
  type UnsubscribePacket,
} from './packet'
import { Carrier, Property, readProperties } from './properties'
import { ReasonCode } from './reason-code'
import { readFilterError } from './topic'

// Read where they lie, in one walk that checks and keeps every field: clients that come back after a break send these
// packets by the thousand, and a parser's own walk would cost more than all that is done with them.

/** Topic Filters in one SUBSCRIBE or UNSUBSCRIBE: a packet of 16 MiB has room for millions, and each takes a hundred times its bytes. */
const MAXIMUM_FILTERS = 100_000

/** `$share/` at the start of a filter. */
const sharePrefix = Buffer.from('$share/')

/** Reads a SUBSCRIBE from its Packet Identifier (section 3.8). Throws MqttError. */
export function readSubscribe(
  bytes: Buffer,
  bodyStart: number,
  end: number,
  version: ProtocolVersion,
): SubscribePacket {
  const reader = new SubscribeReader(bytes, bodyStart, end, version)
  reader.readSome(Number.POSITIVE_INFINITY)
  return reader.packet
}

/** Reads an UNSUBSCRIBE from its Packet Identifier (section 3.10). Throws MqttError. */
export function readUnsubscribe(
  bytes: Buffer,
  bodyStart: number,
  end: number,
  version: ProtocolVersion,
): UnsubscribePacket {
  const reader = new UnsubscribeReader(bytes, bodyStart, end, version)
  reader.readSome(Number.POSITIVE_INFINITY)
  return reader.packet
}

/** Reads a SUBSCRIBE piece by piece, from bytes that stay as they are. Everything throws MqttError. */
export class SubscribeReader {
  /** Those that have read may take what was read out of `subscriptions`. */
  readonly packet: SubscribePacket
  private count = 0
  private readonly cursor: Cursor
  private readonly version: ProtocolVersion

  constructor(bytes: Buffer, bodyStart: number, end: number, version: ProtocolVersion) {
    const cursor = new Cursor(bytes, bodyStart, end)
    this.cursor = cursor
    this.version = version
    const packetIdentifier = readPacketIdentifier(cursor, version, 'SUBSCRIBE')
    this.packet = { type: PacketType.Subscribe, packetIdentifier, subscriptions: [] }
    if (version === 5) {
      const properties = readProperties(cursor, Carrier.Subscribe)
      if (properties.userProperties !== undefined) this.packet.userProperties = properties.userProperties
      const identifier = properties.number(Property.SubscriptionIdentifier)
      if (identifier !== undefined) this.packet.subscriptionIdentifier = identifier
    }
    if (cursor.done) throw violation(version, 'SUBSCRIBE has no Topic Filter: send at least one [MQTT-3.8.3-2]')
  }

  /** Reads up to `count` filters more; false once all are read. */
  readSome(count: number): boolean {
    const { cursor, version } = this
    const { subscriptions } = this.packet
    for (let left = count; left > 0 && !cursor.done; left--) {
      checkCount(this.count++)
      subscriptions.push(readSubscription(cursor, version))
    }
    return !cursor.done
  }
}

/** The same for an UNSUBSCRIBE. */
export class UnsubscribeReader {
  readonly packet: UnsubscribePacket
  private readonly cursor: Cursor

  constructor(bytes: Buffer, bodyStart: number, end: number, version: ProtocolVersion) {
    const cursor = new Cursor(bytes, bodyStart, end)
    this.cursor = cursor
    const packetIdentifier = readPacketIdentifier(cursor, version, 'UNSUBSCRIBE')
    this.packet = { type: PacketType.Unsubscribe, packetIdentifier, filters: [] }
    const userProperties = version === 5 ? readProperties(cursor, Carrier.Unsubscribe).userProperties : undefined
    if (userProperties !== undefined) this.packet.userProperties = userProperties
    if (cursor.done) throw violation(version, 'UNSUBSCRIBE has no Topic Filter: send at least one [MQTT-3.10.3-2]')
  }

  readSome(count: number): boolean {
    const { cursor } = this
    const { filters } = this.packet
    for (let left = count; left > 0 && !cursor.done; left--) {
      checkCount(filters.length)
      filters.push(readFilter(cursor))
    }
    return !cursor.done
  }
}

function readSubscription(cursor: Cursor, version: ProtocolVersion): SubscriptionRequest {
  const filterStart = cursor.offset + 2
  const filter = readFilter(cursor)
  const filterEnd = cursor.offset
  const options = cursor.byte('Subscription Options')
  if (version === 5) {
    checkSubscriptionOptions(options, isShared(cursor.bytes, filterStart, filterEnd))
    return {
      filter,
      qos: (options & 3) as QoS,
      noLocal: (options & 4) !== 0,
      retainAsPublished: (options & 8) !== 0,
      retainHandling: ((options >> 4) & 3) as 0 | 1 | 2,
    }
  }
  if ((options & 3) === 3) throw malformed('Requested QoS is 3: it must be 0, 1 or 2 [MQTT-3.8.3-4]')
  // MQTT 3.1 leaves the other bits unused
  if (version === 4 && options & 0xfc)
    throw malformed('reserved bits of Requested QoS are set: clear them [MQTT-3.8.3-4]')
  // before MQTT 5.0, every SUBSCRIBE brings the retained messages
  return { filter, qos: (options & 3) as QoS, noLocal: false, retainAsPublished: false, retainHandling: 0 }
}

function checkSubscriptionOptions(options: number, shared: boolean): void {
  if (options & 0xc0) throw malformed('reserved bits of Subscription Options are set: clear them [MQTT-3.8.3-5]')
  if ((options & 3) === 3) throw protocolError('QoS of a subscription is 3: it must be 0, 1 or 2')
  if ((options & 0x30) === 0x30) throw protocolError('Retain Handling is 3: it must be 0, 1 or 2')
  if (shared && options & 4) {
    throw protocolError('No Local is set on a Shared Subscription: clear it [MQTT-3.8.3-4]')
  }
}

function isShared(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < sharePrefix.length || bytes[start] !== sharePrefix[0]) return false
  return bytes.compare(sharePrefix, 0, sharePrefix.length, start, start + sharePrefix.length) === 0
}

/** Does not check the number of levels: that limit is an option of the broker. */
function readFilter(cursor: Cursor): string {
  const filter = cursor.text('Topic Filter')
  const error = readFilterError(filter)
  if (error === undefined) return filter
  const reasonCode = filter.startsWith('$share/') ? ReasonCode.ProtocolError : ReasonCode.MalformedPacket
  throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error, { reasonCode })
}

function checkCount(filters: number): void {
  if (filters < MAXIMUM_FILTERS) return
  throw new MqttError(
    'GNATMQ_QUOTA_EXCEEDED',
    `more than ${MAXIMUM_FILTERS} Topic Filters in one packet: send several packets`,
  )
}

function readPacketIdentifier(cursor: Cursor, version: ProtocolVersion, packet: string): number {
  const packetIdentifier = cursor.uint16('Packet Identifier')
  if (packetIdentifier !== 0) return packetIdentifier
  throw violation(version, `${packet} has Packet Identifier 0: it must be 1 to 65,535 [MQTT-2.2.1-3]`)
}

/** MQTT 5.0 calls it a Protocol Error; before, every violation closes the connection. */
function violation(version: ProtocolVersion, message: string): MqttError {
  return version === 5 ? protocolError(message) : malformed(message)
}
