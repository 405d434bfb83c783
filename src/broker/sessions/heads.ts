import type { WillPacket } from '../../protocol/packet'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import { storedWill } from './stored-will'

/** Records the heads of durable sessions: Client Identifier, user name, expiry, and the Will that a crash must not lose. */
export class SessionHeads {
  private readonly journal: CommitJournal
  /** By Client Identifier: Wills of former connections that are not published yet, since a hook is asked about them. */
  private readonly openWills = new Map<string, WillPacket>()

  constructor(journal: CommitJournal) {
    this.journal = journal
  }

  /** `disconnectedAt` is wall time, 0 while connected. The commit is left to the caller. */
  record(session: Session, disconnectedAt: number, will: WillPacket | undefined): void {
    if (session.journal === null) return
    const { clientId, username, expiryInterval } = session
    const left = will ?? this.openWills.get(clientId)
    const stored = left === undefined ? undefined : storedWill(left)
    this.journal.record(session, { clientId, username, expiryInterval, disconnectedAt, will: stored })
  }

  /** Records keep the Will until `releaseWill`. */
  holdWill(clientId: string, will: WillPacket): void {
    this.openWills.set(clientId, will)
  }

  releaseWill(clientId: string): void {
    this.openWills.delete(clientId)
  }
}
