import type { QueueEntry } from '../../ports/store'

/** Bytes of a queue entry of the store in the bounds: the same as `deliveryBytes` of its message. */
export function entryBytes({ message }: QueueEntry): number {
  return message.payload.length + (message.properties?.length ?? 0) + Buffer.byteLength(message.topic)
}
