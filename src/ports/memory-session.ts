import type { Change, QueueEntry, StoredSession, StoredSessionState, StoredSubscription } from './store'

/** A change of one session that is there. */
export type SessionChange = Exclude<Change, { type: 'session' | 'end' | 'retain' | 'clear' }>

/** What is kept of one session where it is kept in memory. */
export class MemorySession {
  head: StoredSession
  private readonly subscriptions = new Map<string, StoredSubscription>()
  /** In the order of positions, because positions only grow. */
  private readonly queue = new Map<number, QueueEntry>()
  private readonly heldIdentifiers = new Set<number>()
  private lastPosition = 0

  constructor(head: StoredSession) {
    this.head = head
  }

  get state(): StoredSessionState {
    let queuedBytes = 0
    for (const entry of this.queue.values()) queuedBytes += entry.message.payload.length
    return {
      session: this.head,
      subscriptions: [...this.subscriptions.values()],
      queuedMessages: this.queue.size,
      queuedBytes,
      lastPosition: this.lastPosition,
    }
  }

  get held(): number[] {
    return [...this.heldIdentifiers]
  }

  /** Up to `limit` entries with a position above `after`. */
  page(after: number, limit: number): QueueEntry[] {
    const page: QueueEntry[] = []
    for (const entry of this.queue.values()) {
      if (entry.position <= after) continue
      if (page.length === limit) break
      page.push(entry)
    }
    return page
  }

  apply(change: SessionChange): void {
    switch (change.type) {
      case 'subscribe':
        this.subscriptions.set(change.subscription.filter, change.subscription)
        return
      case 'unsubscribe':
        this.subscriptions.delete(change.filter)
        return
      case 'enqueue':
        this.queue.set(change.entry.position, change.entry)
        this.lastPosition = Math.max(this.lastPosition, change.entry.position)
        return
      case 'assign':
        this.replace(change.position, { packetIdentifier: change.packetIdentifier })
        return
      case 'received':
        this.replace(change.position, { received: true })
        return
      case 'dequeue':
        this.queue.delete(change.position)
        return
      case 'hold':
        this.heldIdentifiers.add(change.packetIdentifier)
        return
      case 'release':
        this.heldIdentifiers.delete(change.packetIdentifier)
    }
  }

  private replace(position: number, part: Partial<QueueEntry>): void {
    const entry = this.queue.get(position)
    if (entry !== undefined) this.queue.set(position, { ...entry, ...part })
  }
}
