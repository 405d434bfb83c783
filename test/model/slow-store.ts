import { MemoryStore } from '../../src/persistence/memory-store'
import type { Change, Store } from '../../src/ports/store'

/** A store that answers a few turns later, and counts what it owes. */
export class SlowStore implements Store {
  pending = 0
  private readonly memory = new MemoryStore()
  private last: Promise<void> = Promise.resolve()

  open(): void {}

  close(): void {}

  commit(changes: readonly Change[]): Promise<void> {
    this.last = this.later(() => this.memory.commit(changes))
    return this.last
  }

  sessions() {
    return this.memory.sessions()
  }

  retained() {
    return this.memory.retained()
  }

  queue(clientId: string, after: number, limit: number) {
    return this.later(() => this.memory.queue(clientId, after, limit))
  }

  held(clientId: string) {
    return this.later(() => this.memory.held(clientId))
  }

  /** In the order of the calls. */
  private async later<T>(answer: () => T): Promise<T> {
    const before = this.last
    this.pending++
    await before
    await new Promise((resolve) => setImmediate(resolve))
    this.pending--
    return answer()
  }
}
