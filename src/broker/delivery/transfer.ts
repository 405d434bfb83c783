import type { Clock } from '../../ports/clock'
import type { Router } from '../../routing/router'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { SessionRegistry } from '../sessions/registry'
import type { Fanout } from './fanout'
import type { QueueSender } from './queue-sender'

/** Milliseconds until messages are offered again whose commit the store has refused. */
const RETRY_MS = 1000

export interface TransferParts {
  readonly clock: Clock
  readonly router: Router<Session>
  readonly registry: SessionRegistry
  readonly journal: CommitJournal
  readonly fanout: Fanout
  readonly queues: QueueSender
}

/** Gives what one member of shared groups has to other members, when it goes offline or its session ends. */
export class Transfer {
  private readonly parts: TransferParts

  constructor(parts: TransferParts) {
    this.parts = parts
  }

  /** Offers what is in memory: QoS 1 that is not acknowledged, and what is queued. What no member takes stays. */
  offer(session: Session): Promise<void> | undefined {
    return this.parts.fanout.offerShared(session)
  }

  /** The same for a session that ends: what no member takes is dropped. The commit is left to the caller. */
  offerLast(session: Session): void {
    this.parts.fanout.endShares(session)
  }

  /** Whether the store alone has messages of a session that may be for other members of its groups. */
  hasSharesInStore(session: Session): boolean {
    if (session.storedMessages === 0) return false
    for (const { group } of this.parts.router.subscriptionsOf(session))
      if (group !== null && group.members.length > 1) return true
    return false
  }

  /**
   * Offers all that a session has which is about to end, page by page where the store has it. What no member takes is dropped:
   * a long queue must not lie in memory as a whole.
   */
  offerAll(session: Session): Promise<void> {
    return new Promise((resolve) => this.offerPage(session, resolve))
  }

  private offerPage(session: Session, done: () => void): void {
    const { clock, fanout, journal, registry } = this.parts
    if (journal.isClosed) return
    const committed = registry.has(session) ? fanout.offerShared(session) : undefined
    if (committed === undefined) {
      this.offerNext(session, done)
      return
    }
    // what is refused is back, and the session must not end before others have it
    const retry = (): void => void clock.after(RETRY_MS, () => this.offerPage(session, done))
    committed.then(() => this.offerNext(session, done), retry)
  }

  private offerNext(session: Session, done: () => void): void {
    const { journal, queues, registry } = this.parts
    if (journal.isClosed) return
    const isThere = registry.has(session)
    if (isThere) session.queue?.clear()
    if (!isThere || session.storedMessages === 0 || session.reading) done()
    else queues.page(session, () => setImmediate(() => this.offerPage(session, done)), done)
  }
}
