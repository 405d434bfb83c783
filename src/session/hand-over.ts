import type { Delivery } from './delivery'
import { InflightState } from './inflight'
import type { Session } from './session'

/**
 * Hands on what a session without a connection has of shared groups, in its order: QoS 1 that is not acknowledged, and
 * what is queued. QoS 2 that was sent stays: nobody else may get it [MQTT-4.8.2-5]. So does what `give` returns false for.
 */
export function handOn(session: Session, give: (delivery: Delivery) => boolean): void {
  const { inflight, queue } = session
  for (const { identifier, state, delivery } of inflight?.inOrder() ?? []) {
    const movable = state === InflightState.Puback || state === InflightState.Commit
    if (!movable || delivery.origin === null || !give(delivery)) continue
    inflight!.remove(identifier)
    session.journal?.dequeue(session, delivery)
  }
  if (queue === null || queue.length === 0) return
  // out of the queue while they are given away: what waits for another session counts in the same budget
  const kept: Delivery[] = []
  for (const delivery of queue.clear()) {
    if (delivery.origin !== null && give(delivery)) session.journal?.dequeue(session, delivery)
    else kept.push(delivery)
  }
  // in front of what came meanwhile
  for (const delivery of kept.reverse()) queue.unshift(delivery)
}
