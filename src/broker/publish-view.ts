import type { PublishRequest } from '../ports/hooks'
import { decodeMessageProperties } from '../protocol/message-properties'
import type { MessageProperties, QoS } from '../protocol/packet'
import type { PublishSource } from '../protocol/publish-source'

const empty: PublishSource = {
  topicBytes: Buffer.alloc(0),
  topicStart: 0,
  topicEnd: 0,
  bytes: Buffer.alloc(0),
  propertiesStart: 0,
  propertiesEnd: 0,
  payloadStart: 0,
  payloadEnd: 0,
  stable: true,
}

/** A PublishRequest that looks at the message where it lies. One object serves for all that are answered at once. */
export class PublishView implements PublishRequest {
  topic = ''
  qos: QoS = 0
  retain = false
  dup = false
  will = false
  /** Seconds, or -1. */
  messageExpiryInterval = -1
  source: PublishSource = empty

  get payloadLength(): number {
    return this.source.payloadEnd - this.source.payloadStart
  }

  get payload(): Buffer {
    const { bytes, payloadStart, payloadEnd } = this.source
    return Buffer.from(bytes.subarray(payloadStart, payloadEnd))
  }

  get properties(): MessageProperties {
    const { bytes, propertiesStart, propertiesEnd } = this.source
    const properties = propertiesEnd === propertiesStart ? {} : decodeMessageProperties(bytes, propertiesStart, propertiesEnd)
    if (this.messageExpiryInterval >= 0) properties.messageExpiryInterval = this.messageExpiryInterval
    return properties
  }
}
