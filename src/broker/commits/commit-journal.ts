import type { Clock } from '../../ports/clock'
import type { Change, Store, StoredMessage, StoredSubscription } from '../../ports/store'
import type { Message } from '../../protocol/message'
import type { Delivery } from '../../session/delivery'
import type { Journal } from '../../session/journal'
import type { Session } from '../../session/session'
import { type RetainedCommits, RetainedStep } from './retained-commits'

/** What becomes of what the store has refused. */
export interface CommitFailures {
  /** Told before those who wait for the commit. */
  undo(changes: readonly Change[], error: unknown): void
  /** The store is about to be closed: the last attempt for what is to be tried again. */
  flush(): void
}

/** What a store may owe before publishers wait for it. */
const OPEN_COMMITS = 4096
const OPEN_BYTES = 64 * 1024 * 1024

/** Steps within a step: what they wait for is its commit. */
class Joined {
  readonly committed: Promise<void>
  private settle: (committed: Promise<void> | undefined) => void = () => undefined

  constructor() {
    this.committed = new Promise((resolve) => {
      this.settle = resolve
    })
    this.committed.catch(() => undefined)
  }

  follow(committed: Promise<void> | undefined): void {
    this.settle(committed)
  }
}

/** Collects what changes during one step and commits it as a whole. */
export class CommitJournal implements Journal {
  private changes: Change[] = []
  private retainedSteps: RetainedStep[] = []
  private readonly store: Store
  private readonly clock: Clock
  private readonly retained: RetainedCommits
  private readonly failures: CommitFailures
  private closed = false
  /** Commits that a promise still answers for. */
  private readonly open = new Set<Promise<void>>()
  /** Settles with all that were open when it was asked for last; those that came since. */
  private former: Promise<void> | undefined
  private since: Promise<void>[] = []
  /** Payload bytes of what is collected, and of what is open. */
  private collectedBytes = 0
  private openBytes = 0
  /** How many questions to the application are open that are asked in the midst of a step. */
  private suspensions = 0
  private joined: Joined | null = null

  constructor(store: Store, clock: Clock, retained: RetainedCommits, failures: CommitFailures) {
    this.store = store
    this.clock = clock
    this.retained = retained
    this.failures = failures
  }

  /**
   * Commits what was collected: undefined when there was nothing, or the store has answered at once. A promise that
   * is returned rejects when nothing of it was kept; a store that throws at once is answered for the same way.
   */
  commit(): Promise<void> | undefined {
    if (this.changes.length === 0) return undefined
    if (this.suspensions > 0) return this.join()
    const { changes, collectedBytes, joined, retainedSteps } = this
    this.changes = []
    this.retainedSteps = []
    this.collectedBytes = 0
    this.joined = null
    const committed = this.submit(changes, collectedBytes, retainedSteps)
    joined?.follow(committed)
    return committed
  }

  private join(): Promise<void> {
    this.joined ??= new Joined()
    return this.joined.committed
  }

  private submit(
    changes: readonly Change[],
    bytes: number,
    retainedSteps: readonly RetainedStep[],
  ): Promise<void> | undefined {
    if (this.closed) return Promise.reject(new Error('the broker has stopped'))
    let answer: void | Promise<void>
    try {
      answer = this.store.commit(changes)
    } catch (error) {
      answer = Promise.reject(error)
    }
    if (answer === undefined) return undefined
    const tracked = answer
    this.open.add(tracked)
    if (this.since[this.since.length - 1] !== tracked) this.since.push(tracked)
    this.openBytes += bytes
    this.retained.begin(retainedSteps)
    const settle = (): void => {
      this.open.delete(tracked)
      if (this.open.size === 0) this.since = []
      this.openBytes -= bytes
    }
    tracked.then(
      () => {
        settle()
        this.retained.keep(retainedSteps)
      },
      (error: unknown) => {
        settle()
        this.retained.refuse(retainedSteps)
        this.failures.undo(changes, error)
      },
    )
    return tracked
  }

  /**
   * The application is asked in the midst of a step, and may publish or end a connection. Until `resume` whatever
   * commits joins the step: half of it, committed with something else, would not be what its acknowledgement waits for.
   */
  suspend(): void {
    this.suspensions++
  }

  resume(): void {
    if (--this.suspensions > 0 || this.joined === null) return
    // for a step that has nothing to commit of its own
    queueMicrotask(() => {
      if (this.joined !== null) this.commitUnattended()
    })
  }

  /** True when the store is so far behind that whoever brings it more must wait. */
  get isBehind(): boolean {
    return this.open.size >= OPEN_COMMITS || this.openBytes >= OPEN_BYTES
  }

  /** Settles once all commits have that are open now, or that a step under way will make; undefined if there is none. */
  openCommits(): Promise<void> | undefined {
    const joined = this.suspensions > 0 && this.changes.length > 0 ? this.join() : undefined
    if (this.open.size === 0) this.former = undefined
    else if (this.since.length > 0) {
      // a client may ask for this with each of its packets: nobody looks at the same commits twice
      const { former } = this
      const waited = former === undefined ? this.since : [former, ...this.since]
      this.former = Promise.allSettled(waited).then(() => undefined)
      this.since = []
    }
    if (joined === undefined) return this.former
    return Promise.allSettled([this.former, joined]).then(() => undefined)
  }

  /** Commits changes by themselves, whatever is collected. */
  commitAlone(changes: readonly Change[]): Promise<void> | undefined {
    return this.submit(changes, 0, [])
  }

  /** Commits what was collected, with nobody waiting for it. */
  commitUnattended(): void {
    this.commit()?.catch(() => undefined)
  }

  /** Commits what is left and waits for all open commits, whatever becomes of them. Then nothing more is committed. */
  async close(): Promise<void> {
    this.commitUnattended()
    this.failures.flush()
    while (this.open.size > 0) await Promise.allSettled(this.open)
    this.closed = true
  }

  get isClosed(): boolean {
    return this.closed
  }

  enqueue(session: Session, delivery: Delivery, packetIdentifier: number): void {
    const { origin } = delivery
    const entry = {
      position: delivery.position,
      message: this.storedMessage(delivery.message),
      qos: delivery.qos,
      retain: delivery.retain,
      subscriptionIdentifiers: delivery.subscriptionIdentifiers,
      share: origin === null ? undefined : { filter: origin.filter, retain: delivery.message.retain },
      packetIdentifier,
      received: false,
    }
    this.changes.push({ type: 'enqueue', clientId: session.clientId, entry })
  }

  assign(session: Session, delivery: Delivery, packetIdentifier: number): void {
    this.changes.push({ type: 'assign', clientId: session.clientId, position: delivery.position, packetIdentifier })
  }

  received(session: Session, delivery: Delivery): void {
    this.changes.push({ type: 'received', clientId: session.clientId, position: delivery.position })
  }

  dequeue(session: Session, { position }: Pick<Delivery, 'position'>): void {
    this.changes.push({ type: 'dequeue', clientId: session.clientId, position })
  }

  hold(session: Session, packetIdentifier: number): void {
    this.changes.push({ type: 'hold', clientId: session.clientId, packetIdentifier })
  }

  release(session: Session, packetIdentifier: number): void {
    this.changes.push({ type: 'release', clientId: session.clientId, packetIdentifier })
  }

  end(session: Session): void {
    this.changes.push({ type: 'end', clientId: session.clientId })
  }

  subscribe(session: Session, subscription: StoredSubscription): void {
    this.changes.push({ type: 'subscribe', clientId: session.clientId, subscription })
  }

  unsubscribe(session: Session, filter: string): void {
    this.changes.push({ type: 'unsubscribe', clientId: session.clientId, filter })
  }

  /** Adds any other change. */
  add(change: Change): void {
    this.changes.push(change)
  }

  /** `before` is what the topic has retained until now. */
  retain(message: Message, before: Message | undefined): void {
    this.changes.push({ type: 'retain', message: this.storedMessage(message) })
    this.retainedSteps.push(new RetainedStep(message.topic, before, message))
  }

  clear(topic: string, before: Message | undefined): void {
    this.changes.push({ type: 'clear', topic })
    this.retainedSteps.push(new RetainedStep(topic, before, undefined))
  }

  /** One object for one message, so that a store can see that several queues hold the same. */
  storedMessage(message: Message): StoredMessage {
    if (message.stored !== null) return message.stored as StoredMessage
    const stored = {
      topic: message.topic,
      payload: message.payload,
      qos: message.qos,
      properties: message.propertyBytes,
      expiresAt: message.expiresAt === 0 ? undefined : this.clock.wallTime() + message.expiresAt - this.clock.now(),
    }
    message.stored = stored
    this.collectedBytes += message.payload.length
    return stored
  }
}
