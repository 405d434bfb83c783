import { IdentifierSet } from './identifier-set'
import type { Session } from './session'

/**
 * A QoS 2 PUBLISH from the client (section 4.3.3): false if its identifier is held, so that it is a repetition and must
 * not be published again [MQTT-4.3.3-10].
 */
export function hold(session: Session, identifier: number): boolean {
  const held = (session.held ??= new IdentifierSet())
  if (!held.add(identifier)) return false
  session.journal?.hold(session, identifier)
  return true
}

/** PUBREL from the client: false if the identifier is not held. */
export function release(session: Session, identifier: number): boolean {
  if (session.held === null || !session.held.delete(identifier)) return false
  session.journal?.release(session, identifier)
  return true
}

export function isHeld(session: Session, identifier: number): boolean {
  return session.held !== null && session.held.has(identifier)
}
