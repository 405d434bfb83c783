import type { QueueEntry, StoredMessage, StoredSessionState } from '../ports/store'
import { createMessage, type Message } from '../protocol/message'
import { parseSharedFilter } from '../protocol/topic'
import { Delivery } from '../session/delivery'
import { DeliveryQueue } from '../session/delivery-queue'
import { IdentifierSet } from '../session/identifier-set'
import { Inflight, InflightState } from '../session/inflight'
import { Session } from '../session/session'
import type { Core } from './core'
import { isPromise } from './gate'

/** Queue entries that are read at a time. */
const PAGE = 256
/** Sessions or retained messages between two words about the progress. */
const PROGRESS = 10_000

/** Brings back what the store has kept: heads and subscriptions at start-up, queues page by page as they are sent. */
export class Restorer {
  private readonly core: Core
  private readonly readings = new WeakMap<Session, Promise<void>>()

  constructor(core: Core) {
    this.core = core
  }

  async load(): Promise<void> {
    const { store } = this.core.settings
    let retained = 0
    for await (const stored of store.retained()) {
      const message = this.message(stored, true)
      if (this.isExpired(message)) this.core.journal.clear(message.topic, undefined)
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
  }

  private tell(sessions: number, retainedMessages: number, done: boolean): void {
    const { events, settings } = this.core
    settings.logger.info({ sessions, retainedMessages, done }, done ? 'restored' : 'restoring')
    events.emit('restoring', { sessions, retainedMessages, done })
  }

  private restore(state: StoredSessionState): void {
    const { router, sessions, settings, wills } = this.core
    const { session: head } = state
    const session = new Session(head.clientId, settings.session)
    session.username = head.username
    session.expiryInterval = head.expiryInterval
    session.lastPosition = state.lastPosition
    session.addStored(state.queuedMessages, state.queuedBytes)
    session.unread = true
    session.accepted = true
    sessions.restore(session, head.disconnectedAt)
    for (const subscription of state.subscriptions) {
      const { filter } = subscription
      router.subscribe(session, filter, parseSharedFilter(filter), subscription)
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
    for (const identifier of held) session.held!.add(identifier)
    for (;;) {
      const entries = await store.queue(session.clientId, session.lastLoaded, PAGE)
      this.take(session, entries)
      // what was sent comes first: from the first that was not, the rest can wait
      if (entries.length < PAGE || entries[entries.length - 1]!.packetIdentifier === 0) break
    }
    session.unread = false
  }

  /**
   * Hands on what a session that is about to end has of shared groups, page by page where the store has it, and calls
   * `done`. What nobody takes is let go: a long queue must not lie in memory as a whole.
   */
  handOn(session: Session, done: () => void): void {
    const { journal, publisher, sessions } = this.core
    if (journal.isClosed) return
    const isThere = sessions.get(session.clientId) === session
    if (isThere) {
      publisher.handOver(session)
      session.queue?.clear()
    }
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
    const { journal, settings } = this.core
    const read = (): readonly QueueEntry[] | Promise<readonly QueueEntry[]> =>
      settings.store.queue(session.clientId, session.lastLoaded, PAGE)
    const take = (entries: readonly QueueEntry[], settled: boolean): void => {
      session.reading = false
      // it may have ended meanwhile, and what was read may be the queue of the one that took its place
      if (this.core.sessions.get(session.clientId) === session) this.take(session, entries)
      // nothing there although nothing is under way any more: it was never kept
      if (entries.length === 0 && settled) session.addStored(-session.storedMessages, 0)
      then()
    }
    const fail = (error: unknown): void => {
      session.reading = false
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

  private take(session: Session, entries: readonly QueueEntry[]): void {
    session.queue ??= new DeliveryQueue(session.limits.budget)
    for (const entry of entries) {
      session.lastLoaded = entry.position
      session.addStored(-1, -entryBytes(entry))
      this.place(session, session.queue, entry)
    }
  }

  private place(session: Session, queue: DeliveryQueue, entry: QueueEntry): void {
    const { share = null } = entry
    const message = this.message(entry.message, share?.retain ?? false)
    // what was sent before it expired is sent again all the same: its exchange must come to an end [MQTT-4.4.0-1]
    if (entry.packetIdentifier === 0 && this.isExpired(message)) {
      session.drop()
      this.core.journal.add({ type: 'dequeue', clientId: session.clientId, position: entry.position })
      return
    }
    const delivery = new Delivery(message, entry.qos, entry.retain, entry.subscriptionIdentifiers, share)
    delivery.position = entry.position
    if (entry.packetIdentifier === 0) {
      queue.push(delivery)
      return
    }
    delivery.sent = true
    const state = entry.qos === 1 ? InflightState.Puback : entry.received ? InflightState.Pubcomp : InflightState.Pubrec
    session.inflight ??= new Inflight()
    session.inflight.restore(entry.packetIdentifier, state, delivery)
  }

  private message(stored: StoredMessage, retain: boolean): Message {
    const { topic, payload, properties, qos, expiresAt } = stored
    return createMessage(topic, payload, properties, qos, retain, this.deadline(expiresAt), undefined)
  }

  /** By `clock.now()`, where 0 stands for none. */
  private deadline(expiresAt: number | undefined): number {
    const { clock } = this.core.settings
    return expiresAt === undefined ? 0 : expiresAt - clock.wallTime() + clock.now() || -1
  }

  private isExpired({ expiresAt }: Message): boolean {
    return expiresAt !== 0 && expiresAt <= this.core.settings.clock.now()
  }
}

const nothing = (): void => undefined

/** The same as `deliveryBytes`, for what still lies in the store. */
export function entryBytes({ message }: QueueEntry): number {
  return message.payload.length + (message.properties?.length ?? 0) + Buffer.byteLength(message.topic)
}
