import type { ApplicationMessage } from '../../ports/application-message'
import type { ClientDisconnectOptions } from '../../ports/client'
import type { ListOptions, SessionInfo, SubscriptionInfo, SubscriptionListOptions } from '../../ports/inspection'
import { isApplicationIdentifier } from '../../protocol/application-identifier'
import { MqttError } from '../../protocol/mqtt-error'
import { ReasonCode } from '../../protocol/reason-code'
import type { RetainedMessages } from '../../routing/retained-messages'
import type { Subscription } from '../../routing/subscription'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import { MessageView } from '../hooks/message-view'
import type { DisconnectReceiver } from '../packets/disconnect'
import { OrderedNames } from './ordered-names'
import { Pace } from './pace'
import { type SessionSources, sessionInfo, subscriptionInfo } from './session-info'

/** Units of effort of a session that is described, and of a place of its window that is looked at. */
const DESCRIBED = 32
const PLACES = 64

export interface InspectorParts extends SessionSources {
  readonly retained: RetainedMessages
  readonly journal: CommitJournal
  readonly endings: DisconnectReceiver
}

/** What a running broker has, for its application to look at and to end. Lists are made while they are read: nothing of them stays behind. */
export class Inspector {
  private readonly parts: InspectorParts

  constructor(parts: InspectorParts) {
    this.parts = parts
  }

  /** Every session, in the order of the Client Identifiers. */
  async *sessions({ after, limit, signal }: ListOptions): AsyncGenerator<SessionInfo> {
    const pace = this.pace()
    for await (const session of this.sessionsAfter(after, false, limit, pace, signal)) {
      yield sessionInfo(session, this.parts)
      if (signal?.aborted === true) return
      if (pace.isOverAfter(DESCRIBED + session.inflightCount / PLACES)) await pace.othersTurn()
    }
  }

  session(clientId: string): SessionInfo | undefined {
    const session = this.parts.registry.get(clientId)
    return session === undefined ? undefined : sessionInfo(session, this.parts)
  }

  /** Every subscription, in the order of the Client Identifiers, and of the filters of each. */
  async *subscriptions(options: SubscriptionListOptions): AsyncGenerator<SubscriptionInfo> {
    const { after, clientId, limit = Number.POSITIVE_INFINITY, signal } = options
    const pace = this.pace()
    const own = clientId === undefined ? undefined : this.parts.registry.get(clientId)
    const sessions =
      clientId === undefined
        ? this.sessionsAfter(after?.clientId, true, undefined, pace, signal)
        : own === undefined
          ? []
          : [own]
    let left = limit
    for await (const session of sessions) {
      const behind = after?.clientId === session.clientId ? after.filter : undefined
      // the list of one session may begin behind another
      if (after !== undefined && session.clientId < after.clientId) continue
      for await (const subscription of this.subscriptionsOf(session, behind, left, pace)) {
        yield subscriptionInfo(subscription)
        if (--left === 0 || signal?.aborted === true) return
      }
    }
  }

  private async *subscriptionsOf(
    session: Session,
    after: string | undefined,
    limit: number,
    pace: Pace,
  ): AsyncGenerator<Subscription<Session>> {
    const { router } = this.parts
    const names = new OrderedNames(limit)
    for (const { filter } of router.subscriptionsOf(session)) {
      const { effort } = names
      if (after === undefined || filter > after) names.add(filter)
      if (pace.isOverAfter(effort)) await pace.othersTurn()
    }
    for (const filter of names.inOrder()) {
      const subscription = router.subscription(session, filter)
      // it may have ended meanwhile
      if (subscription !== undefined) yield subscription
      if (pace.isOverAfter(1)) await pace.othersTurn()
    }
  }

  /** The sessions behind `after`, with it where `inclusive`. Those that end meanwhile are left out. */
  private async *sessionsAfter(
    after: string | undefined,
    inclusive: boolean,
    limit: number | undefined,
    pace: Pace,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Session> {
    const { registry } = this.parts
    // one that ends meanwhile must not make the list shorter
    const names = new OrderedNames(limit === undefined ? Number.POSITIVE_INFINITY : 2 * limit)
    for (const { clientId } of registry.all) {
      const { effort } = names
      if (after === undefined || clientId > after || (inclusive && clientId === after)) names.add(clientId)
      if (!pace.isOverAfter(effort)) continue
      await pace.othersTurn()
      if (signal?.aborted === true) return
    }
    let left = limit ?? Number.POSITIVE_INFINITY
    for (const clientId of names.inOrder()) {
      if (signal?.aborted === true) return
      const session = registry.get(clientId)
      if (session !== undefined) yield session
      if (session !== undefined && --left === 0) return
      if (pace.isOverAfter(1)) await pace.othersTurn()
    }
  }

  /** The retained messages whose topics match, in the order of the topics. */
  async *retained(filter: string, { after, limit, signal }: ListOptions): AsyncGenerator<ApplicationMessage> {
    const { clock, retained } = this.parts
    const pace = this.pace()
    let left = limit ?? Number.POSITIVE_INFINITY
    for (const message of retained.walk(filter, after, WALK)) {
      if (signal?.aborted === true) return
      if (message !== null && (message.expiresAt === 0 || message.expiresAt > clock.now())) {
        yield new MessageView(message)
        if (--left === 0) return
      }
      if (pace.isOverAfter(message === null ? WALK : 1)) await pace.othersTurn()
    }
  }

  /** False if the client is not connected. */
  disconnect(clientId: string, reasonCode?: number, options?: ClientDisconnectOptions): boolean {
    const connection = this.parts.registry.connection(clientId)
    if (connection === undefined || connection.closing || isApplicationIdentifier(clientId)) return false
    connection.client!.disconnect(reasonCode, options)
    return true
  }

  /** Ends a session as its Session Expiry Interval would. Settles once the store has kept that. */
  async deleteSession(clientId: string): Promise<boolean> {
    const { endings, journal, registry, wills } = this.parts
    const session = registry.get(clientId)
    const connection = registry.connection(clientId)
    // what the application itself subscribes to is ended by itself
    if (session === undefined || (connection !== undefined && isApplicationIdentifier(clientId))) return false
    const error = new MqttError('GNATMQ_DISCONNECTED', 'the application deleted the session')
    connection?.disconnect(ReasonCode.AdministrativeAction, {}, error)
    if (registry.has(session)) {
      const slow = endings.endFormer(clientId, true, 'deleted')
      if (slow !== undefined) await slow
      else endings.endUncommitted(session, null, 'deleted')
    }
    // the end of a stored session goes to the store with its Will
    await wills.answered(clientId)
    await kept(journal.commit() ?? journal.openCommits())
    return true
  }

  /** False if the topic has none. Settles once the store has kept that. */
  async deleteRetained(topic: string): Promise<boolean> {
    const { journal, retained } = this.parts
    const before = retained.get(topic)
    if (before === undefined) return false
    retained.delete(topic)
    journal.clear(topic, before)
    await kept(journal.commit())
    return true
  }

  private pace(): Pace {
    return new Pace(this.parts.clock, this.parts.journal)
  }
}

/** Nodes of the tree of topics between two looks at the clock. */
const WALK = 128

async function kept(committed: Promise<void> | undefined): Promise<void> {
  try {
    await committed
  } catch (cause) {
    throw new MqttError('GNATMQ_STORE_FAILED', 'the store did not keep it', { cause })
  }
}
