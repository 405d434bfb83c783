import type { Clock } from '../../ports/clock'
import { revoke, sendCommitted } from '../../session/sender'
import type { Session } from '../../session/session'

/** A QoS 2 message that is sent once its identifier is committed. */
export interface AwaitingCommit {
  readonly session: Session
  readonly identifier: number
}

/** Sends QoS 2 messages once their identifiers are committed; a failed commit takes them back. */
export function sendAfterCommit(
  clock: Clock,
  committed: Promise<void> | undefined,
  awaiting: readonly AwaitingCommit[],
): void {
  if (awaiting.length === 0) return
  const send = (): void => {
    for (const { session, identifier } of awaiting) sendCommitted(session, identifier, clock.now())
  }
  if (committed === undefined) {
    send()
    return
  }
  committed.then(send, () => {
    for (const { session, identifier } of awaiting) revoke(session, identifier)
  })
}
