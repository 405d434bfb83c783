import type { Frame } from './frame'
import { PacketType } from './packet'
import { checkPropertyBytes, MAXIMUM_PROPERTY_BYTES, MAXIMUM_PUBLISH_PROPERTY_BYTES } from './properties'

/**
 * Looks at the Property Length of a packet of MQTT 5.0 that has not arrived whole, of which `bytes[…, limit)` is there. Throws 0x97 where it
 * promises more than there may be: what is refused in the end is not waited for, and takes no memory until then.
 */
export function checkPromisedProperties(bytes: Uint8Array, { body, end, first }: Frame, limit: number): void {
  if (end - body <= MAXIMUM_PROPERTY_BYTES || body + 2 > limit) return
  const type = first >> 4
  let at = body + 2
  if (type === PacketType.Publish) {
    at += (bytes[body]! << 8) | bytes[body + 1]!
    if ((first & 6) !== 0) at += 2
  } else if (type !== PacketType.Subscribe && type !== PacketType.Unsubscribe) return
  let length = 0
  for (let shift = 0; shift <= 21; shift += 7) {
    if (at >= limit) return
    const digit = bytes[at++]!
    length |= (digit & 127) << shift
    if (digit < 128) {
      checkPropertyBytes(length, type === PacketType.Publish ? MAXIMUM_PUBLISH_PROPERTY_BYTES : MAXIMUM_PROPERTY_BYTES)
      return
    }
  }
}
