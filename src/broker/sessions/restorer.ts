import type { RestoreProgress } from '../../ports/events'
import type { Logger } from '../../ports/logger'
import type { Store, StoredMessage, StoredSessionState, StoredWill } from '../../ports/store'
import { createMessage, type Message } from '../../protocol/message'
import { parseSharedFilter } from '../../protocol/topic'
import type { RetainedMessages } from '../../routing/retained-messages'
import type { Router } from '../../routing/router'
import type { Subscription } from '../../routing/subscription'
import { isIdentifier } from '../../session/inflight'
import { Session, type SessionLimits } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { SessionLife } from './life'
import { PAGE, type QueueScan } from './queue-scan'
import type { StoredClock } from './stored-clock'
import type { StoredQueue } from './stored-queue'

/** Sessions or retained messages between two reports of the progress. */
const PROGRESS = 10_000

export interface RestorerParts {
  readonly logger: Logger
  readonly store: Store
  readonly limits: SessionLimits
  readonly journal: CommitJournal
  readonly router: Router<Session>
  readonly retained: RetainedMessages
  readonly life: SessionLife
  readonly clock: StoredClock
  readonly stored: StoredQueue
  readonly scan: QueueScan
}

/** Told of what the store has kept besides sessions, subscriptions and retained messages. */
export interface RestoredRest {
  /** A Will that was not published. `disconnectedAt` is wall time, 0 if a crash ended the connection. */
  will(session: Session, will: StoredWill, disconnectedAt: number): void
  /** A subscription that has got its retained messages up to the topic `after`. */
  replay(subscription: Subscription<Session>, after: string): void
  progress(progress: RestoreProgress): void
}

/** Brings back what the store has kept: heads and subscriptions at start-up, what was in flight when a client is back. */
export class Restorer {
  private readonly parts: RestorerParts
  private readonly readings = new WeakMap<Session, Promise<void>>()

  constructor(parts: RestorerParts) {
    this.parts = parts
  }

  async load(rest: RestoredRest): Promise<void> {
    const { clock, journal, retained, scan, store } = this.parts
    let retainedMessages = 0
    for await (const stored of store.retained()) {
      const message = this.retainedMessage(stored)
      if (clock.hasPassed(message.expiresAt)) journal.clear(message.topic, undefined)
      else retained.set(message)
      if (++retainedMessages % PROGRESS === 0) this.tell(rest, { sessions: 0, retainedMessages, done: false })
    }
    let sessions = 0
    for await (const state of store.sessions()) {
      this.restore(state, rest)
      if (++sessions % PROGRESS === 0) this.tell(rest, { sessions, retainedMessages, done: false })
    }
    if (sessions + retainedMessages > 0) this.tell(rest, { sessions, retainedMessages, done: true })
    // what expired meanwhile leaves the store
    journal.commitUnattended()
    scan.start()
  }

  private retainedMessage({ topic, payload, properties, qos, expiresAt }: StoredMessage): Message {
    return createMessage(topic, payload, properties, qos, true, this.parts.clock.deadline(expiresAt), undefined)
  }

  private tell(rest: RestoredRest, progress: RestoreProgress): void {
    this.parts.logger.info(progress, progress.done ? 'restored' : 'restoring')
    rest.progress(progress)
  }

  private restore(state: StoredSessionState, rest: RestoredRest): void {
    const { life, limits, router, scan } = this.parts
    const { session: head } = state
    const session = new Session(head.clientId, limits)
    session.username = head.username
    session.expiryInterval = head.expiryInterval
    session.lastPosition = state.lastPosition
    session.addStored(state.queuedMessages, state.queuedBytes)
    session.unread = true
    session.connectionCount = 1
    scan.add(session)
    life.restore(session, head.disconnectedAt)
    for (const subscription of state.subscriptions) {
      const { filter, replayAfter } = subscription
      router.subscribe(session, filter, parseSharedFilter(filter), subscription)
      if (replayAfter !== undefined) rest.replay(router.subscription(session, filter)!, replayAfter)
    }
    if (head.will !== undefined) rest.will(session, head.will, head.disconnectedAt)
  }

  /** A client is back: reads what it had in flight and held, and the first page of what waits. */
  read(session: Session): Promise<void> {
    // a second connection may come while the first still waits for this
    let reading = this.readings.get(session)
    if (reading === undefined) {
      reading = this.readOnce(session).finally(() => this.readings.delete(session))
      this.readings.set(session, reading)
    }
    return reading
  }

  private async readOnce(session: Session): Promise<void> {
    const { store } = this.parts
    const held = await store.held(session.clientId)
    for (const identifier of held) if (isIdentifier(identifier)) session.openHeld().add(identifier)
    session.beginReading()
    try {
      await this.readInFlight(session)
    } finally {
      session.endReading()
    }
    session.unread = false
    // what has expired meanwhile
    this.parts.journal.commitUnattended()
  }

  /** What was sent comes first as a rule: its pages are taken into memory. What lies further back is looked for. */
  private async readInFlight(session: Session): Promise<void> {
    const { store } = this.parts
    for (;;) {
      const entries = await store.queue(session.clientId, session.lastLoaded, PAGE)
      this.parts.stored.take(session, entries)
      if (entries.length < PAGE) {
        this.parts.scan.forget(session)
        return
      }
      if (entries[entries.length - 1]!.packetIdentifier === 0) break
    }
    await this.parts.scan.read(session, true)
  }
}
