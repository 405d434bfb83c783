import type { Logger } from '../../ports/logger'
import type { QueueEntry } from '../../ports/store'
import { DropReason } from '../../protocol/drop-reason'
import { createMessage } from '../../protocol/message'
import { Delivery } from '../../session/delivery'
import { InflightState } from '../../session/inflight'
import type { Session } from '../../session/session'
import type { StoredExpiries } from '../../session/stored-expiries'
import type { CommitJournal } from '../commits/commit-journal'
import { entryBytes } from '../commits/entry-bytes'
import type { StoredClock } from './stored-clock'

/** What becomes of the entries of a queue that come from the store. */
export class StoredQueue {
  private readonly journal: CommitJournal
  private readonly logger: Logger
  private readonly clock: StoredClock

  constructor(journal: CommitJournal, logger: Logger, clock: StoredClock) {
    this.journal = journal
    this.logger = logger
    this.clock = clock
  }

  /** Takes the next entries of a queue into memory. */
  take(session: Session, entries: readonly QueueEntry[]): void {
    for (const entry of entries) {
      const { position } = entry
      // a former page may have come meanwhile
      if (position <= session.lastLoaded) continue
      session.lastLoaded = position
      if (session.isGone(position) || session.ahead?.delete(position)) continue
      session.addStored(-1, -entryBytes(entry))
      this.place(session, entry)
    }
    if (session.storedMessages === 0) session.ahead = null
    // not before: what is stored says for how long it had been known
    session.storedExpiries?.removeThrough(session.lastLoaded)
  }

  private place(session: Session, entry: QueueEntry): void {
    const deadline = this.deadline(session, entry)
    // what was sent before it expired is sent again all the same: its exchange must come to an end [MQTT-4.4.0-1]
    if (entry.packetIdentifier === 0 && this.clock.hasPassed(deadline)) {
      session.drop(DropReason.Expired, entry.message)
      this.journal.dequeue(session, entry)
      return
    }
    const delivery = this.delivery(entry, deadline)
    if (entry.packetIdentifier === 0) session.openQueue().push(delivery)
    else if (!session.unread || !this.resume(session, entry, delivery)) this.assignAnew(session, entry, delivery)
  }

  /**
   * Looks through entries whose turn has not come, and leaves them in the store: learns when they expire, gives up those
   * that have, and restores what was in flight if the session is being read.
   */
  look(session: Session, entries: readonly QueueEntry[], found: StoredExpiries, resuming: boolean): void {
    for (const entry of entries) {
      const { position, packetIdentifier } = entry
      if (position <= session.lastLoaded || session.isGone(position)) continue
      const deadline = this.deadline(session, entry)
      if (packetIdentifier !== 0) {
        if (!resuming || !this.resume(session, entry, this.delivery(entry, deadline))) continue
        session.leaveStore(position, entryBytes(entry))
        session.ahead ??= new Set()
        session.ahead.add(position)
      } else if (this.clock.hasPassed(deadline)) {
        session.leaveStore(position, entryBytes(entry))
        session.drop(DropReason.Expired, entry.message)
        this.journal.dequeue(session, entry)
      } else if (deadline !== 0) found.add(position, deadline, entryBytes(entry))
    }
  }

  /** An entry as it would come into memory. */
  read(session: Session, entry: QueueEntry): Delivery {
    return this.delivery(entry, this.deadline(session, entry))
  }

  /** False if its identifier cannot be, or is another message's. */
  private resume(session: Session, entry: QueueEntry, delivery: Delivery): boolean {
    const state = entry.qos === 1 ? InflightState.Puback : entry.received ? InflightState.Pubcomp : InflightState.Pubrec
    delivery.sent = true
    return session.openInflight().restore(entry.packetIdentifier, state, delivery)
  }

  /** It cannot be acknowledged under the identifier that the store has: it is sent as if for the first time. */
  private assignAnew(session: Session, entry: QueueEntry, delivery: Delivery): void {
    const { position, packetIdentifier, received } = entry
    const text = 'the store has a Packet Identifier that cannot be, or that another message has'
    this.logger.error({ clientId: session.clientId, position, packetIdentifier }, text)
    delivery.sent = false
    // its receiver has it
    if (received) this.journal.dequeue(session, entry)
    else session.openQueue().push(delivery)
  }

  private delivery({ message, ...entry }: QueueEntry, deadline: number): Delivery {
    const { share = null } = entry
    const { topic, payload, properties, qos } = message
    const restored = createMessage(topic, payload, properties, qos, share?.retain ?? false, deadline, undefined)
    const delivery = new Delivery(restored, entry.qos, entry.retain, entry.subscriptionIdentifiers, share)
    delivery.position = entry.position
    return delivery
  }

  /** What came in this run expires as if it had never left memory. */
  private deadline(session: Session, { message, position }: QueueEntry): number {
    if (message.expiresAt === undefined) return 0
    return session.storedExpiries?.deadlineOf(position) ?? this.clock.deadline(message.expiresAt)
  }
}
