import { MemorySession } from '../ports/memory-session'
import type { Change, QueueEntry, Store, StoredMessage, StoredSession, StoredSessionState } from '../ports/store'

/**
 * The default store: sessions and retained messages live as long as this object. Hand the same object to a second
 * broker, or start a broker again, and they are still there. Answers every call at once.
 */
export class MemoryStore implements Store {
  private readonly sessionMap = new Map<string, MemorySession>()
  private readonly retainedMap = new Map<string, StoredMessage>()

  open(): void {}

  close(): void {}

  commit(changes: readonly Change[]): void {
    for (let i = 0; i < changes.length; i++) this.apply(changes[i]!)
  }

  *sessions(): Iterable<StoredSessionState> {
    for (const session of this.sessionMap.values()) yield session.state
  }

  retained(): Iterable<StoredMessage> {
    return this.retainedMap.values()
  }

  queue(clientId: string, after: number, limit: number): readonly QueueEntry[] {
    return this.sessionMap.get(clientId)?.page(after, limit) ?? []
  }

  held(clientId: string): readonly number[] {
    return this.sessionMap.get(clientId)?.held ?? []
  }

  private apply(change: Change): void {
    switch (change.type) {
      case 'session':
        this.keep(change.session)
        return
      case 'end':
        this.sessionMap.delete(change.clientId)
        return
      case 'retain':
        this.retainedMap.set(change.message.topic, change.message)
        return
      case 'clear':
        this.retainedMap.delete(change.topic)
        return
      default:
        this.sessionMap.get(change.clientId)?.apply(change)
    }
  }

  private keep(head: StoredSession): void {
    const kept = this.sessionMap.get(head.clientId)
    if (kept !== undefined) kept.head = head
    else this.sessionMap.set(head.clientId, new MemorySession(head))
  }
}
