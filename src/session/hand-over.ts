import type { Delivery } from './delivery'
import { InflightState } from './inflight'
import type { Move } from './move'
import type { Session } from './session'

/**
 * Hands on what a session without a connection has of shared groups, in its order: QoS 1 that is not acknowledged, and
 * what is queued. QoS 2 that was sent stays: no other member may get it [MQTT-4.8.2-5]. So does what is not committed yet,
 * or is on its way here, and what `give` returns null for. `give` gets the Packet Identifier that a message was sent
 * with, 0 if it was not.
 */
export function handOn(session: Session, give: (delivery: Delivery, identifier: number) => Move | null): void {
  const { inflight, queue } = session
  for (const { identifier, state, delivery } of inflight?.inOrder() ?? []) {
    const wasSent = state === InflightState.Puback
    if ((!wasSent && state !== InflightState.Commit) || !isMovable(session, delivery)) continue
    const move = give(delivery, wasSent ? identifier : 0)
    if (move === null) continue
    inflight!.remove(identifier)
    session.journal?.dequeue(session, delivery, move.isOver ? null : move)
  }
  if (queue === null || queue.length === 0) return
  // out of the queue while they are given away: what waits for another session counts in the same budget
  const kept: Delivery[] = []
  for (const delivery of queue.clear()) {
    const move = isMovable(session, delivery) ? give(delivery, 0) : null
    if (move !== null) session.journal?.dequeue(session, delivery, move.isOver ? null : move)
    else kept.push(delivery)
  }
  // in front of what came meanwhile
  for (const delivery of kept.reverse()) queue.unshift(delivery)
}

function isMovable(session: Session, delivery: Delivery): boolean {
  const { move, origin, uncommitted } = delivery
  if (origin === null) return false
  if (move === null && !uncommitted) return true
  // what came to a member that was away already stays with it, so that two of them do not pass it to and fro
  if (move === null || move.wasConnected || session.ended) delivery.handOnLater = true
  return false
}
