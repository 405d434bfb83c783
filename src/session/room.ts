import { DropReason } from '../protocol/drop-reason'
import { Delivery } from './delivery'
import type { BudgetedAccount } from './queue-budget'
import type { Session } from './session'

/** Once no more of a queue than this is in memory, what comes next is read before it is needed. */
const READ_AHEAD = 256

/** Whether a message of `bytes` bytes can wait in the session and drive nothing else out. */
export function hasRoom(session: Session, bytes: number): boolean {
  return hasOwnRoom(session, bytes) && session.limits.budget.allows(bytes)
}

/** The same, where what has expired by now gives its place up, and clients that are away give way. */
export function hasRoomInTime(session: Session, bytes: number, now: number): boolean {
  const { budget } = session.limits
  return (
    (hasOwnRoom(session, bytes) || session.earliestExpiry <= now) &&
    (budget.allows(bytes) ||
      budget.sessionWithExpired(now) !== undefined ||
      budget.giver(session, bytes) !== undefined ||
      budget.allowsBeyond(session, bytes))
  )
}

/** Makes room in the memory for a message of `bytes` bytes that is to be in flight: see `makeRoom`. */
export function makeMemory(session: Session, bytes: number, now: number): boolean {
  const { budget } = session.limits
  while (!budget.hasMemory(bytes)) {
    const other = budget.sessionWithExpired(now)
    if (other !== undefined && dropExpired(other, now)) continue
    const giver = budget.giver(session, bytes)
    if (giver === undefined) return budget.allowsBeyond(session, bytes)
    giveWay(giver)
  }
  return true
}

/**
 * Makes room for `bytes` bytes, as far as this session's own policy need not be asked: expired messages go first, as many
 * as it takes and no more, and where all sessions together have too much, the oldest of those whose clients are away.
 */
export function makeRoom(session: Session, bytes: number, now: number): boolean {
  const { budget, maximumQueuedBytes } = session.limits
  while (!hasOwnRoom(session, bytes)) if (!dropExpired(session, now)) return false
  while (!budget.allows(bytes)) {
    const other = budget.sessionWithExpired(now)
    if (other !== undefined && dropExpired(other, now)) continue
    // what could never fit drives nothing else out
    if (bytes > Math.min(maximumQueuedBytes, budget.maximumBytes)) return false
    const giver = budget.giver(session, bytes)
    if (giver === undefined) return budget.allowsBeyond(session, bytes)
    giveWay(giver)
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
  session.drop(DropReason.Expired, queued instanceof Delivery ? queued.message : null)
  session.journal?.dequeue(session, queued)
  return true
}

/** Drops the oldest message, or has it read if it is not in memory. */
function giveWay(account: BudgetedAccount<Session>): void {
  const { session } = account
  const oldest = session.queue?.shift()
  if (oldest === undefined) account.setUnreadable(true)
  else {
    session.drop(DropReason.QueueFull, oldest.message)
    session.journal?.dequeue(session, oldest)
  }
  if (session.storedMessages > 0 && (session.queue === null || session.queue.length < READ_AHEAD))
    session.limits.budget.awaitReading(session)
}
