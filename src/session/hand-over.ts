import type { Delivery } from './delivery'
import { InflightState } from './inflight'
import type { Session } from './session'

/**
 * Takes out of an offline session what another member of a shared group may have: what is queued, and QoS 1 that is
 * not acknowledged. QoS 2 that was sent stays: nobody else may get it [MQTT-4.8.2-5].
 */
export function takeShared(session: Session, wanted: (delivery: Delivery) => boolean): Delivery[] {
  const taken: Delivery[] = []
  const { inflight, queue } = session
  if (inflight !== null) {
    for (const { identifier, state, delivery } of inflight.inOrder()) {
      const movable = state === InflightState.Puback || state === InflightState.Commit
      if (!movable || delivery.origin === null || !wanted(delivery)) continue
      inflight.remove(identifier)
      taken.push(delivery)
    }
  }
  if (queue !== null && queue.length > 0)
    // one by one: a long queue is more than a call takes arguments
    for (const delivery of queue.removeWhere((queued) => queued.origin !== null && wanted(queued))) taken.push(delivery)
  if (session.journal !== null) for (const delivery of taken) session.journal.dequeue(session, delivery)
  return taken
}
