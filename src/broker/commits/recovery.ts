import type { Clock } from '../../ports/clock'
import type { Move } from '../../session/move'
import { sendCommitted } from '../../session/sender'
import type { Session } from '../../session/session'
import type { Retries, Retry } from './retries'
import type { Continuation } from './session-changes'

/** What the rest of the broker does when the store has refused, or has kept what waited for it. */
export interface CommitEvents {
  /** A store did not keep a commit of so many changes. */
  refused(changes: number, error: unknown): void
  /** Sends what a connected session has waiting. Returns the commit of that. */
  sendQueued(session: Session): Promise<void> | undefined
  /** Gives what a session without a connection has of shared groups to other members. Returns the commit of that. */
  handOver(session: Session): Promise<void> | undefined
  /** The same for a session that has ended; the commit is left to the caller. */
  endShares(session: Session): void
}

/** What the recovery needs of the journal. */
interface RetryingJournal {
  readonly retries: Retries
  readonly isClosed: boolean
  endWaiting(session: Session): void
  commit(): Promise<void> | undefined
}

/** Goes on when the store has refused a commit, or has kept one that a message of a shared group waited for. */
export class Recovery implements Continuation {
  private readonly journal: RetryingJournal
  private readonly clock: Clock
  private readonly events: CommitEvents
  /** Sessions with messages that could not be sent, or handed on, because their commit was refused. */
  private readonly stalledSessions = new Map<Session, Retry>()
  private releasedSessions = new Set<Session>()
  private keptMoves: Move[] = []

  constructor(journal: RetryingJournal, clock: Clock, events: CommitEvents) {
    this.journal = journal
    this.clock = clock
    this.events = events
  }

  stalled(session: Session): void {
    if (this.stalledSessions.has(session)) return
    const retry: Retry = {
      isDue: true,
      attempt: () => {
        this.stalledSessions.delete(session)
        return this.goOn(session)
      },
    }
    this.stalledSessions.set(session, retry)
    this.journal.retries.add(retry)
  }

  /** Not at once: it is told in the midst of a step. */
  released(session: Session): void {
    this.schedule()
    this.releasedSessions.add(session)
  }

  moved(move: Move): void {
    this.schedule()
    this.keptMoves.push(move)
  }

  endShares(session: Session): void {
    this.events.endShares(session)
  }

  private schedule(): void {
    if (this.releasedSessions.size + this.keptMoves.length === 0) queueMicrotask(() => this.goOnReleased())
  }

  private goOnReleased(): void {
    const { keptMoves, releasedSessions } = this
    this.keptMoves = []
    this.releasedSessions = new Set()
    const now = this.clock.now()
    for (const { to, takenIdentifier } of keptMoves) {
      // what was not sent in time is for another member
      if (to.ended) continue
      if (takenIdentifier !== 0) sendCommitted(to, takenIdentifier, now)
      else if (to.output !== null) releasedSessions.add(to)
    }
    for (const session of releasedSessions) this.goOn(session)?.catch(nothing)
  }

  private goOn(session: Session): Promise<void> | undefined {
    const { events, journal } = this
    if (journal.isClosed) return undefined
    if (session.output !== null) return events.sendQueued(session)
    if (!session.ended) return events.handOver(session)
    if (session.openShares > 0) return undefined
    events.endShares(session)
    journal.endWaiting(session)
    return journal.commit()
  }
}

const nothing = (): void => undefined
