import type { QueueEntry, StoredMessage } from '../../ports/store'
import type { Delivery } from '../../session/delivery'

/** What a store keeps of a delivery; `packetIdentifier` is 0 while it waits. */
export function queueEntry(delivery: Delivery, message: StoredMessage, packetIdentifier: number): QueueEntry {
  const { origin, position, qos, retain, subscriptionIdentifiers } = delivery
  const share = origin === null ? undefined : { filter: origin.filter, retain: delivery.message.retain }
  return { position, message, qos, retain, subscriptionIdentifiers, share, packetIdentifier, received: false }
}
