import type { Clock } from '../../ports/clock'
import type { Change, StoredSession } from '../../ports/store'
import type { Session } from '../../session/session'
import type { CommitJournal } from './commit-journal'
import type { SessionLookup } from './refused-dequeues'

/** Milliseconds until a head that the store has refused is tried again: the first time, and at the most. */
const FIRST_RETRY_MS = 1000
const LONGEST_RETRY_MS = 60_000

type HeadChange = Extract<Change, { type: 'session' }>

/**
 * Writes the heads of sessions, and goes on trying where the store has refused: otherwise, after a crash, a session
 * would still be connected, or have an expiry and a Will of long ago.
 */
export class SessionHeads {
  private readonly clock: Clock
  private readonly journal: CommitJournal
  private readonly sessions: SessionLookup
  /** Which record of its session a change is. */
  private readonly numbers = new WeakMap<Change, number>()
  private readonly refused = new Map<Session, HeadChange>()
  private delayMs = FIRST_RETRY_MS
  private isScheduled = false

  constructor(clock: Clock, journal: CommitJournal, sessions: SessionLookup) {
    this.clock = clock
    this.journal = journal
    this.sessions = sessions
  }

  /** The commit is left to the caller. */
  record(session: Session, head: StoredSession): void {
    const change: HeadChange = { type: 'session', session: head }
    this.numbers.set(change, ++session.recordCount)
    this.journal.add(change)
  }

  /** The store did not keep a head. */
  refuse(change: HeadChange): void {
    const session = this.sessions.get(change.session.clientId)
    if (session === undefined || !this.isCurrent(session, change)) return
    // behind the others: a head that the store never takes must not hold them up
    this.refused.delete(session)
    this.refused.set(session, change)
    this.schedule()
  }

  /** The store is about to be closed: the last attempt for all that is left. */
  flush(): void {
    for (const [session, change] of this.refused)
      if (this.isCurrent(session, change)) this.journal.commitAlone([change])?.catch(() => undefined)
  }

  /** Neither ended nor recorded anew. */
  private isCurrent(session: Session, change: HeadChange): boolean {
    if (this.sessions.get(session.clientId) !== session || session.journal === null) return false
    return this.numbers.get(change) === session.recordCount
  }

  private schedule(): void {
    if (this.isScheduled || this.refused.size === 0) return
    this.isScheduled = true
    this.clock.after(this.delayMs, () => void this.retry())
    this.delayMs = Math.min(this.delayMs * 2, LONGEST_RETRY_MS)
  }

  /** One after the other, until the store refuses: so one that refuses all is asked once a time. */
  private async retry(): Promise<void> {
    const { journal } = this
    if (journal.isClosed) return
    for (const [session, change] of this.refused) if (!this.isCurrent(session, change)) this.refused.delete(session)
    for (const [session, change] of this.refused) {
      this.refused.delete(session)
      if (!this.isCurrent(session, change)) continue
      try {
        await journal.commitAlone([change])
      } catch {
        break
      }
      this.delayMs = FIRST_RETRY_MS
    }
    this.isScheduled = false
    this.schedule()
  }
}
