import type { Router } from '../../routing/router'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { SessionRegistry } from '../sessions/registry'
import type { Fanout } from './fanout'
import type { QueueSender } from './queue-sender'

export interface TransferParts {
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

  /** Offers what is in memory: QoS 1 that is not acknowledged, and what is queued. What nobody takes stays. */
  offer(session: Session): void {
    this.parts.fanout.offerShared(session)
  }

  /** Whether the store alone has messages of a session that may be for other members of its groups. */
  hasSharesInStore(session: Session): boolean {
    if (session.storedMessages === 0) return false
    for (const { group } of this.parts.router.subscriptionsOf(session))
      if (group !== null && group.members.length > 1) return true
    return false
  }

  /**
   * Offers all that a session has which is about to end, page by page where the store has it. What nobody takes is let go:
   * a long queue must not lie in memory as a whole.
   */
  offerAll(session: Session): Promise<void> {
    return new Promise((resolve) => this.offerPage(session, resolve))
  }

  private offerPage(session: Session, done: () => void): void {
    const { fanout, journal, queues, registry } = this.parts
    if (journal.isClosed) return
    const isThere = registry.has(session)
    if (isThere) {
      fanout.offerShared(session)
      session.queue?.clear()
    }
    if (!isThere || session.storedMessages === 0 || session.reading) done()
    else queues.page(session, () => setImmediate(() => this.offerPage(session, done)), done)
  }
}
