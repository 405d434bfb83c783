import { MqttError } from '../../protocol/mqtt-error'
import { ReasonCode } from '../../protocol/reason-code'
import type { Session } from '../../session/session'
import type { SessionRegistry } from '../sessions/registry'
import type { Publication } from './publication'
import type { QueueSender } from './queue-sender'

/** What follows for queues that a message has found full, or that have to be read on. */
export class FullQueues {
  private readonly registry: SessionRegistry
  private readonly queues: QueueSender

  constructor(registry: SessionRegistry, queues: QueueSender) {
    this.registry = registry
    this.queues = queues
  }

  endOverflowing({ overflowing }: Publication): void {
    const sessions = [...overflowing]
    overflowing.clear()
    for (const session of sessions) this.endOverflowed(session)
  }

  /** The policy for a full queue is to end the connection. */
  private endOverflowed({ clientId }: Session): void {
    const error = new MqttError('GNATMQ_QUOTA_EXCEEDED', 'the queue of the session is full')
    this.registry.connection(clientId)?.disconnect(ReasonCode.QuotaExceeded, {}, error)
  }

  /** Sessions that are to give way, and whose messages have to be read for that. */
  noteGivers({ starving }: Publication, { limits: { budget } }: Session): void {
    for (let giver = budget.takeToRead(); giver !== undefined; giver = budget.takeToRead()) starving.add(giver)
  }

  /**
   * The next that these sessions would send lies in the store alone: it is read once it can be sent, or dropped as the
   * oldest, or has to give way to others. Not before the message's own commit, which what is sent meanwhile would tear apart.
   */
  refillStarving({ starving }: Publication): void {
    const { queues } = this
    const sessions = [...starving]
    starving.clear()
    for (const session of sessions) {
      const full = session.queuedMessages > session.limits.maximumQueuedMessages
      if (session.output === null && !session.limits.budget.allows(0)) queues.page(session, nothing)
      else if (!session.unread && (full || (session.output !== null && session.inflightCount < session.window)))
        queues.page(session, () => queues.send(session))
    }
  }
}

const nothing = (): void => undefined
