import { MemoryStore } from '../../src/persistence/memory-store'
import type { Change, Store } from '../../src/ports/store'

/** How a store answers: at once, or a few turns later. */
export type Pace = 'at once' | 'later'

/** A store that refuses the commits for which `refuses` says so, and keeps those behind them. */
export class RefusingStore implements Store {
  refuses: (changes: readonly Change[]) => boolean = () => false
  /** Whether it throws where it answers later otherwise. */
  throws = false
  /** Told of a refusal when the broker is told. */
  onRefused: (changes: readonly Change[]) => void = () => undefined
  pending = 0
  readonly memory = new MemoryStore()
  private readonly pace: Pace
  private last: Promise<void> = Promise.resolve()

  constructor(pace: Pace) {
    this.pace = pace
  }

  open(): void {}

  close(): void {}

  commit(changes: readonly Change[]): void | Promise<void> {
    const isRefused = this.refuses(changes)
    const refuse = (): never => {
      this.onRefused(changes)
      throw new Error('refused')
    }
    if (isRefused && (this.throws || this.pace === 'at once')) refuse()
    if (this.pace === 'at once') {
      this.memory.commit(changes)
      return
    }
    this.last = this.later(() => {
      if (isRefused) refuse()
      this.memory.commit(changes)
    })
    return this.last
  }

  sessions() {
    return this.memory.sessions()
  }

  retained() {
    return this.memory.retained()
  }

  queue(clientId: string, after: number, limit: number) {
    return this.memory.queue(clientId, after, limit)
  }

  held(clientId: string) {
    return this.memory.held(clientId)
  }

  /** In the order of the calls. */
  private async later(answer: () => void): Promise<void> {
    const before = this.last.catch(() => undefined)
    this.pending++
    await before
    await new Promise((resolve) => setImmediate(resolve))
    this.pending--
    answer()
  }
}
