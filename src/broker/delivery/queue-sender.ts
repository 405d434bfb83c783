import type { Clock } from '../../ports/clock'
import { isPromise } from '../../ports/given-values'
import type { Logger } from '../../ports/logger'
import type { QueueEntry, Store } from '../../ports/store'
import { sendQueued } from '../../session/sender'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import { PAGE } from '../sessions/queue-scan'
import type { SessionRegistry } from '../sessions/registry'
import type { StoredQueue } from '../sessions/stored-queue'
import { sendAfterCommit } from './awaiting-commit'

export interface QueueSenderParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly store: Store
  readonly journal: CommitJournal
  readonly registry: SessionRegistry
  readonly stored: StoredQueue
}

/** Sends what waits in sessions, and reads their queues from the store page by page. */
export class QueueSender {
  private readonly parts: QueueSenderParts

  constructor(parts: QueueSenderParts) {
    this.parts = parts
  }

  /**
   * Sends what a session has waiting, as far as its window allows. `now` is the clock's, or that of the chunk in hand.
   * Returns the commit of that.
   */
  send(session: Session, now: number = this.parts.clock.now()): Promise<void> | undefined {
    if (session.queuedMessages === 0) return undefined
    if (session.journal === null) {
      sendQueued(session, now, neverCalled)
      return undefined
    }
    const identifiers: number[] = []
    sendQueued(session, now, (_, identifier) => identifiers.push(identifier))
    const { clock, journal } = this.parts
    const committed = journal.commit()
    sendAfterCommit(
      clock,
      committed,
      identifiers.map((identifier) => ({ session, identifier })),
    )
    if (session.starved && session.output !== null) this.page(session, () => this.send(session))
    return committed
  }

  /**
   * Reads the next page of a queue and calls `then` when it has arrived, at once if the store answers at once; `otherwise`
   * if it cannot be read.
   */
  page(session: Session, then: () => void, otherwise: () => void = neverCalled): void {
    if (session.reading) return
    session.reading = true
    session.beginReading()
    const { journal, logger, store } = this.parts
    const read = (): readonly QueueEntry[] | Promise<readonly QueueEntry[]> =>
      store.queue(session.clientId, session.lastLoaded, PAGE)
    const take = (entries: readonly QueueEntry[], settled: boolean): void => {
      this.take(session, entries, settled)
      then()
      this.parts.registry.connection(session.clientId)?.wakeWaiting()
    }
    const fail = (error: unknown): void => {
      session.reading = false
      session.endReading()
      logger.error({ err: error, clientId: session.clientId }, 'the queue could not be read')
      otherwise()
    }
    const committed = journal.openCommits()
    if (committed !== undefined) {
      // what waits may be on its way to the store still
      committed.then(read).then((page) => take(page, journal.openCommits() === undefined), fail)
      return
    }
    try {
      const entries = read()
      if (isPromise<readonly QueueEntry[]>(entries)) entries.then((page) => take(page, true), fail)
      else take(entries, true)
    } catch (error) {
      fail(error)
    }
  }

  private take(session: Session, entries: readonly QueueEntry[], settled: boolean): void {
    const { registry, stored } = this.parts
    session.reading = false
    // it may have ended meanwhile, and what was read may be the queue of the one that took its place
    if (registry.has(session)) stored.take(session, entries)
    session.endReading()
    // nothing there although nothing is under way any more: it was never kept
    if (entries.length === 0 && settled) session.addStored(-session.storedMessages, 0)
  }
}

/** What a session that ends with its connection has queued waits for no commit. */
const neverCalled = (): void => undefined
