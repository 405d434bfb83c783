import type { Message } from '../protocol/message'
import type { QoS, SubscriptionRequest } from '../protocol/packet'
import { Delivery, noIdentifiers } from '../session/delivery'
import { deliver, Outcome } from '../session/sender'
import type { Session } from '../session/session'
import type { Connection } from './connection'
import type { Core } from './core'

/** Retained messages that are sent in one go; then other connections get their turn. */
const STEP = 256
/** Messages that may wait in the session before more are looked up. */
const BACKLOG = 512

/** Sends the retained messages that a new subscription asks for (section 3.3.1.3), with the QoS that it was granted. */
export function sendRetained(
  core: Core,
  connection: Connection,
  request: SubscriptionRequest,
  qos: QoS,
  identifier: number,
): void {
  if (core.retained.count === 0) return
  const { filter } = request
  const identifiers = identifier === 0 ? noIdentifiers : [identifier]
  if (filter.includes('+') || filter.includes('#')) {
    new RetainedRun(core, connection, core.retained.walk(filter), request, qos, identifiers).step()
    return
  }
  const message = core.retained.get(filter)
  if (message !== undefined) new RetainedRun(core, connection, [message].values(), request, qos, identifiers).step()
}

/** One subscription's retained messages: no faster than the client takes them, and never long at a time. */
class RetainedRun {
  private readonly core: Core
  private readonly connection: Connection
  private readonly messages: Iterator<Message | null>
  private readonly request: SubscriptionRequest
  private readonly granted: QoS
  private readonly identifiers: readonly number[]
  /** Found, and not yet sent. */
  private found: Message | null = null
  private awaiting: { session: Session; identifier: number }[] = []

  constructor(
    core: Core,
    connection: Connection,
    messages: Iterator<Message | null>,
    request: SubscriptionRequest,
    granted: QoS,
    identifiers: readonly number[],
  ) {
    this.core = core
    this.connection = connection
    this.messages = messages
    this.request = request
    this.granted = granted
    this.identifiers = identifiers
  }

  step(): void {
    const { connection, core } = this
    if (connection.closing) return
    const outcome = this.sendSome(connection.session!)
    const { awaiting } = this
    this.awaiting = []
    core.publisher.sendAfterCommit(core.journal.commit(), awaiting)
    if (outcome === 'slow') connection.whenDrained(() => this.step())
    else if (outcome === 'more') setImmediate(() => this.step())
  }

  private sendSome(session: Session): 'done' | 'more' | 'slow' {
    for (let sent = 0; sent < STEP; sent++) {
      if (this.found === null) {
        const next = this.messages.next()
        if (next.done === true) return 'done'
        if (next.value === null) return 'more'
        this.found = next.value
      }
      if (this.connection.outbox.congested || session.queuedMessages > BACKLOG) return 'slow'
      this.send(session, this.found)
      this.found = null
    }
    return 'more'
  }

  private send(session: Session, message: Message): void {
    const { journal, retained, settings } = this.core
    const now = settings.clock.now()
    if (message.expiresAt !== 0 && message.expiresAt <= now) {
      if (retained.get(message.topic) === message && retained.delete(message.topic))
        journal.clear(message.topic, message)
      return
    }
    // [MQTT-3.8.3-3] No Local: not to the client that published it
    if (this.request.noLocal && message.publisher === session.clientId) return
    const qos = message.qos < this.granted ? message.qos : this.granted
    const outcome = deliver(session, new Delivery(message, qos, true, this.identifiers, null), now)
    if (outcome === Outcome.AwaitsCommit) this.awaiting.push({ session, identifier: session.inflight!.lastIdentifier })
  }
}
