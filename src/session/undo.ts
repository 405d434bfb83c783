import type { Delivery } from './delivery'
import { deliveryBytes } from './delivery-queue'
import { type Inflight, InflightState } from './inflight'
import type { Session } from './session'

/**
 * Takes back a delivery that was not kept. `identifier` is what it was sent with, or 0: it was queued. What was sent with
 * QoS 1 before its commit stays in flight: its client has it.
 */
export function undoDelivery(session: Session, delivery: Delivery, identifier: number): void {
  const { inflight, queue } = session
  const { position } = delivery
  if (identifier === 0 && position > session.lastLoaded) {
    // it may have expired meanwhile, and was counted off then
    if (delivery.message.expiresAt !== 0 && session.storedExpiries?.deadlineOf(position) === undefined) return
    session.leaveStore(position, deliveryBytes(delivery))
    session.storedExpiries?.remove(position)
    return
  }
  if (queue !== null && queue.takeOut(position)) return
  if (inflight === null) return
  const found = isAt(inflight, identifier, position) ? identifier : inflight.identifierAt(position)
  if (inflight.state(found) === InflightState.Commit) inflight.remove(found)
}

function isAt(inflight: Inflight, identifier: number, position: number): boolean {
  return inflight.state(identifier) !== InflightState.Free && inflight.delivery(identifier)?.position === position
}

/** A session has ended while the commit of a message was open: it waits here for another member of its group. */
export function keepForOthers(session: Session, delivery: Delivery): void {
  if (session.inflight !== null && session.inflight.identifierAt(delivery.position) !== 0) return
  session.openQueue().insert(delivery)
}

/** Takes back that a PUBREC has come. */
export function undoReceived({ inflight }: Session, identifier: number, position: number): void {
  if (inflight === null || inflight.state(identifier) !== InflightState.ReleaseCommit) return
  if (inflight.delivery(identifier)?.position === position) inflight.advance(identifier, InflightState.Pubrec)
}
