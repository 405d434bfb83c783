import type { Change, QueueEntry, StoredSession, StoredSubscription } from '../../ports/store'

type SessionChange = Exclude<Change, { type: 'retain' | 'clear' }>

/** What becomes of one place in a queue: a new entry, an entry that goes, or fields that change. */
export interface QueueChange {
  entry?: QueueEntry
  removed?: boolean
  packetIdentifier?: number
  received?: boolean
}

/**
 * Neighbouring changes of one session, folded: what a later one takes back is never sent. What there was ends first, then there is
 * the head, and then all else.
 */
export class SessionBlock {
  readonly clientId: string
  ended = false
  head: StoredSession | undefined
  readonly subscriptions = new Map<string, StoredSubscription | null>()
  readonly queue = new Map<number, QueueChange>()
  readonly held = new Map<number, 'hold' | 'release' | 'renew'>()
  /** The highest position that was ever used here. */
  lastPosition = 0

  private readonly storedThrough: number

  /** @param storedThrough No entry is stored at a position above it. */
  constructor(clientId: string, storedThrough: number) {
    this.clientId = clientId
    this.storedThrough = storedThrough
  }

  /** True if nothing is left to do but to remember a position. */
  get isEmpty(): boolean {
    const { ended, head, held, queue, subscriptions } = this
    return !ended && head === undefined && subscriptions.size + queue.size + held.size === 0
  }

  /** False if the change needs a block of its own: what came before a head may have had no session. */
  add(change: SessionChange): boolean {
    switch (change.type) {
      case 'session':
        if (this.head === undefined && !this.ended && !this.isEmpty) return false
        this.head = change.session
        return true
      case 'end':
        this.end()
        return true
      default:
        // after its end there is nothing to apply to
        if (!this.ended || this.head !== undefined) this.fold(change)
        return true
    }
  }

  /** Whether it only takes away. */
  get isRemoval(): boolean {
    if (this.head !== undefined) return false
    for (const subscription of this.subscriptions.values()) if (subscription !== null) return false
    for (const { removed } of this.queue.values()) if (removed !== true) return false
    for (const change of this.held.values()) if (change !== 'release') return false
    return this.lastPosition === 0
  }

  private end(): void {
    this.ended = true
    this.head = undefined
    this.subscriptions.clear()
    this.queue.clear()
    this.held.clear()
    this.lastPosition = 0
  }

  private fold(change: Exclude<SessionChange, { type: 'session' | 'end' }>): void {
    const { held, queue, subscriptions } = this
    switch (change.type) {
      case 'subscribe':
        subscriptions.set(change.subscription.filter, change.subscription)
        return
      case 'unsubscribe':
        subscriptions.set(change.filter, null)
        return
      case 'enqueue':
        this.lastPosition = Math.max(this.lastPosition, change.entry.position)
        queue.set(change.entry.position, { entry: change.entry })
        return
      case 'assign':
        this.change(change.position, { packetIdentifier: change.packetIdentifier })
        return
      case 'received':
        this.change(change.position, { received: true })
        return
      case 'dequeue':
        if (queue.get(change.position)?.entry !== undefined && change.position > this.storedThrough)
          queue.delete(change.position)
        else queue.set(change.position, { removed: true })
        return
      case 'hold':
        held.set(change.packetIdentifier, held.has(change.packetIdentifier) ? 'renew' : 'hold')
        return
      case 'release':
        if (held.get(change.packetIdentifier) === 'hold') held.delete(change.packetIdentifier)
        else held.set(change.packetIdentifier, 'release')
    }
  }

  private change(position: number, fields: { packetIdentifier?: number; received?: boolean }): void {
    const known = this.queue.get(position)
    if (known?.removed) return
    if (known?.entry !== undefined) known.entry = { ...known.entry, ...fields }
    else this.queue.set(position, { ...known, ...fields })
  }
}
