import type { StoredWill } from '../../ports/store'
import { decodeMessageProperties, encodeMessageProperties } from '../../protocol/message-properties'
import type { WillPacket } from '../../protocol/packet'

/** A Will as a store keeps it. Its expiry counts from its publication, so the interval is kept and no deadline. */
export function storedWill(will: WillPacket): StoredWill {
  const properties = encodeMessageProperties(will.properties)
  return {
    message: {
      topic: will.topic,
      payload: will.payload,
      qos: will.qos,
      properties: properties.length === 0 ? undefined : properties,
      expiresAt: undefined,
    },
    retain: will.retain,
    delayInterval: will.willDelayInterval,
    messageExpiryInterval: will.properties.messageExpiryInterval,
  }
}

/** The Will that a store has kept. */
export function willPacket(stored: StoredWill): WillPacket {
  const { topic, payload, qos, properties } = stored.message
  const decoded = properties === undefined ? {} : decodeMessageProperties(properties, 0, properties.length)
  if (stored.messageExpiryInterval !== undefined) decoded.messageExpiryInterval = stored.messageExpiryInterval
  return { topic, payload, qos, retain: stored.retain, willDelayInterval: stored.delayInterval, properties: decoded }
}
