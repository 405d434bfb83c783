import type { Clock } from '../../ports/clock'
import type { RetainedMessages } from '../../routing/retained-messages'
import type { CommitJournal } from '../commits/commit-journal'

/** Expired messages that are taken out in one go; then others get their turn. */
const STEP = 512
/** Milliseconds without another attempt after the store has refused one. */
const RETRY_MS = 1000

/** Takes retained messages out of memory and store when they expire (MQTT 5.0 section 3.3.2.3.3). */
export class RetainedExpiry {
  private readonly clock: Clock
  private readonly journal: CommitJournal
  private readonly retained: RetainedMessages
  private isRunning = false
  /** `clock.now()` before which nothing is tried. */
  private pausedUntil = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, journal: CommitJournal, retained: RetainedMessages) {
    this.clock = clock
    this.journal = journal
    this.retained = retained
  }

  /** Called with each tick of the wheel. */
  tick(now: number): void {
    if (!this.isRunning && now >= this.pausedUntil) this.step()
  }

  /** Takes out up to `limit` of those that have expired, and returns how many. The commit is left to the caller. */
  takeOut(limit: number = STEP): number {
    const { clock, journal, retained } = this
    const now = clock.now()
    for (let taken = 0; taken < limit; taken++) {
      const message = retained.takeExpired(now)
      if (message === undefined) return taken
      // a refused commit does not bring an expired message back: its removal is tried again
      journal.clear(message.topic, undefined)
    }
    return limit
  }

  /** No faster than the store takes it: a million may expire together. */
  private step(): void {
    const { journal } = this
    this.isRunning = !journal.isClosed && this.takeOut() > 0
    if (!this.isRunning) return
    const goOn = (): void => this.step()
    const committed = journal.commit()
    if (committed === undefined) setImmediate(goOn)
    else committed.then(goOn, () => this.pause())
  }

  private pause(): void {
    this.isRunning = false
    this.pausedUntil = this.clock.now() + RETRY_MS
  }
}
