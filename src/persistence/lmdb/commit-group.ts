import type { Change, QueueEntry, StoredMessage, StoredSession, StoredSubscription } from '../../ports/store'

/** What becomes of one place in a queue: a new entry, an entry that goes, or fields that change. */
export interface QueueChange {
  entry?: QueueEntry
  /** The place may have a stored entry, which a later removal has to remove. */
  replaces?: boolean
  removed?: boolean
  packetIdentifier?: number
  received?: boolean
}

/** `renew` is a release and then a hold: what is stored stays, and a later release has to remove it. */
export type HeldChange = 'hold' | 'release' | 'renew'

/** What a transaction does to one session. */
export class SessionChanges {
  readonly clientId: string
  /** What is stored of the session goes before anything else here applies. */
  ended = false
  head: StoredSession | undefined
  readonly subscriptions = new Map<string, StoredSubscription | null>()
  readonly queue = new Map<number, QueueChange>()
  readonly held = new Map<number, HeldChange>()
  /** The highest position that was ever used here, whether its entry is still to be written or not. */
  lastPosition = 0

  constructor(clientId: string) {
    this.clientId = clientId
  }
}

/** Whether a session exists apart from this group: on disk, or in the transaction before. */
export type SessionExists = (clientId: string) => boolean

type SessionChange = Exclude<Change, { type: 'session' | 'end' | 'retain' | 'clear' }>

/**
 * The commits that become one transaction, folded: what a later step undoes is never written. `size` counts what is
 * left to write.
 */
export class CommitGroup {
  readonly sessions = new Map<string, SessionChanges>()
  /** null clears the topic. */
  readonly retained = new Map<string, StoredMessage | null>()
  size = 0
  /** Commits that wait for this group. */
  commits = 0
  /** Bytes that it will add at most, roughly. */
  bytes = 0
  /** Set when its commits were refused: the group remains so that they settle in their turn. */
  refusal: unknown
  private settlement: { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } | undefined

  /** The promise of this group; every commit in it has the same. */
  get promise(): Promise<void> {
    if (this.settlement === undefined) {
      let resolve: () => void = () => undefined
      let reject: (error: unknown) => void = () => undefined
      const promise = new Promise<void>((onResolve, onReject) => {
        resolve = onResolve
        reject = onReject
      })
      this.settlement = { promise, resolve, reject }
    }
    return this.settlement.promise
  }

  get isAwaited(): boolean {
    return this.settlement !== undefined
  }

  /** True when closing has something to write that no commit waits for: positions of entries that came and went. */
  get hasPositions(): boolean {
    for (const session of this.sessions.values()) if (session.lastPosition > 0) return true
    return false
  }

  /** True when it adds something, and does not only remove or change existing entries. */
  isAdding(exists: SessionExists): boolean {
    for (const message of this.retained.values()) if (message !== null) return true
    for (const { clientId, head, subscriptions, queue, held } of this.sessions.values()) {
      if (head !== undefined && (head.will !== undefined || !exists(clientId))) return true
      for (const subscription of subscriptions.values()) if (subscription !== null) return true
      for (const { entry } of queue.values()) if (entry !== undefined) return true
      for (const change of held.values()) if (change !== 'release') return true
    }
    return false
  }

  settle(error?: unknown): void {
    const { settlement } = this
    this.settlement = undefined
    this.commits = 0
    if (error === undefined) settlement?.resolve()
    else settlement?.reject(error)
  }

  add(change: Change, exists: SessionExists): void {
    switch (change.type) {
      case 'retain':
        this.set(this.retained, change.message.topic, change.message)
        return
      case 'clear':
        this.set(this.retained, change.topic, null)
        return
      case 'session':
        this.keep(change.session, exists)
        return
      case 'end':
        this.end(change.clientId)
        return
      default: {
        const session = this.session(change.clientId)
        // after its end there is nothing to apply to
        if (!session.ended || session.head !== undefined) this.addToSession(session, change)
      }
    }
  }

  private keep(head: StoredSession, exists: SessionExists): void {
    const session = this.session(head.clientId)
    if (session.head === undefined) {
      // steps that came before their session did nothing
      if (!session.ended && !exists(head.clientId)) this.empty(session)
      this.size++
    }
    session.head = head
  }

  private end(clientId: string): void {
    const session = this.session(clientId)
    this.empty(session)
    if (session.head !== undefined) this.size--
    session.head = undefined
    if (!session.ended) this.size++
    session.ended = true
  }

  private empty(session: SessionChanges): void {
    const { subscriptions, queue, held } = session
    this.size -= subscriptions.size + queue.size + held.size
    subscriptions.clear()
    queue.clear()
    held.clear()
    session.lastPosition = 0
  }

  private session(clientId: string): SessionChanges {
    let session = this.sessions.get(clientId)
    if (session === undefined) {
      session = new SessionChanges(clientId)
      this.sessions.set(clientId, session)
    }
    return session
  }

  private addToSession(session: SessionChanges, change: SessionChange): void {
    switch (change.type) {
      case 'subscribe':
        this.set(session.subscriptions, change.subscription.filter, change.subscription)
        return
      case 'unsubscribe':
        this.set(session.subscriptions, change.filter, null)
        return
      case 'enqueue':
        session.lastPosition = Math.max(session.lastPosition, change.entry.position)
        this.enqueue(session.queue, change.entry, change.replaces === true)
        return
      case 'assign':
        this.change(session, change.position, { packetIdentifier: change.packetIdentifier })
        return
      case 'received':
        this.change(session, change.position, { received: true })
        return
      case 'dequeue':
        this.dequeue(session.queue, change.position)
        return
      case 'hold':
        this.set(session.held, change.packetIdentifier, session.held.has(change.packetIdentifier) ? 'renew' : 'hold')
        return
      case 'release':
        if (session.held.get(change.packetIdentifier) === 'hold') this.drop(session.held, change.packetIdentifier)
        else this.set(session.held, change.packetIdentifier, 'release')
    }
  }

  private enqueue(queue: SessionChanges['queue'], entry: QueueEntry, replaces: boolean): void {
    const known = queue.get(entry.position)
    // a change of an entry that is not written here is one of a stored entry
    const isStored = replaces || (known !== undefined && (known.entry === undefined || known.replaces === true))
    this.set(queue, entry.position, isStored ? { entry, replaces: true } : { entry })
  }

  private dequeue(queue: SessionChanges['queue'], position: number): void {
    const known = queue.get(position)
    if (known?.entry !== undefined && known.replaces !== true) this.drop(queue, position)
    else this.set(queue, position, { removed: true })
  }

  private change(session: SessionChanges, position: number, fields: Partial<QueueEntry>): void {
    const known = session.queue.get(position)
    if (known?.removed) return
    if (known?.entry !== undefined) known.entry = { ...known.entry, ...fields }
    else this.set(session.queue, position, { ...known, ...fields } as QueueChange)
  }

  private set<K, V>(map: Map<K, V>, key: K, value: V): void {
    if (!map.has(key)) this.size++
    map.set(key, value)
  }

  private drop<K, V>(map: Map<K, V>, key: K): void {
    if (map.delete(key)) this.size--
  }
}
