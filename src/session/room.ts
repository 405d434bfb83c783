import type { Session } from './session'

/** Whether a message of `bytes` bytes can wait in the session and drive nothing else out. */
export function hasRoom(session: Session, bytes: number): boolean {
  return hasOwnRoom(session, bytes) && session.limits.budget.allows(bytes)
}

/** The same, where what has expired by now gives its place up. */
export function hasRoomInTime(session: Session, bytes: number, now: number): boolean {
  const { budget } = session.limits
  return (
    (hasOwnRoom(session, bytes) || session.earliestExpiry <= now) &&
    (budget.allows(bytes) || budget.sessionWithExpired(now) !== undefined)
  )
}

/** Makes what room can be made for `bytes` bytes at nobody's cost: expired messages go, as many as it takes and no more. */
export function clearRoom(session: Session, bytes: number, now: number): boolean {
  const { budget } = session.limits
  while (!hasOwnRoom(session, bytes)) if (!dropExpired(session, now)) return false
  while (!budget.allows(bytes)) {
    const other = budget.sessionWithExpired(now)
    if (other === undefined || !dropExpired(other, now)) return false
  }
  return true
}

function hasOwnRoom(session: Session, bytes: number): boolean {
  const { limits } = session
  return (
    session.queuedMessages < limits.maximumQueuedMessages && session.queuedBytes + bytes <= limits.maximumQueuedBytes
  )
}

/** Drops the message that expired first of those that wait; false if none has expired. Nothing is read for it. */
function dropExpired(session: Session, now: number): boolean {
  const queued = session.queue?.takeExpired(now) ?? session.takeExpiredFromStore(now)
  if (queued === undefined) return false
  session.drop()
  session.journal?.dequeue(session, queued)
  return true
}
