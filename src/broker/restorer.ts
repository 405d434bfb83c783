import { createMessage, type Message } from '../protocol/message'
import type { QueueEntry, StoredMessage } from '../ports/store'
import { parseSharedFilter } from '../protocol/topic'
import { Delivery } from '../session/delivery'
import { DeliveryQueue } from '../session/delivery-queue'
import { IdentifierSet } from '../session/identifier-set'
import { Inflight, InflightState } from '../session/inflight'
import { Session } from '../session/session'
import type { Core } from './core'

const PAGE = 256

/** Brings back what the store has kept: heads and subscriptions at start-up, a queue when its client comes back. */
export class Restorer {
  private readonly core: Core

  constructor(core: Core) {
    this.core = core
  }

  async load(): Promise<void> {
    const { retained, router, sessions, settings } = this.core
    const { store } = settings
    for await (const stored of store.retained()) {
      const message = this.message(stored, true)
      if (message !== undefined) retained.set(message)
    }
    for await (const { session: head, subscriptions, lastPosition } of store.sessions()) {
      const session = new Session(head.clientId, settings.session)
      session.username = head.username
      session.expiryInterval = head.expiryInterval
      session.lastPosition = lastPosition
      session.unread = true
      sessions.restore(session, head.disconnectedAt)
      for (const subscription of subscriptions) {
        const { filter } = subscription
        router.subscribe(session, filter, parseSharedFilter(filter) ?? { shareName: undefined, filter }, subscription)
      }
    }
  }

  /** Reads the queue and the held identifiers of a session. */
  async read(session: Session): Promise<void> {
    const { store } = this.core.settings
    // what arrived since the start lies in memory, and in the store behind what was there before
    const newer = session.queue
    const firstNewer = newer?.peek()?.position ?? Number.POSITIVE_INFINITY
    const queue = new DeliveryQueue()
    for (let after = 0; ; ) {
      const page = await store.queue(session.clientId, after, PAGE)
      for (const entry of page) if (entry.position < firstNewer) this.place(session, queue, entry)
      const last = page[page.length - 1]
      if (last === undefined || last.position >= firstNewer) break
      after = last.position
    }
    const held = await store.held(session.clientId)
    if (held.length > 0) session.held ??= new IdentifierSet()
    for (const identifier of held) session.held!.add(identifier)
    const arrived = session.queue
    if (arrived !== null) for (let next = arrived.shift(); next !== undefined; next = arrived.shift()) queue.push(next)
    session.queue = queue
    session.unread = false
  }

  private place(session: Session, queue: DeliveryQueue, entry: QueueEntry): void {
    const message = this.message(entry.message, false)
    if (message === undefined) {
      this.core.journal.add({ type: 'dequeue', clientId: session.clientId, position: entry.position })
      return
    }
    const delivery = new Delivery(message, entry.qos, entry.retain, entry.subscriptionIdentifiers, null)
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

  /** Undefined if it has expired. */
  private message(stored: StoredMessage, retain: boolean): Message | undefined {
    const { clock } = this.core.settings
    let expiresAt = 0
    if (stored.expiresAt !== undefined) {
      const left = stored.expiresAt - clock.wallTime()
      if (left <= 0) return undefined
      expiresAt = clock.now() + left
    }
    return createMessage(stored.topic, stored.payload, stored.properties, stored.qos, retain, expiresAt, undefined)
  }
}
