import type { Message } from '../protocol/message'
import type { QoS } from '../protocol/packet'
import { Delivery, noIdentifiers } from '../session/delivery'
import { deliver, Outcome } from '../session/sender'
import type { Session } from '../session/session'
import type { Core } from './core'

/** Retained messages that are looked through in one go; then other connections get their turn. */
const STEP = 256

/** Sends the retained messages that a new subscription asks for (section 3.3.1.3). */
export class RetainedSender {
  private readonly core: Core

  constructor(core: Core) {
    this.core = core
  }

  send(session: Session, filter: string, qos: QoS, subscriptionIdentifier: number): void {
    const { retained } = this.core
    const identifiers = subscriptionIdentifier === 0 ? noIdentifiers : [subscriptionIdentifier]
    if (!filter.includes('+') && !filter.includes('#')) {
      const message = retained.get(filter)
      if (message !== undefined) this.sendStep(session, [message], qos, identifiers)
      return
    }
    const { output } = session
    const matching = retained.matching(filter)
    const step = (): void => {
      // the session may have gone to another connection meanwhile
      if (session.output !== output) return
      const batch: Message[] = []
      for (let next = matching.next(); next.done !== true; next = matching.next()) {
        batch.push(next.value)
        if (batch.length === STEP) break
      }
      this.sendStep(session, batch, qos, identifiers)
      if (batch.length === STEP) setImmediate(step)
    }
    step()
  }

  private sendStep(session: Session, messages: readonly Message[], qos: QoS, identifiers: readonly number[]): void {
    const { journal, publisher, retained, settings } = this.core
    const now = settings.clock.now()
    const awaiting: { session: Session; identifier: number }[] = []
    for (const message of messages) {
      if (message.expiresAt !== 0 && message.expiresAt <= now) {
        if (retained.get(message.topic) === message && retained.delete(message.topic)) journal.clear(message.topic)
        continue
      }
      const granted = message.qos < qos ? message.qos : qos
      const outcome = deliver(session, new Delivery(message, granted, true, identifiers, null), now)
      if (outcome === Outcome.AwaitsCommit) awaiting.push({ session, identifier: session.inflight!.lastIdentifier })
    }
    publisher.sendAfterCommit(journal.commit(), awaiting)
  }
}
