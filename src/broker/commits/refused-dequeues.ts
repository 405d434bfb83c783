import type { Clock } from '../../ports/clock'
import type { Change } from '../../ports/store'
import type { Session } from '../../session/session'
import type { CommitJournal } from './commit-journal'

/** Milliseconds until dequeues are tried again that the store has refused: the first time, and at the most. */
const FIRST_RETRY_MS = 1000
const LONGEST_RETRY_MS = 60_000
/** Commits that are tried in one go; then others get their turn. */
const STEP = 256

/** Finds a session by its Client Identifier. */
export interface SessionLookup {
  get(clientId: string): Session | undefined
}

type Dequeue = Extract<Change, { type: 'dequeue' }>

/** The dequeues of one refused commit and one session. */
interface Refused {
  readonly session: Session
  readonly changes: Dequeue[]
}

/**
 * Tries dequeues again that the store has refused, those of each session by themselves: joined with what others commit
 * they would fail that too. What is refused again goes behind all others, and all wait for twice as long as before.
 */
export class RefusedDequeues {
  private readonly clock: Clock
  private readonly journal: CommitJournal
  private readonly sessions: SessionLookup
  private waiting: Refused[] = []
  private delayMs = FIRST_RETRY_MS
  private isScheduled = false

  constructor(clock: Clock, journal: CommitJournal, sessions: SessionLookup) {
    this.clock = clock
    this.journal = journal
    this.sessions = sessions
  }

  add(changes: readonly Dequeue[]): void {
    const found = new Map<Session, Refused>()
    for (const change of changes) {
      const session = this.sessions.get(change.clientId)
      // its session has ended: another may have taken its place, which has not come that far
      if (session === undefined || session.journal === null || change.position > session.lastPosition) continue
      const refused = found.get(session)
      if (refused === undefined) found.set(session, { session, changes: [change] })
      else refused.changes.push(change)
    }
    for (const refused of found.values()) this.waiting.push(refused)
    this.schedule()
  }

  /** The store is about to be closed: the last attempt for all that is left. */
  flush(): void {
    for (const refused of this.take()) this.attempt(refused)?.catch(nothing)
  }

  private schedule(): void {
    if (this.isScheduled || this.waiting.length === 0) return
    this.isScheduled = true
    this.clock.after(this.delayMs, () => void this.retry())
    this.delayMs = Math.min(this.delayMs * 2, LONGEST_RETRY_MS)
  }

  private take(): Refused[] {
    const { waiting } = this
    this.waiting = []
    return waiting
  }

  /** The first alone, so that a store that refuses all is asked once a time; then the others, with nobody waiting. */
  private async retry(): Promise<void> {
    const [first, ...others] = this.take()
    try {
      if (first !== undefined) await this.attempt(first)
      this.delayMs = FIRST_RETRY_MS
      for (let i = 0; i < others.length; i++) {
        this.attempt(others[i]!)?.catch(nothing)
        if (i % STEP === STEP - 1) await new Promise((resolve) => setImmediate(resolve))
      }
    } catch {
      // it is back among those that wait, and goes behind the others
      this.waiting.unshift(...others)
    }
    this.isScheduled = false
    this.schedule()
  }

  private attempt({ session, changes }: Refused): Promise<void> | undefined {
    const { journal, sessions } = this
    if (journal.isClosed || sessions.get(session.clientId) !== session) return undefined
    return journal.commitAlone(changes)
  }
}

const nothing = (): void => undefined
