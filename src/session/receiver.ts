import type { Session } from './session'

/** Identifiers that a client may always have held. */
const ALWAYS_HELD = 64

/**
 * A QoS 2 PUBLISH from the client (section 4.3.3): false if its identifier is held, so that it is a repetition and must
 * not be published again [MQTT-4.3.3-10].
 */
export function hold(session: Session, identifier: number): boolean {
  if (!session.openHeld().add(identifier)) return false
  session.journal?.hold(session, identifier)
  return true
}

/** PUBREL from the client: false if the identifier is not held. */
export function release(session: Session, identifier: number): boolean {
  if (session.held === null || !session.held.delete(identifier)) return false
  session.journal?.release(session, identifier)
  return true
}

/** Whether the memory allows for one more identifier. */
export function mayHold({ held, limits }: Session): boolean {
  return held === null || held.size < ALWAYS_HELD || !held.isFull || limits.budget.hasMemory(held.size * 64)
}

export function isHeld(session: Session, identifier: number): boolean {
  return session.held !== null && session.held.has(identifier)
}
