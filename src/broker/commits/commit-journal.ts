import type { Clock } from '../../ports/clock'
import type { QueueEntry, Store, StoredMessage, StoredSession, StoredSubscription } from '../../ports/store'
import type { Message } from '../../protocol/message'
import type { Router } from '../../routing/router'
import type { Delivery } from '../../session/delivery'
import type { Journal } from '../../session/journal'
import type { Move } from '../../session/move'
import type { Session } from '../../session/session'
import type { Counters } from '../wire/counters'
import type { JournaledChange } from './change'
import { Joined } from './joined'
import { queueEntry } from './queue-entry'
import { type CommitEvents, Recovery } from './recovery'
import { ClearChange, RetainChange, type RetainedCommits, RetainedStep } from './retained-commits'
import { ChangesRetry, Retries } from './retries'
import {
  AssignChange,
  DequeueChange,
  EndChange,
  EnqueueChange,
  HeadChange,
  HoldChange,
  ReceivedChange,
  ReleaseChange,
  RewriteChange,
} from './session-changes'
import { Settlement } from './settlement'
import { Step } from './step'
import { ReplayChange, SubscribeChange, UnsubscribeChange } from './subscription-changes'

/** What a store may owe before publishers wait for it. */
const OPEN_COMMITS = 4096
const OPEN_BYTES = 64 * 1024 * 1024

/** Collects what changes during one step and commits it as a whole. */
export class CommitJournal implements Journal {
  readonly retries: Retries
  private changes: JournaledChange[] = []
  private told: JournaledChange[] = []
  private readonly counts: Counters
  private readonly store: Store
  private readonly clock: Clock
  private readonly router: Router<Session>
  private readonly retained: RetainedCommits
  private readonly events: CommitEvents
  private readonly recovery: Recovery
  private readonly settlement: Settlement
  /** Ends that the store has not kept, by Client Identifier. */
  private readonly ends = new Map<string, EndChange>()
  private closed = false
  /** Steps that the store has not answered for. */
  private readonly open = new Set<Step>()
  /** Settles with all that were open when it was asked for last; those that came since. */
  private former: Promise<void> | undefined
  private since: Promise<void>[] = []
  /** Payload bytes of what is collected, and of what is open. */
  private collectedBytes = 0
  private openBytes = 0
  /** How many questions to the application are open that are asked in the midst of a step. */
  private suspensions = 0
  private joined: Joined | null = null

  constructor(
    store: Store,
    clock: Clock,
    router: Router<Session>,
    retained: RetainedCommits,
    events: CommitEvents,
    counts: Counters,
  ) {
    this.counts = counts
    this.store = store
    this.clock = clock
    this.router = router
    this.retained = retained
    this.events = events
    this.retries = new Retries(clock)
    this.recovery = new Recovery(this, clock, events)
    this.settlement = new Settlement((step, isKept, error) => {
      this.counts.addCommit(this.clock.now() - step.begunAt)
      this.settle(step, isKept, error)
    })
  }

  /**
   * Commits what was collected: undefined when there was nothing, or the store has answered at once. A promise that
   * is returned rejects when nothing of it is kept; a store that throws at once is answered for the same way.
   * `publisher` is whose packet waits for it to be acknowledged. If its client sends the packet again after a refusal,
   * because its connection closes (`closes`) or is gone, all that comes from it behind this is refused too: messages
   * would come in another order.
   */
  commit(publisher: Session | null = null, closes = false): Promise<void> | undefined {
    if (this.changes.length === 0) return undefined
    if (this.suspensions > 0) return this.join()
    const { changes, collectedBytes, joined, told } = this
    this.changes = []
    this.told = []
    this.collectedBytes = 0
    this.joined = null
    const committed = this.submit(changes, told, collectedBytes, publisher, closes)
    joined?.follow(committed)
    return committed
  }

  private join(): Promise<void> {
    this.joined ??= new Joined()
    return this.joined.committed
  }

  private submit(
    changes: readonly JournaledChange[],
    told: readonly JournaledChange[],
    bytes: number,
    publisher: Session | null,
    closes: boolean,
  ): Promise<void> | undefined {
    if (this.closed) {
      const step = new Step(changes, told, bytes, publisher, closes)
      step.refuse(new Error('the broker has stopped'))
      return step.promise
    }
    if (publisher?.isRefused === true) {
      const step = new Step(changes, told, bytes, publisher, closes)
      this.take(step, behindRefused())
      return step.promise
    }
    let answer: void | Promise<void>
    this.counts.commits++
    try {
      answer = this.store.commit(changes)
    } catch (error) {
      const step = new Step(changes, told, bytes, publisher, closes)
      const open = publisher === null ? undefined : this.openCommits()
      // its publisher learns of it in its turn, and may be gone by then
      if (open !== undefined)
        this.await(
          step,
          open.then(() => Promise.reject(error)),
        )
      else this.refuse(step, error)
      return step.promise
    }
    if (answer === undefined && publisher !== null && publisher.lastStep !== null) {
      // the store has still to answer for what came before from there
      const step = new Step(changes, told, bytes, publisher, closes)
      this.begin(step)
      this.settle(step, true, undefined)
      return step.promise
    }
    if (answer === undefined) {
      for (let i = 0; i < told.length; i++) told[i]!.keep()
      return undefined
    }
    const step = new Step(changes, told, bytes, publisher, closes)
    this.await(step, answer)
    return step.promise
  }

  private await(step: Step, answer: Promise<void>): void {
    this.begin(step)
    step.begunAt = this.clock.now()
    this.settlement.add(step, answer)
  }

  private begin(step: Step): void {
    const { publisher, told } = step
    this.open.add(step)
    this.openBytes += step.bytes
    this.since.push(step.promise)
    for (let i = 0; i < told.length; i++) told[i]!.begin()
    if (publisher === null) return
    const last = publisher.lastStep as Step | null
    if (last !== null) last.later = step
    step.former = last
    publisher.lastStep = step
  }

  /** The store has answered. What comes from one client is settled in its order. */
  private settle(step: Step, isKept: boolean, error: unknown): void {
    step.isAnswered = true
    step.isKept = isKept
    step.error = error
    if (step.former !== null) return
    for (let next: Step | null = step; next?.isAnswered === true; next = next.later) {
      if (next.later !== null) next.later.former = null
      this.finish(next)
    }
  }

  private finish(step: Step): void {
    const { publisher } = step
    this.open.delete(step)
    this.openBytes -= step.bytes
    if (this.open.size === 0) {
      this.since = []
      this.former = undefined
    }
    if (publisher !== null && publisher.lastStep === step) publisher.lastStep = null
    if (step.isRefused) return
    if (step.isKept) step.keep()
    else this.refuse(step, step.error)
  }

  /** The store has refused it, and with it goes what its publisher has sent behind it. */
  private refuse(step: Step, error: unknown): void {
    const { isGivenUp, publisher } = step
    this.counts.refusedCommits++
    this.take(step, error)
    if (!isGivenUp) {
      // until that client is back: it is told by the end of its connection, and sends all of it again
      if (step.closes) publisher!.refusedConnection = step.connection
      for (let later = step.later; later !== null && !later.isRefused; later = later.later) this.withdraw(later)
    }
    this.events.refused(step.changes.length, error)
  }

  /** Takes a step back that no store will keep. */
  private take(step: Step, error: unknown): void {
    const left = step.undo()
    step.refuse(error)
    if (left.length > 0) this.tryAgain(left)
  }

  /** The store is still to answer for it, and may keep it: what undoes it there follows at once, in its order. */
  private withdraw(step: Step): void {
    const again = step.undo()
    for (const change of step.changes) {
      const inverse = change.inverse()
      if (inverse !== undefined) again.push(inverse)
    }
    step.refuse(behindRefused())
    if (again.length > 0) this.submit(again, again, 0, null, false)?.catch(() => undefined)
  }

  private tryAgain(changes: readonly JournaledChange[]): void {
    this.retries.add(new ChangesRetry(changes, this.commitAgain))
  }

  private readonly commitAgain = (changes: readonly JournaledChange[]): Promise<void> | undefined => {
    // what others have collected is not to fail with it
    this.commitUnattended()
    const blocked = changes.filter(({ isBlocked }) => isBlocked)
    if (blocked.length > 0) this.tryAgain(blocked)
    for (const change of changes) if (!change.isBlocked) this.tell(change.again())
    return this.commit()
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

  /** True when the store is so far behind that publishers must wait. */
  get isBehind(): boolean {
    return this.open.size >= OPEN_COMMITS || this.openBytes >= OPEN_BYTES
  }

  /** Settles once all commits have that are open now, or that a step under way will make; undefined if there is none. */
  openCommits(): Promise<void> | undefined {
    const joined = this.suspensions > 0 && this.changes.length > 0 ? this.join() : undefined
    if (this.since.length > 0) {
      // a client may ask for this with each of its packets: the same commits are not looked at twice
      const waited = this.former === undefined ? this.since : [this.former, ...this.since]
      this.former = Promise.allSettled(waited).then(() => undefined)
      this.since = []
    }
    if (joined === undefined) return this.former
    return Promise.allSettled([this.former, joined]).then(() => undefined)
  }

  /** Commits what was collected, where no answer waits for it. */
  commitUnattended(): void {
    this.commit()?.catch(() => undefined)
  }

  /** Commits what is left and waits for all open commits, whatever becomes of them. Then nothing more is committed. */
  async close(): Promise<void> {
    this.commitUnattended()
    this.retries.flush()
    while (this.open.size > 0) await Promise.allSettled([...this.open].map(({ promise }) => promise))
    this.closed = true
  }

  get isClosed(): boolean {
    return this.closed
  }

  enqueue(session: Session, delivery: Delivery, packetIdentifier: number): void {
    const entry = queueEntry(delivery, this.storedMessage(delivery.message), packetIdentifier)
    const change = new EnqueueChange(session, delivery, entry, this.recovery)
    this.changes.push(change)
    if (delivery.origin !== null) this.told.push(change)
  }

  /** Another entry takes the place of the one at its position. */
  rewrite(session: Session, entry: QueueEntry): void {
    this.changes.push(new RewriteChange(session, entry))
  }

  assign(session: Session, delivery: Delivery, packetIdentifier: number): void {
    this.changes.push(new AssignChange(session, delivery.position, packetIdentifier, this.recovery))
  }

  received(session: Session, delivery: Delivery, packetIdentifier: number): void {
    this.changes.push(new ReceivedChange(session, delivery.position, packetIdentifier))
  }

  dequeue(session: Session, { position }: Pick<Delivery, 'position'>, move: Move | null = null): void {
    const change = new DequeueChange(session, position, move, this.recovery)
    this.changes.push(change)
    if (move !== null) this.told.push(change)
  }

  hold(session: Session, packetIdentifier: number): void {
    this.changes.push(new HoldChange(session, packetIdentifier))
  }

  release(session: Session, packetIdentifier: number): void {
    this.changes.push(new ReleaseChange(session, packetIdentifier))
  }

  /** Writes the head of a session. Where one before it has not ended in the store, its end goes first. */
  record(session: Session, head: StoredSession): void {
    const end = this.ends.get(session.clientId)
    if (end?.precedes(session)) this.tell(end.replaced())
    this.changes.push(new HeadChange(session, head))
  }

  /** Not before the messages are kept that others are to have of it. */
  end(session: Session): void {
    const end = new EndChange(session, this.ends, this.recovery)
    if (session.openShares === 0) this.tell(end)
  }

  /** Ends a session whose end had to wait; the commit is left to the caller. */
  endWaiting(session: Session): void {
    const end = this.ends.get(session.clientId)
    if (end !== undefined && !end.precedes(session) && end.isDue) this.tell(end)
  }

  /** `former` is what the filter had until now, if anything. */
  subscribe(session: Session, subscription: StoredSubscription, former: StoredSubscription | undefined): void {
    this.changes.push(new SubscribeChange(session, subscription, former, this.router))
  }

  /** How far the retained messages of a subscription have come. */
  advanceReplay(session: Session, subscription: StoredSubscription): void {
    this.changes.push(new ReplayChange(session, subscription))
  }

  unsubscribe(session: Session, filter: string): void {
    this.changes.push(new UnsubscribeChange(session, filter, this.router))
  }

  /** `before` is what the topic has retained until now. */
  retain(message: Message, before: Message | undefined): void {
    this.tell(new RetainChange(this.retained, new RetainedStep(message.topic, before, message), this.storedMessage))
  }

  clear(topic: string, before: Message | undefined): void {
    this.tell(new ClearChange(this.retained, new RetainedStep(topic, before, undefined), this.storedMessage))
  }

  /** Adds any other change, which is told what becomes of it. */
  tell(change: JournaledChange): void {
    this.changes.push(change)
    this.told.push(change)
  }

  /** One object for one message, so that a store can see that several queues hold the same. */
  readonly storedMessage = (message: Message): StoredMessage => {
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

function behindRefused(): Error {
  return new Error('the store did not keep a message that its publisher sent before')
}
