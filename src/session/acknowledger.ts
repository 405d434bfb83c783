import { InflightState } from './inflight'
import type { Session } from './session'

/** PUBACK from the client (section 3.4): false if it acknowledges nothing that waits for one. */
export function receivePuback(session: Session, identifier: number): boolean {
  const { inflight } = session
  if (inflight === null || inflight.state(identifier) !== InflightState.Puback) return false
  finish(session, identifier)
  return true
}

/** What a PUBREC asks for. */
export const PubrecOutcome = { Unknown: 0, SendPubrel: 1, AwaitsCommit: 2, Finished: 3 } as const

/**
 * PUBREC from the client (section 3.5). A Reason Code of 0x80 or above ends the exchange [MQTT-4.3.3-4]; any other
 * asks for PUBREL, also when it was sent before.
 */
export function receivePubrec(session: Session, identifier: number, reasonCode: number): number {
  const { inflight } = session
  const state = inflight === null ? InflightState.Free : inflight.state(identifier)
  if (inflight === null || (state !== InflightState.Pubrec && state !== InflightState.Pubcomp)) {
    return state === InflightState.ReleaseCommit ? PubrecOutcome.AwaitsCommit : PubrecOutcome.Unknown
  }
  if (reasonCode >= 0x80) {
    finish(session, identifier)
    return PubrecOutcome.Finished
  }
  if (state === InflightState.Pubcomp) return PubrecOutcome.SendPubrel
  const delivery = inflight.delivery(identifier)
  if (session.journal === null || delivery === null) {
    inflight.advance(identifier, InflightState.Pubcomp)
    return PubrecOutcome.SendPubrel
  }
  inflight.advance(identifier, InflightState.ReleaseCommit)
  session.journal.received(session, delivery)
  return PubrecOutcome.AwaitsCommit
}

/** The PUBREC of `identifier` is committed: true if PUBREL is to be sent. */
export function releaseCommitted(session: Session, identifier: number): boolean {
  const { inflight } = session
  if (inflight === null || inflight.state(identifier) !== InflightState.ReleaseCommit) return false
  inflight.advance(identifier, InflightState.Pubcomp)
  return true
}

/** PUBCOMP from the client (section 3.7): false if nothing waits for it. */
export function receivePubcomp(session: Session, identifier: number): boolean {
  const { inflight } = session
  if (inflight === null || inflight.state(identifier) !== InflightState.Pubcomp) return false
  finish(session, identifier)
  return true
}

function finish(session: Session, identifier: number): void {
  const inflight = session.inflight!
  if (session.journal !== null) {
    const delivery = inflight.delivery(identifier)
    if (delivery !== null) session.journal.dequeue(session, delivery)
  }
  inflight.remove(identifier)
}
