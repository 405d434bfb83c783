import type { StoredMessage } from '../../ports/store'
import type { CommitGroup, QueueChange, SessionChanges } from './commit-group'
import { type Environment, META_KEYS, type Write } from './environment'
import { MessageReferences } from './message-references'
import {
  decodeCounters,
  decodeNumber,
  decodeQueueRecord,
  encodeCounters,
  encodeNothing,
  encodeNumber,
  encodeQueueRecord,
  encodeSession,
  encodeSubscription,
  queueRecord,
  type SessionCounters,
  sessionNumber,
} from './records'
import { SessionRemoval } from './session-removal'
import { numberKey, pairKey, textKey } from './store-keys'
import type { TableName } from './table-names'

/** Entries that one transaction removes of ended sessions: a few milliseconds of reading. */
const REMOVALS_PER_TRANSACTION = 1000

/** The same while the disk is full. */
const REMOVALS_WHEN_FULL = 8

/** A session as it is stored while a transaction is prepared. */
interface KnownSession {
  readonly number: number
  readonly counters: SessionCounters
}

/**
 * Turns a group of commits into the writes of one transaction. It reads what is committed, so that no other
 * transaction may be open meanwhile, and writes nothing itself: when it throws, nothing has happened.
 */
export class TransactionWriter {
  private readonly environment: Environment
  private readonly next: { session: number; message: number }
  private readonly writes: Write[] = []
  private readonly references: MessageReferences
  private removals: number

  constructor(
    environment: Environment,
    messageNumbers: WeakMap<StoredMessage, number>,
    next: { session: number; message: number },
    isFull: boolean,
  ) {
    this.removals = isFull ? REMOVALS_WHEN_FULL : REMOVALS_PER_TRANSACTION
    this.environment = environment
    this.next = next
    this.references = new MessageReferences(environment, messageNumbers, next)
  }

  /** The writes of the group, and of a slice of what ended sessions have left. */
  prepare(group: CommitGroup, remains: readonly number[]): Write[] {
    const firstSession = this.next.session
    for (const changes of group.sessions.values()) this.addSession(changes)
    for (const [topic, message] of group.retained) this.addRetained(topic, message)
    for (const session of remains) {
      if (this.removals <= 0) break
      this.remove(session, true)
    }
    if (this.next.session !== firstSession) this.put('meta', META_KEYS.nextSession, encodeNumber(this.next.session))
    this.references.writeTo(this.writes)
    return this.writes
  }

  private addSession(changes: SessionChanges): void {
    const { clientId, head } = changes
    const key = textKey(clientId)
    let known = this.known(key)
    if (changes.ended && known !== undefined) {
      this.drop('sessions', key)
      this.remove(known.number, false)
      known = undefined
    }
    if (head === undefined && known === undefined) return
    const isNew = known === undefined
    known ??= { number: this.next.session++, counters: { queuedMessages: 0, queuedBytes: 0, lastPosition: 0 } }
    if (head !== undefined) this.put('sessions', key, encodeSession({ number: known.number, session: head }))
    this.addSubscriptions(changes, known.number)
    for (const [identifier, change] of changes.held) {
      const heldKey = pairKey(known.number, identifier)
      if (change === 'release') this.drop('held', heldKey)
      else this.put('held', heldKey, encodeNothing())
    }
    const { counters } = known
    const before = { ...counters }
    for (const [position, change] of changes.queue) this.addQueueChange(known, position, change)
    counters.lastPosition = Math.max(counters.lastPosition, changes.lastPosition)
    if (isNew || !sameCounters(counters, before))
      this.put('counters', numberKey(known.number), encodeCounters(counters))
  }

  private known(key: Buffer): KnownSession | undefined {
    const record = this.environment.get('sessions', key)
    if (record === undefined) return undefined
    const number = sessionNumber(record)
    const counters = this.environment.get('counters', numberKey(number))
    if (counters === undefined) throw new Error(`session ${number} has no counters`)
    return { number, counters: decodeCounters(counters) }
  }

  private addSubscriptions(changes: SessionChanges, session: number): void {
    for (const [filter, subscription] of changes.subscriptions) {
      const key = textKey(filter, numberKey(session))
      if (subscription === null) this.drop('subscriptions', key)
      else this.put('subscriptions', key, encodeSubscription(subscription))
    }
  }

  private addQueueChange({ number, counters }: KnownSession, position: number, change: QueueChange): void {
    const key = pairKey(number, position)
    const { entry } = change
    if (entry !== undefined) {
      // no position is used twice, but a reference that is lost would never be found again
      if (position <= counters.lastPosition) this.unqueue(key, counters)
      const record = queueRecord(entry, this.references.add(entry.message))
      counters.queuedMessages++
      counters.queuedBytes += record.payloadLength
      this.put('queue', key, encodeQueueRecord(record))
    } else if (change.removed) {
      if (this.unqueue(key, counters)) this.drop('queue', key)
    } else {
      const stored = this.environment.get('queue', key)
      if (stored === undefined) return
      const record = decodeQueueRecord(stored)
      const packetIdentifier = change.packetIdentifier ?? record.packetIdentifier
      const received = change.received ?? record.received
      this.put('queue', key, encodeQueueRecord({ ...record, packetIdentifier, received }))
    }
  }

  /** Takes a stored entry out of the counters and releases its message. */
  private unqueue(key: Buffer, counters: SessionCounters): boolean {
    const stored = this.environment.get('queue', key)
    if (stored === undefined) return false
    const { message, payloadLength } = decodeQueueRecord(stored)
    counters.queuedMessages--
    counters.queuedBytes -= payloadLength
    this.references.release(message)
    return true
  }

  private addRetained(topic: string, message: StoredMessage | null): void {
    const key = textKey(topic)
    const stored = this.environment.get('retained', key)
    if (message !== null) this.put('retained', key, encodeNumber(this.references.add(message)))
    else if (stored !== undefined) this.drop('retained', key)
    if (stored !== undefined) this.references.release(decodeNumber(stored))
  }

  /** Removes what is stored under a session's number, or as much as this transaction may. */
  private remove(session: number, isRemains: boolean): void {
    const removal = new SessionRemoval(this.environment, this.references, this.writes)
    const taken = removal.take(session, this.removals)
    this.removals -= taken.count
    if (taken.isComplete) {
      if (isRemains) this.drop('ended', numberKey(session))
      else this.drop('counters', numberKey(session))
    } else if (!isRemains) {
      this.drop('counters', numberKey(session))
      this.put('ended', numberKey(session), encodeNumber(session))
    }
  }

  private put(table: TableName, key: Buffer, value: Buffer): void {
    this.writes.push({ table, key, value })
  }

  private drop(table: TableName, key: Buffer): void {
    this.writes.push({ table, key, value: undefined })
  }
}

function sameCounters(a: SessionCounters, b: SessionCounters): boolean {
  return a.queuedMessages === b.queuedMessages && a.queuedBytes === b.queuedBytes && a.lastPosition === b.lastPosition
}
