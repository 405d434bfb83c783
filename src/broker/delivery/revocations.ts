import { setImmediate as nextTurn } from 'node:timers/promises'
import type { QueueEntry, Store, StoredSubscription } from '../../ports/store'
import { DropReason } from '../../protocol/drop-reason'
import type { QoS } from '../../protocol/packet'
import { parseSharedFilter } from '../../protocol/topic'
import type { Router } from '../../routing/router'
import type { Subscription } from '../../routing/subscription'
import type { Delivery } from '../../session/delivery'
import { InflightState } from '../../session/inflight'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import { entryBytes } from '../commits/entry-bytes'
import { queueEntry } from '../commits/queue-entry'
import { PAGE } from '../sessions/queue-scan'
import type { SessionRegistry } from '../sessions/registry'
import type { Restorer } from '../sessions/restorer'
import type { StoredQueue } from '../sessions/stored-queue'
import type { Fanout } from './fanout'
import { DENIED, Grants } from './grants'
import type { QueueSender } from './queue-sender'
import type { RetainedSender } from './retained-sender'

export interface RevocationParts {
  readonly store: Store
  readonly journal: CommitJournal
  readonly router: Router<Session>
  readonly registry: SessionRegistry
  readonly restorer: Restorer
  readonly stored: StoredQueue
  readonly fanout: Fanout
  readonly queues: QueueSender
  readonly retainedSender: RetainedSender
  readonly maximumTopicLevels: number
}

/** What filters had until now, by filter. */
type Former = Map<string, StoredSubscription>

/**
 * A session has filters that it may not have any more, or that are granted less: `authorizeSubscribe` has said so when it
 * resumed, or they were revoked. What waits in the session because of them is dropped, goes to other members of its shared
 * group, or keeps to the lower QoS. The store has the former subscriptions until that is kept: after a crash the hook is
 * asked again.
 */
export class Revocations {
  private readonly parts: RevocationParts
  /** What the queues of sessions do not keep to yet. */
  private readonly pending = new WeakMap<Session, Former>()
  private readonly running = new WeakMap<Session, Promise<void>>()

  constructor(parts: RevocationParts) {
    this.parts = parts
  }

  /** From now on the filter brings nothing more, or with `qos` no more than that. What waits keeps to it after `settle`. */
  add(subscription: Subscription<Session>, qos: QoS | undefined): void {
    const { retainedSender, router } = this.parts
    const { filter, subscriber: session } = subscription
    // it has ended, or was revoked, while the application was asked
    if (router.subscription(session, filter) !== subscription) return
    let former = this.pending.get(session)
    if (former === undefined) this.pending.set(session, (former = new Map()))
    if (!former.has(filter)) former.set(filter, retainedSender.recordOf(subscription))
    if (qos === undefined) {
      router.unsubscribe(session, filter)
      retainedSender.ended(session, filter)
    } else {
      router.subscribe(session, filter, parseSharedFilter(filter), { ...retainedSender.recordOf(subscription), qos })
      retainedSender.lowered(session, filter, qos)
    }
  }

  /** Whether `settle` has anything to do, also of a connection before. */
  isPending(session: Session): boolean {
    return this.pending.has(session) || this.running.has(session)
  }

  /**
   * Settles once nothing waits in the session that its client may not have, and the store has kept that. Rejects if the
   * store fails: then the rest is for the next connection.
   */
  async settle(session: Session): Promise<void> {
    // a connection before may be at it still
    for (let other = this.running.get(session); other !== undefined; other = this.running.get(session))
      await other.catch(() => undefined)
    const former = this.pending.get(session)
    if (former === undefined) return
    this.pending.delete(session)
    const run = this.run(session, former)
    this.running.set(session, run)
    try {
      await run
    } catch (error) {
      this.pending.set(session, new Map([...(this.pending.get(session) ?? []), ...former]))
      throw error
    } finally {
      this.running.delete(session)
    }
  }

  private async run(session: Session, former: Former): Promise<void> {
    const { journal, registry, restorer } = this.parts
    // of an absent session what is in flight lies in the store as well, and is revised there
    if (session.unread && registry.connection(session.clientId) !== undefined) await restorer.read(session)
    // what waits may be on its way to the store still
    await journal.openCommits()
    const grants = await this.grants(session, former)
    await this.reviseStored(session, grants)
    await this.reviseLoaded(session, grants, false)
    await journal.commit()
    const offered = journal.openCommits()
    if (offered !== undefined) {
      await offered
      // what the store has refused to move to another member is back
      await this.reviseLoaded(session, grants, true)
      await journal.commit()
    }
    if (!registry.has(session)) return
    this.record(session, former)
    const recorded = journal.commit()
    this.goOn(session)
    await recorded
  }

  /** What waited behind that has room now. */
  private goOn(session: Session): void {
    const { queues, registry } = this.parts
    if (session.output === null) return
    queues.send(session)?.catch(() => undefined)
    registry.connection(session.clientId)?.wakeWaiting()
  }

  private async grants(session: Session, former: Former): Promise<Grants> {
    const { maximumTopicLevels, router } = this.parts
    const grants = new Grants(maximumTopicLevels + 1)
    const isLower = ({ filter, qos }: Subscription<Session>): boolean => qos < (former.get(filter)?.qos ?? 0)
    const current = [...router.subscriptionsOf(session)]
    await grants.addAll(current.map((one) => [one.filter, one.group !== null, one.qos, isLower(one)]))
    const denied = [...former.keys()].filter((filter) => router.subscription(session, filter) === undefined)
    await grants.addAll(denied.map((filter) => [filter, parseSharedFilter(filter) !== undefined, DENIED, true]))
    return grants
  }

  /** The store gets to know of it last: until then the hook would be asked again. */
  private record(session: Session, former: Former): void {
    const { journal, retainedSender, router } = this.parts
    if (session.journal === null) return
    for (const [filter, before] of former) {
      const subscription = router.subscription(session, filter)
      if (subscription === undefined) journal.unsubscribe(session, filter)
      else journal.subscribe(session, retainedSender.recordOf(subscription), before)
    }
  }

  /** What lies in the store alone, page by page. A page may come into memory meanwhile: that is looked at afterwards. */
  private async reviseStored(session: Session, grants: Grants): Promise<void> {
    const { journal, registry, store } = this.parts
    const end = session.lastPosition
    session.beginReading()
    try {
      for (let after = session.lastLoaded; session.storedMessages > 0 && after < end; ) {
        const entries = await store.queue(session.clientId, after, PAGE)
        await grants.learn(entries.map(({ message }) => message.topic))
        if (!registry.has(session) || journal.isClosed) return
        for (const entry of entries) if (entry.position <= end) this.reviseEntry(session, entry, grants)
        await journal.commit()
        if (entries.length < PAGE) break
        after = Math.max(entries[entries.length - 1]!.position, session.lastLoaded)
        await nextTurn()
      }
    } finally {
      session.endReading()
    }
  }

  private reviseEntry(session: Session, entry: QueueEntry, grants: Grants): void {
    const { fanout, journal, stored } = this.parts
    const { packetIdentifier, position, received, share } = entry
    if (position <= session.lastLoaded || session.isGone(position) || session.ahead?.has(position) === true) return
    const qos = grants.highest(entry.message.topic, share?.filter)
    if (qos >= entry.qos || received) return
    if (qos !== DENIED) {
      if (packetIdentifier === 0) journal.rewrite(session, { ...entry, qos })
      return
    }
    session.leaveStore(position, entryBytes(entry))
    const delivery = stored.read(session, entry)
    session.storedExpiries?.remove(position)
    if (isForOthers(delivery, packetIdentifier !== 0)) fanout.refused(session, delivery, DropReason.NotAuthorized)
    else {
      session.drop(DropReason.NotAuthorized, delivery.message)
      journal.dequeue(session, delivery)
    }
  }

  /**
   * What is in memory: first matched a few at a time, then revised at once, so that nothing new comes between. `isLast`: what
   * could not be moved to another member is lost.
   */
  private async reviseLoaded(session: Session, grants: Grants, isLast: boolean): Promise<void> {
    const { inflight, queue } = session
    const sent = inflight?.inOrder().map(({ delivery }) => delivery.message.topic) ?? []
    await grants.learn([...sent, ...(queue?.topics() ?? [])])
    const highest = ({ message, origin }: Delivery) => grants.highest(message.topic, origin?.filter)
    for (const { delivery, identifier, state } of session.inflight?.inOrder() ?? []) {
      const qos = highest(delivery)
      if (qos >= delivery.qos || !isUnacknowledged(state)) continue
      if (qos !== DENIED && delivery.sent) continue
      if (qos === DENIED && delivery.sent && this.isWithdrawn(session, delivery, identifier)) continue
      session.inflight!.remove(identifier)
      if (qos === DENIED) this.giveUp(session, delivery, isLast)
      else {
        this.lower(session, delivery, qos)
        session.openQueue().insert(delivery)
      }
    }
    const denied = session.queue?.removeWhere((delivery) => {
      const qos = highest(delivery)
      if (qos !== DENIED && qos < delivery.qos) this.lower(session, delivery, qos)
      return qos === DENIED
    })
    for (const delivery of denied ?? []) this.giveUp(session, delivery, isLast)
  }

  /**
   * What the client has been sent and is to acknowledge keeps its identifier, so that no other message gets it meanwhile. False
   * if the client knows nothing of it any more.
   */
  private isWithdrawn(session: Session, delivery: Delivery, identifier: number): boolean {
    const { inflight, journal, output, toResend } = session
    const isUnsent = output === null || (toResend !== null && toResend.includes(identifier))
    if (isUnsent && delivery.qos !== 2) return false
    // a session that ends with its connection does not send again
    if (journal === null) return true
    inflight!.withdraw(identifier)
    if (isUnsent) session.drop(DropReason.NotAuthorized, delivery.message)
    journal.dequeue(session, delivery)
    return true
  }

  private lower(session: Session, delivery: Delivery, qos: QoS): void {
    const { journal } = this.parts
    delivery.qos = qos
    if (session.journal === null) return
    journal.rewrite(session, queueEntry(delivery, journal.storedMessage(delivery.message), 0))
  }

  private giveUp(session: Session, delivery: Delivery, isLast: boolean): void {
    if (isForOthers(delivery, delivery.sent) && !isLast) {
      this.parts.fanout.refused(session, delivery, DropReason.NotAuthorized)
      return
    }
    session.drop(DropReason.NotAuthorized, delivery.message)
    session.journal?.dequeue(session, delivery)
  }
}

/** Another member of its group may have it, but not QoS 2 that was sent before [MQTT-4.8.2-5]. */
function isForOthers({ origin, qos }: Delivery, wasSent: boolean): boolean {
  return origin !== null && !(wasSent && qos === 2)
}

/** Whether the message itself would be sent again. */
function isUnacknowledged(state: number): boolean {
  return state === InflightState.Puback || state === InflightState.Pubrec || state === InflightState.Commit
}
