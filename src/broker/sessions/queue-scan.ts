import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from '../../ports/logger'
import type { Store } from '../../ports/store'
import type { Session } from '../../session/session'
import { StoredExpiries } from '../../session/stored-expiries'
import type { CommitJournal } from '../commits/commit-journal'
import type { SessionRegistry } from './registry'
import type { StoredQueue } from './stored-queue'

/** Queue entries that are read at a time. */
export const PAGE = 256

export interface QueueScanParts {
  readonly logger: Logger
  readonly store: Store
  readonly journal: CommitJournal
  readonly registry: SessionRegistry
  readonly stored: StoredQueue
}

/**
 * Reads queues of a former run through to their ends and leaves them in the store. Until then it is not known when their
 * messages expire. One queue at a time and one page a turn.
 */
export class QueueScan {
  private readonly parts: QueueScanParts
  private readonly unknown = new Set<Session>()
  private readonly wanted = new Set<Session>()
  private running = false

  constructor(parts: QueueScanParts) {
    this.parts = parts
  }

  /** A session from the store. One that is half full is read through before it has to refuse anything. */
  add(session: Session): void {
    if (session.storedMessages === 0) return
    this.unknown.add(session)
    const { maximumQueuedMessages, maximumQueuedBytes } = session.limits
    if (session.queuedMessages * 2 >= maximumQueuedMessages || session.queuedBytes * 2 >= maximumQueuedBytes)
      this.wanted.add(session)
  }

  forget(session: Session): void {
    this.unknown.delete(session)
    this.wanted.delete(session)
  }

  /** A message found no room in `session`: perhaps something that expired in a former run is in its way. */
  missRoom(session: Session): void {
    if (this.unknown.size === 0) return
    if (this.unknown.has(session)) this.wanted.add(session)
    else if (!this.running && session.limits.budget.isFull) for (const other of this.unknown) this.wanted.add(other)
    this.start()
  }

  start(): void {
    if (this.running || this.wanted.size === 0) return
    this.running = true
    void this.readWanted().finally(() => {
      this.running = false
    })
  }

  private async readWanted(): Promise<void> {
    await nextTurn()
    for (const session of this.wanted) {
      if (this.parts.journal.isClosed) return
      try {
        await this.read(session, false)
      } catch (error) {
        this.forget(session)
        const { logger } = this.parts
        logger.error({ err: error, clientId: session.clientId }, 'the queue could not be read')
      }
    }
  }

  /** `resuming` where the client is back: what was in flight is restored, however far behind it stands. */
  async read(session: Session, resuming: boolean): Promise<void> {
    const { journal, registry, store, stored } = this.parts
    const found = new StoredExpiries()
    // what came after that is known
    const end = session.lastPosition
    session.beginReading()
    try {
      for (let after = session.lastLoaded; after < end; ) {
        const entries = await store.queue(session.clientId, after, PAGE)
        if (!registry.has(session) || journal.isClosed) return
        stored.look(
          session,
          entries.filter(({ position }) => position <= end),
          found,
          resuming,
        )
        journal.commitUnattended()
        if (entries.length < PAGE) break
        after = Math.max(entries[entries.length - 1]!.position, session.lastLoaded)
        await nextTurn()
      }
      session.learnExpiries(found, end)
      this.forget(session)
    } finally {
      session.endReading()
    }
  }
}
