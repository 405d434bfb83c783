import { type Inflight, InflightState } from './inflight'
import { actionOf, InflightAction, InflightEvent, nextState, packedTransition } from './inflight-transitions'
import type { Session } from './session'

/** PUBACK from the client (section 3.4). Returns one of `InflightAction`. */
export function receivePuback(session: Session, identifier: number): number {
  return advance(session, identifier, InflightEvent.Puback)
}

/**
 * PUBREC from the client (section 3.5). A Reason Code of 0x80 or above ends the exchange [MQTT-4.3.3-4]; any other
 * asks for PUBREL, also when it was sent before. Returns one of `InflightAction`.
 */
export function receivePubrec(session: Session, identifier: number, reasonCode: number): number {
  if (reasonCode >= 0x80) return advance(session, identifier, InflightEvent.PubrecRefusal)
  const stored = session.journal !== null && session.inflight !== null && session.inflight.delivery(identifier) !== null
  return advance(session, identifier, stored ? InflightEvent.StoredPubrec : InflightEvent.Pubrec)
}

/** PUBCOMP from the client (section 3.7). Returns one of `InflightAction`. */
export function receivePubcomp(session: Session, identifier: number): number {
  return advance(session, identifier, InflightEvent.Pubcomp)
}

/** The PUBREC of `identifier` is committed: true if PUBREL is to be sent. */
export function releaseCommitted(session: Session, identifier: number): boolean {
  return advance(session, identifier, InflightEvent.PubrecCommitted) === InflightAction.SendPubrel
}

/** Moves a message as the table says, and tells the journal. */
function advance(session: Session, identifier: number, event: number): number {
  const { inflight } = session
  const state = inflight === null ? InflightState.Free : inflight.state(identifier)
  const transition = packedTransition(state, event)
  const next = nextState(transition)
  if (next !== state) move(session, inflight!, identifier, next)
  return actionOf(transition)
}

function move(session: Session, inflight: Inflight, identifier: number, next: number): void {
  const { journal } = session
  if (journal !== null) {
    const delivery = inflight.delivery(identifier)
    if (next === InflightState.Free && delivery !== null) journal.dequeue(session, delivery)
    else if (next === InflightState.ReleaseCommit) journal.received(session, delivery!, identifier)
  }
  if (next === InflightState.Free) inflight.remove(identifier)
  else inflight.advance(identifier, next)
}
