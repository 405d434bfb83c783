import type { QueueEntry } from '../../ports/store'

/** What a queue entry of the store counts for in the bounds: the same as `deliveryBytes` of its message. */
export function entryBytes({ message }: QueueEntry): number {
  return message.payload.length + (message.properties?.length ?? 0) + Buffer.byteLength(message.topic)
}
