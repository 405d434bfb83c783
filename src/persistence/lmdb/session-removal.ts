import type { Environment, Write } from './environment'
import type { MessageReferences } from './message-references'
import { decodeQueueRecord } from './records'
import { keysWithin } from './store-keys'

/** Removes what an ended session has left: its queue, its held identifiers and its subscriptions. */
export class SessionRemoval {
  private readonly environment: Environment
  private readonly references: MessageReferences
  private readonly writes: Write[]

  constructor(environment: Environment, references: MessageReferences, writes: Write[]) {
    this.environment = environment
    this.references = references
    this.writes = writes
  }

  /** Takes away up to `limit` rows. `isComplete` says that none is left. */
  take(session: number, limit: number): { count: number; isComplete: boolean } {
    let left = Math.max(limit, 0)
    const queue = this.environment.rows('queue', { ...keysWithin(session), limit: left + 1 })
    for (const { key, value } of queue.slice(0, left)) {
      this.references.release(decodeQueueRecord(value).message)
      this.writes.push({ table: 'queue', key, value: undefined })
    }
    let isComplete = queue.length <= left
    left -= Math.min(left, queue.length)
    for (const table of ['held', 'subscriptions'] as const) {
      const keys = this.environment.keys(table, { ...keysWithin(session), limit: left + 1 })
      for (const key of keys.slice(0, left)) this.writes.push({ table, key, value: undefined })
      if (keys.length > left) isComplete = false
      left -= Math.min(left, keys.length)
    }
    return { count: Math.max(limit, 0) - left, isComplete }
  }
}
