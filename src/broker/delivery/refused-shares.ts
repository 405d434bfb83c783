import type { DropReason } from '../../protocol/drop-reason'
import type { Delivery } from '../../session/delivery'
import type { Session } from '../../session/session'
import type { Publication } from './publication'
import type { SharedDelivery } from './shared'

/** Messages of shared groups that a member may not have, or cannot take. */
export class RefusedShares {
  private refusals: { session: Session; delivery: Delivery; reason: DropReason }[] = []
  private readonly shared: SharedDelivery
  private readonly transfer: (offer: (publication: Publication) => void) => Promise<void> | undefined

  /** `transfer` does its argument in a step with a commit of its own. */
  constructor(
    shared: SharedDelivery,
    transfer: (offer: (publication: Publication) => void) => Promise<void> | undefined,
  ) {
    this.shared = shared
    this.transfer = transfer
  }

  /** Another member is offered it once this step is done: its commit may be waited for, and the offer has one of its own. */
  readonly add = (session: Session, delivery: Delivery, reason: DropReason): void => {
    if (this.refusals.push({ session, delivery, reason }) === 1) queueMicrotask(() => this.offer())
  }

  private offer(): void {
    const { refusals } = this
    this.refusals = []
    const committed = this.transfer((publication) => {
      for (const { session, delivery, reason } of refusals) {
        const move = this.shared.offerRefused(publication, session, delivery, reason)
        // QoS 0 that never waited was never kept
        if (delivery.position > 0) session.journal?.dequeue(session, delivery, move?.isOver === false ? move : null)
      }
    })
    committed?.catch(() => undefined)
  }
}
