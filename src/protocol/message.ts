import { HEAP_BYTES } from '../memory/cost'
import { ownBuffer, ownBytes, ownTextBytes } from '../memory/own'
import { decodeMessageProperties, encodeMessageProperties } from './message-properties'
import { copyBytes } from './output'
import type { MessageProperties, QoS } from './packet'
import type { PublishSource } from './publish-source'

const nothing = Buffer.alloc(0)
/** Node puts what is not larger into a slab. */
const SLAB_BYTES = 4096

/** An application message that outlives its packet. One object is shared by all receivers and queues, so it never changes. */
export class Message implements PublishSource {
  readonly topic: string
  readonly topicBytes: Uint8Array
  readonly topicStart = 0
  readonly topicEnd: number
  /** Only `own` replaces them, by their copy. */
  bytes: Buffer
  readonly propertiesStart = 0
  readonly propertiesEnd: number
  readonly payloadStart: number
  readonly payloadEnd: number
  readonly stable = true
  readonly qos: QoS
  /** The RETAIN flag that it was published with. */
  readonly retain: boolean
  /** `clock.now()` when it expires, 0 if never (MQTT 5.0 section 3.3.2.3.3). */
  readonly expiresAt: number
  /** The Client Identifier of its publisher; undefined for the application itself. */
  readonly publisher: string | undefined
  /** Where it entered, when that was another broker: undefined for this broker's clients and its application. */
  origin: string | undefined = undefined
  /** Kept by the retained messages: it grows with each of them; 0 for a message that was never one. */
  retainedOrder = 0
  /** Its bytes as a retained message, with the nodes made for its topic. Set by RetainedMessages. */
  retainedCost = 0
  /** Its place among the retained messages that expire, kept by them; -1 while it is not one of them. */
  expiryIndex = -1
  /**
   * What a store is given of it: made once, so that a store can see that several queues hold the same. A field, because
   * a WeakMap of a hundred thousand messages costs the garbage collector more than all the rest.
   * @internal
   */
  stored: object | null = null

  /** Whether its bytes are its own, or lie in a slab beside others. */
  private isOwner: boolean

  /** `bytes` is taken over: the property block's content up to `payloadStart`, then the payload. */
  constructor(
    topic: string,
    topicBytes: Uint8Array,
    bytes: Buffer,
    payloadStart: number,
    qos: QoS,
    retain: boolean,
    expiresAt: number,
    publisher: string | undefined,
    isOwner: boolean,
  ) {
    this.topic = topic
    this.topicBytes = topicBytes
    this.topicEnd = topicBytes.length
    this.bytes = bytes
    this.propertiesEnd = payloadStart
    this.payloadStart = payloadStart
    this.payloadEnd = bytes.length
    this.qos = qos
    this.retain = retain
    this.expiresAt = expiresAt
    this.publisher = publisher
    this.isOwner = isOwner
  }

  /** The message is to be kept for longer than a turn: its bytes must not keep a slab alive that other bytes lie in. */
  own(): void {
    if (this.isOwner) return
    this.bytes = ownBytes(this.bytes)
    this.isOwner = true
  }

  get payload(): Buffer {
    return this.payloadStart === 0 ? this.bytes : this.bytes.subarray(this.payloadStart)
  }

  /** Without the expiry, which counts down: see `expiresAt`. */
  get properties(): MessageProperties {
    return this.payloadStart === 0 ? {} : decodeMessageProperties(this.bytes, 0, this.payloadStart)
  }

  /** The property block's content, or undefined if there is none. */
  get propertyBytes(): Uint8Array | undefined {
    return this.payloadStart === 0 ? undefined : this.bytes.subarray(0, this.payloadStart)
  }
}

/** A message from its parts. `payload` is not copied when there are no properties. */
export function createMessage(
  topic: string,
  payload: Uint8Array,
  properties: Uint8Array | MessageProperties | undefined,
  qos: QoS,
  retain: boolean,
  expiresAt: number,
  publisher: string | undefined,
): Message {
  const block =
    properties === undefined
      ? nothing
      : properties instanceof Uint8Array
        ? properties
        : encodeMessageProperties(properties)
  const bytes = block.length === 0 ? asBuffer(payload) : Buffer.concat([block, payload])
  return new Message(topic, ownTextBytes(topic), bytes, block.length, qos, retain, expiresAt, publisher, false)
}

/** Copies what is in the read buffer. `topic` and `topicBytes` come from the route, which outlives it. */
export function copyMessage(
  source: PublishSource,
  topic: string,
  topicBytes: Uint8Array,
  qos: QoS,
  retain: boolean,
  expiresAt: number,
  publisher: string | undefined,
): Message {
  const propertyLength = source.propertiesEnd - source.propertiesStart
  const payloadLength = source.payloadEnd - source.payloadStart
  const length = propertyLength + payloadLength
  const isOwner = length <= HEAP_BYTES || length > SLAB_BYTES
  const bytes = isOwner ? ownBuffer(length) : Buffer.allocUnsafe(length)
  copyBytes(bytes, 0, source.bytes, source.propertiesStart, source.propertiesEnd)
  copyBytes(bytes, propertyLength, source.bytes, source.payloadStart, source.payloadEnd)
  return new Message(topic, topicBytes, bytes, propertyLength, qos, retain, expiresAt, publisher, isOwner)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
