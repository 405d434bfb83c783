import type { PublishRequest } from '../../ports/hooks'
import { createMessage } from '../../protocol/message'
import { decodeMessageProperties } from '../../protocol/message-properties'
import type { MessageProperties, QoS, WillPacket } from '../../protocol/packet'
import type { PublishPacket } from '../../protocol/publish-packet'
import type { PublishSource } from '../../protocol/publish-source'

/**
 * A PublishRequest that looks at the message where it lies: in the read buffer, where one object serves for all that are
 * answered at once, or in a message that lasts.
 */
export class PublishView implements PublishRequest {
  topic = ''
  will = false
  private source: PublishSource
  /** Null once the view has a message of its own. */
  private packet: PublishPacket | null
  private flags = 0
  private messageExpiryInterval = -1

  constructor(source: PublishSource, packet: PublishPacket | null) {
    this.source = source
    this.packet = packet
  }

  /** The read buffer goes on: from now on the view shows `message`, which says the same. */
  keep(message: PublishSource): void {
    const { packet } = this
    if (packet === null) return
    this.describe(packet.first & 15, packet.messageExpiryInterval)
    this.source = message
    this.packet = null
  }

  /** `flags` are the lower half of a PUBLISH's first byte; the interval is in seconds, -1 if none. */
  describe(flags: number, messageExpiryInterval: number): void {
    this.flags = flags
    this.messageExpiryInterval = messageExpiryInterval
  }

  get qos(): QoS {
    return ((this.first >> 1) & 3) as QoS
  }

  get retain(): boolean {
    return (this.first & 1) === 1
  }

  get dup(): boolean {
    return (this.first & 8) !== 0
  }

  get payloadLength(): number {
    return this.source.payloadEnd - this.source.payloadStart
  }

  get payload(): Buffer {
    const { bytes, payloadStart, payloadEnd } = this.source
    return Buffer.from(bytes.subarray(payloadStart, payloadEnd))
  }

  get properties(): MessageProperties {
    const { bytes, propertiesStart, propertiesEnd } = this.source
    const properties =
      propertiesEnd === propertiesStart ? {} : decodeMessageProperties(bytes, propertiesStart, propertiesEnd)
    const interval = this.packet === null ? this.messageExpiryInterval : this.packet.messageExpiryInterval
    if (interval >= 0) properties.messageExpiryInterval = interval
    return properties
  }

  private get first(): number {
    return this.packet === null ? this.flags : this.packet.first
  }
}

/** A Will as `authorizePublish` sees it. */
export function willView(packet: WillPacket): PublishView {
  const { topic, payload, properties, qos, retain } = packet
  const view = new PublishView(createMessage(topic, payload, properties, qos, retain, 0, undefined), null)
  view.topic = topic
  view.will = true
  view.describe((qos << 1) | (retain ? 1 : 0), properties.messageExpiryInterval ?? -1)
  return view
}
