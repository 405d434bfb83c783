import type { Clock } from '../../ports/clock'
import type { JournaledChange } from './change'

/** Milliseconds until what the store has refused is tried again: the first time, and at the most. */
const FIRST_RETRY_MS = 1000
const LONGEST_RETRY_MS = 60_000
/** Commits that are tried in one go; then others get their turn. */
const STEP = 256

/** What a refused commit has left to be done: changes, or something that makes them. */
export interface Retry {
  /** False once nothing of it is to be done any more. */
  readonly isDue: boolean
  /** Commits it by itself. */
  attempt(): Promise<void> | undefined
}

/**
 * Tries again what must not be taken back, each commit by itself: joined with others it would fail them too. One that is
 * refused again goes behind all others, and all wait for twice as long as before.
 */
export class Retries {
  private readonly clock: Clock
  private waiting = new Set<Retry>()
  private delayMs = FIRST_RETRY_MS
  private isScheduled = false
  private isClosed = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  add(retry: Retry): void {
    this.waiting.add(retry)
    if (!this.isScheduled) this.schedule()
  }

  /** The store is about to be closed: the last attempt for all that is left. */
  flush(): void {
    this.isClosed = true
    const { waiting } = this
    this.waiting = new Set()
    for (const retry of waiting) this.attempt(retry)?.catch(nothing)
  }

  private schedule(): void {
    if (this.isClosed || this.waiting.size === 0) return
    this.isScheduled = true
    this.clock.after(this.delayMs, () => void this.run())
    this.delayMs = Math.min(this.delayMs * 2, LONGEST_RETRY_MS)
  }

  /** The first alone, so that a store that refuses all is asked once a time; then the others, without a wait. */
  private async run(): Promise<void> {
    if (await this.probe()) {
      let tried = 0
      for (const retry of [...this.waiting]) {
        if (this.isClosed) return
        if (!this.waiting.delete(retry)) continue
        this.attempt(retry)?.catch(nothing)
        if (++tried % STEP === 0) await new Promise((resolve) => setImmediate(resolve))
      }
    }
    this.isScheduled = false
    this.schedule()
  }

  /** False if the store has refused again, or nothing is left. */
  private async probe(): Promise<boolean> {
    for (const retry of this.waiting) {
      if (this.isClosed) return false
      this.waiting.delete(retry)
      if (!retry.isDue) continue
      try {
        await this.attempt(retry)
      } catch {
        return false
      }
      this.delayMs = FIRST_RETRY_MS
      return true
    }
    this.delayMs = FIRST_RETRY_MS
    return false
  }

  private attempt(retry: Retry): Promise<void> | undefined {
    return retry.isDue ? retry.attempt() : undefined
  }
}

/** Changes of one step that are tried again together. */
export class ChangesRetry implements Retry {
  constructor(
    private readonly changes: readonly JournaledChange[],
    private readonly commit: (changes: readonly JournaledChange[]) => Promise<void> | undefined,
  ) {}

  get isDue(): boolean {
    return this.changes.some(({ isDue }) => isDue)
  }

  attempt(): Promise<void> | undefined {
    return this.commit(this.changes.filter(({ isDue }) => isDue))
  }
}

const nothing = (): void => undefined
