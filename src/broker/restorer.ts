import type { QueueEntry, StoredMessage, StoredSessionState } from '../ports/store'
import { createMessage, type Message } from '../protocol/message'
import { parseSharedFilter } from '../protocol/topic'
import { IdentifierSet } from '../session/identifier-set'
import { isIdentifier } from '../session/inflight'
import { Session } from '../session/session'
import type { Core } from './core'
import { isPromise } from './gate'
import { PAGE, QueueScan } from './queue-scan'
import { StoredClock } from './stored-clock'
import { StoredQueue } from './stored-queue'

/** Sessions or retained messages between two words about the progress. */
const PROGRESS = 10_000
/** Milliseconds until messages are handed on again that the store has refused. */
const RETRY_MS = 1000

/** Brings back what the store has kept: heads and subscriptions at start-up, queues page by page as they are sent. */
export class Restorer {
  private readonly core: Core
  private readonly readings = new WeakMap<Session, Promise<void>>()

  private readonly clock: StoredClock
  private readonly stored: StoredQueue
  readonly scan: QueueScan

  constructor(core: Core) {
    this.core = core
    this.clock = new StoredClock(core.settings.clock)
    this.stored = new StoredQueue(core, this.clock)
    this.scan = new QueueScan(core, this.stored)
  }

  async load(): Promise<void> {
    const { store } = this.core.settings
    let retained = 0
    for await (const stored of store.retained()) {
      const message = this.retained(stored)
      if (this.clock.hasPassed(message.expiresAt)) this.core.journal.clear(message.topic, undefined)
      else this.core.retained.set(message)
      if (++retained % PROGRESS === 0) this.tell(0, retained, false)
    }
    let sessions = 0
    for await (const state of store.sessions()) {
      this.restore(state)
      if (++sessions % PROGRESS === 0) this.tell(sessions, retained, false)
    }
    if (sessions + retained > 0) this.tell(sessions, retained, true)
    // what expired meanwhile leaves the store
    this.core.journal.commitUnattended()
    this.scan.start()
  }

  private retained({ topic, payload, properties, qos, expiresAt }: StoredMessage): Message {
    return createMessage(topic, payload, properties, qos, true, this.clock.deadline(expiresAt), undefined)
  }

  private tell(sessions: number, retainedMessages: number, done: boolean): void {
    const { events, settings } = this.core
    settings.logger.info({ sessions, retainedMessages, done }, done ? 'restored' : 'restoring')
    events.emit('restoring', { sessions, retainedMessages, done })
  }

  private restore(state: StoredSessionState): void {
    const { retainedSender, router, sessions, settings, wills } = this.core
    const { session: head } = state
    const session = new Session(head.clientId, settings.session)
    session.username = head.username
    session.expiryInterval = head.expiryInterval
    session.lastPosition = state.lastPosition
    session.addStored(state.queuedMessages, state.queuedBytes)
    session.unread = true
    session.accepted = true
    this.scan.add(session)
    sessions.restore(session, head.disconnectedAt)
    for (const subscription of state.subscriptions) {
      const { filter, replayAfter } = subscription
      router.subscribe(session, filter, parseSharedFilter(filter), subscription)
      if (replayAfter !== undefined) retainedSender.restore(router.subscription(session, filter)!, replayAfter)
    }
    if (head.will !== undefined) wills.restore(session, head.will, head.disconnectedAt)
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
    const { store } = this.core.settings
    const held = await store.held(session.clientId)
    if (held.length > 0) session.held ??= new IdentifierSet()
    for (const identifier of held) if (isIdentifier(identifier)) session.held!.add(identifier)
    session.beginReading()
    try {
      await this.readInFlight(session)
    } finally {
      session.endReading()
    }
    session.unread = false
    // what has expired meanwhile
    this.core.journal.commitUnattended()
  }

  /** What was sent comes first as a rule: its pages are taken into memory. What stands further back is looked for. */
  private async readInFlight(session: Session): Promise<void> {
    const { store } = this.core.settings
    for (;;) {
      const entries = await store.queue(session.clientId, session.lastLoaded, PAGE)
      this.stored.take(session, entries)
      if (entries.length < PAGE) {
        this.scan.forget(session)
        return
      }
      if (entries[entries.length - 1]!.packetIdentifier === 0) break
    }
    await this.scan.read(session, true)
  }

  /**
   * Hands on what a session that is about to end has of shared groups, page by page where the store has it, and calls
   * `done`. What nobody takes is let go: a long queue must not lie in memory as a whole.
   */
  handOn(session: Session, done: () => void): void {
    const { journal, publisher, sessions } = this.core
    if (journal.isClosed) return
    const isThere = sessions.get(session.clientId) === session
    const committed = isThere ? publisher.handOver(session) : undefined
    const again = (): void => this.handOn(session, done)
    // what is refused is back, and the session must not end before others have it
    if (committed !== undefined) {
      const retry = (): void => void this.core.settings.clock.after(RETRY_MS, again)
      committed.then(() => this.handOnNext(session, done), retry)
    } else this.handOnNext(session, done)
  }

  private handOnNext(session: Session, done: () => void): void {
    const { journal, sessions } = this.core
    if (journal.isClosed) return
    const isThere = sessions.get(session.clientId) === session
    if (isThere) session.queue?.clear()
    if (!isThere || session.storedMessages === 0 || session.reading) done()
    else this.page(session, () => setImmediate(() => this.handOn(session, done)), done)
  }

  /**
   * Reads the next page of a queue and calls `then` when it is there, at once if the store answers at once; `otherwise`
   * if it cannot be read.
   */
  page(session: Session, then: () => void, otherwise: () => void = nothing): void {
    if (session.reading) return
    session.reading = true
    session.beginReading()
    const { journal, settings } = this.core
    const read = (): readonly QueueEntry[] | Promise<readonly QueueEntry[]> =>
      settings.store.queue(session.clientId, session.lastLoaded, PAGE)
    const take = (entries: readonly QueueEntry[], settled: boolean): void => {
      session.reading = false
      // it may have ended meanwhile, and what was read may be the queue of the one that took its place
      if (this.core.sessions.get(session.clientId) === session) this.stored.take(session, entries)
      session.endReading()
      // nothing there although nothing is under way any more: it was never kept
      if (entries.length === 0 && settled) session.addStored(-session.storedMessages, 0)
      then()
      this.core.sessions.connection(session.clientId)?.wakeWaiting()
    }
    const fail = (error: unknown): void => {
      session.reading = false
      session.endReading()
      settings.logger.error({ err: error, clientId: session.clientId }, 'the queue could not be read')
      otherwise()
    }
    const committed = journal.openCommits()
    if (committed === undefined) {
      try {
        const entries = read()
        if (isPromise<readonly QueueEntry[]>(entries)) entries.then((page) => take(page, true), fail)
        else take(entries, true)
      } catch (error) {
        fail(error)
      }
      return
    }
    // what waits may be on its way to the store still
    committed.then(read).then((page) => take(page, journal.openCommits() === undefined), fail)
  }
}

const nothing = (): void => undefined
