import { NoRoomError } from './data-file-room'

/** The first failure costs nothing: the next transaction is tried at once. Then each pause is twice as long. */
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1000

/** What a disk must have gained for a try before the pause is over. */
const NOTICEABLE_BYTES = 65_536

export interface BackOffOptions {
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  readonly freeBytes: () => number
}

/** Refuses commits for a while after transactions have failed, so that a disk that is full is not tried all the time. */
export class BackOff {
  private readonly options: BackOffOptions
  private failure: unknown
  private failures = 0
  private retryAt = 0
  private freeBytes = 0

  constructor(options: BackOffOptions) {
    this.options = options
  }

  get isActive(): boolean {
    return this.failures > 0
  }

  /** Milliseconds until background work may be tried again. */
  get pause(): number {
    return this.isActive ? Math.max(this.retryAt - this.options.now(), 0) : 0
  }

  /** True from a failure for want of room until a transaction that adds something has been committed. */
  get isFull(): boolean {
    return this.failures > 0 && this.failure instanceof NoRoomError
  }

  failed(error: unknown): void {
    this.failure = error
    this.failures++
    // to look for room costs little, and what the disk lacks it will hardly have in a moment
    const doublings = this.isFull ? this.failures : this.failures - 2
    const pause = doublings < 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** doublings, LONGEST_PAUSE_MS)
    this.retryAt = this.options.now() + pause
    if (this.isFull) this.freeBytes = this.options.freeBytes()
  }

  succeeded(wasAdding: boolean): void {
    if (this.isFull && !wasAdding) return
    this.failures = 0
    this.failure = undefined
  }

  /** Why a commit is not even tried; undefined when it is. What only takes away may be tried while there is no room. */
  refusal(isAdding: () => boolean): unknown {
    if (this.isFull && !isAdding()) return undefined
    if (this.options.now() >= this.retryAt) return undefined
    // there may be room by now
    if (this.isFull && this.options.freeBytes() > this.freeBytes + NOTICEABLE_BYTES) return undefined
    return this.failure
  }
}
