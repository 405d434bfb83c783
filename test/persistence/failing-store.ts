import { MemoryStore } from '../../src/persistence/memory-store'
import type { Change, Store } from '../../src/ports/store'

/** How a store says that it kept nothing. */
export type Failure = 'throws' | 'rejects' | 'rejects later'

/** A store in memory that fails when the test wants it, and that can be made to wait. */
export class FailingStore implements Store {
  /** Which commits fail: by default, while `failure` is set, all of them. */
  concerns: (changes: readonly Change[]) => boolean = () => true
  /** How they fail; undefined while the store works. */
  failure: Failure | undefined
  failures = 0
  private readonly kept = new MemoryStore()
  private readonly waiting: (() => void)[] = []
  private isHeld = false

  /** Commits stay open from here on, until `goOn`. */
  wait(): void {
    this.isHeld = true
  }

  get waits(): number {
    return this.waiting.length
  }

  goOn(): void {
    this.isHeld = false
    for (const settle of this.waiting.splice(0)) settle()
  }

  open(): void {}

  close(): void {}

  commit(changes: readonly Change[]): void | Promise<void> {
    if (this.failure !== undefined && this.concerns(changes)) return this.fail(this.failure)
    if (!this.isHeld) {
      this.kept.commit(changes)
      return
    }
    return this.later(() => this.kept.commit(changes))
  }

  sessions() {
    return this.kept.sessions()
  }

  retained() {
    return this.kept.retained()
  }

  queue(clientId: string, after: number, limit: number) {
    const read = () => this.kept.queue(clientId, after, limit)
    return this.isHeld ? this.later(read) : read()
  }

  held(clientId: string) {
    const read = () => this.kept.held(clientId)
    return this.isHeld ? this.later(read) : read()
  }

  private fail(failure: Failure): Promise<void> {
    this.failures++
    const error = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    if (failure === 'throws') throw error
    if (failure === 'rejects') return Promise.reject(error)
    const reject = (): never => {
      throw error
    }
    return this.isHeld ? this.later(reject) : new Promise<void>((resolve) => setImmediate(resolve)).then(reject)
  }

  /** Answers settle in the order of the calls. */
  private later<T>(answer: () => T): Promise<T> {
    return new Promise<void>((resolve) => this.waiting.push(resolve)).then(answer)
  }
}
