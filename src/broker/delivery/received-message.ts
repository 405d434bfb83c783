import type { ApplicationMessage } from '../../ports/application-message'
import { decodeMessageProperties } from '../../protocol/message-properties'
import type { MessageProperties, QoS } from '../../protocol/packet'
import { keepForwardedProperties, type PublishPacket } from '../../protocol/publish-packet'

/** A message that came over a connection of the application's own, in bytes of its own. */
export class ReceivedMessage implements ApplicationMessage {
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  readonly expiresAt: number
  readonly publisher = undefined
  readonly origin = undefined
  readonly #bytes: Buffer
  readonly #propertiesStart: number
  readonly #payloadStart: number
  readonly #payloadEnd: number
  #payload: Buffer | null = null
  #properties: MessageProperties | null = null

  constructor(packet: PublishPacket, now: number) {
    const interval = packet.messageExpiryInterval
    if (interval >= 0) keepForwardedProperties(packet)
    const { bytes, payloadEnd, payloadStart, propertiesStart, topicEnd, topicStart } = packet
    this.topic = bytes.toString('utf8', topicStart, topicEnd)
    this.qos = packet.qos
    this.retain = packet.retain
    this.expiresAt = interval < 0 ? 0 : now + interval * 1000
    this.#bytes = bytes
    this.#propertiesStart = propertiesStart
    this.#payloadStart = payloadStart
    this.#payloadEnd = payloadEnd
  }

  get payload(): Buffer {
    return (this.#payload ??= Buffer.from(this.#bytes.subarray(this.#payloadStart, this.#payloadEnd)))
  }

  get properties(): MessageProperties {
    this.#properties ??=
      this.#propertiesStart === this.#payloadStart
        ? {}
        : decodeMessageProperties(this.#bytes, this.#propertiesStart, this.#payloadStart)
    return this.#properties
  }
}
