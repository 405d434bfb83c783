import type {
  Change,
  QueueEntry,
  Store,
  StoredMessage,
  StoredSession,
  StoredSessionState,
  StoredSubscription,
} from '../ports/store'

interface MemorySession {
  session: StoredSession
  subscriptions: Map<string, StoredSubscription>
  /** In the order of positions, because positions only grow. */
  queue: Map<number, QueueEntry>
  held: Set<number>
  lastPosition: number
}

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
    for (const { session, subscriptions, queue, lastPosition } of this.sessionMap.values()) {
      let queuedBytes = 0
      for (const entry of queue.values()) queuedBytes += entry.message.payload.length
      yield {
        session,
        subscriptions: [...subscriptions.values()],
        queuedMessages: queue.size,
        queuedBytes,
        lastPosition,
      }
    }
  }

  retained(): Iterable<StoredMessage> {
    return this.retainedMap.values()
  }

  queue(clientId: string, after: number, limit: number): readonly QueueEntry[] {
    const page: QueueEntry[] = []
    const queue = this.sessionMap.get(clientId)?.queue
    if (queue === undefined) return page
    for (const entry of queue.values()) {
      if (entry.position <= after) continue
      if (page.length === limit) break
      page.push(entry)
    }
    return page
  }

  held(clientId: string): readonly number[] {
    return [...(this.sessionMap.get(clientId)?.held ?? [])]
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
      default: {
        const session = this.sessionMap.get(change.clientId)
        if (session !== undefined) applyToSession(session, change)
      }
    }
  }

  private keep(session: StoredSession): void {
    const kept = this.sessionMap.get(session.clientId)
    if (kept !== undefined) kept.session = session
    else {
      const empty = { subscriptions: new Map(), queue: new Map(), held: new Set<number>(), lastPosition: 0 }
      this.sessionMap.set(session.clientId, { session, ...empty })
    }
  }
}

type SessionChange = Exclude<Change, { type: 'session' | 'end' | 'retain' | 'clear' }>

function applyToSession(session: MemorySession, change: SessionChange): void {
  switch (change.type) {
    case 'subscribe':
      session.subscriptions.set(change.subscription.filter, change.subscription)
      return
    case 'unsubscribe':
      session.subscriptions.delete(change.filter)
      return
    case 'enqueue':
      session.queue.set(change.entry.position, change.entry)
      session.lastPosition = Math.max(session.lastPosition, change.entry.position)
      return
    case 'assign':
      replace(session, change.position, { packetIdentifier: change.packetIdentifier })
      return
    case 'received':
      replace(session, change.position, { received: true })
      return
    case 'dequeue':
      session.queue.delete(change.position)
      return
    case 'hold':
      session.held.add(change.packetIdentifier)
      return
    case 'release':
      session.held.delete(change.packetIdentifier)
  }
}

function replace(session: MemorySession, position: number, part: Partial<QueueEntry>): void {
  const entry = session.queue.get(position)
  if (entry !== undefined) session.queue.set(position, { ...entry, ...part })
}
