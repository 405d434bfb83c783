import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../../ports/events'
import type { RevocationTarget, Revoked } from '../../ports/revocation'
import { isApplicationIdentifier } from '../../protocol/application-identifier'
import { MqttError } from '../../protocol/mqtt-error'
import { ReasonCode } from '../../protocol/reason-code'
import type { Router } from '../../routing/router'
import type { Subscription } from '../../routing/subscription'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import { isOf, type RevocationLog, takesFilter } from '../delivery/revocation-log'
import type { Revocations } from '../delivery/revocations'
import type { WideFanout } from '../delivery/wide-fanout'
import type { Wills } from '../delivery/wills'
import { isAllowed } from '../hooks/answers'
import type { Authorization } from '../hooks/authorization'
import type { SessionRegistry } from '../sessions/registry'
import type { Connection } from '../wire/connection'
import type { Turn } from '../wire/turn'
import type { DisconnectReceiver } from './disconnect'
import type { Identities } from './identities'

/** Units of effort of a session that is looked at, of one of its subscriptions, and of the end of either. */
const LOOKED_AT = 1
const ENDED = 64
/** Sessions whose queues are revised at the same time. */
const AT_ONCE = 16
/** How long a client may take to read what was written for it before, in milliseconds; then its connection is over. */
const READING_MS = 1000
const PAUSE_MS = 3

export interface RevokerParts {
  readonly events: EventEmitter<BrokerEvents>
  readonly journal: CommitJournal
  readonly router: Router<Session>
  readonly registry: SessionRegistry
  readonly revocations: Revocations
  readonly revocationLog: RevocationLog
  readonly wide: WideFanout
  readonly authorization: Authorization
  readonly identities: Identities
  readonly wills: Wills
  readonly endings: DisconnectReceiver
  readonly turn: Turn
}

/** Ends connections, sessions and subscriptions that the application takes away, and what waits because of them. */
export class Revoker {
  private readonly parts: RevokerParts

  constructor(parts: RevokerParts) {
    this.parts = parts
  }

  /** Settles once nothing more of it can be delivered, and the store has kept that. Rejects if the store fails. */
  revoke(target: RevocationTarget): Promise<Revoked> {
    // a CONNECT or a SUBSCRIBE that the application is asked about now comes too late
    this.parts.revocationLog.add(target)
    return target.filter === undefined ? this.endClients(target) : this.endSubscriptions(target)
  }

  private async endClients(target: RevocationTarget): Promise<Revoked> {
    const { journal } = this.parts
    const revoked = { connections: 0, sessions: 0, subscriptions: 0 }
    const ends: Promise<void>[] = []
    for await (const session of this.sessionsOf(target)) {
      revoked.subscriptions += this.parts.router.countOf(session)
      if (this.endConnectionOf(session)) revoked.connections++
      revoked.sessions++
      const end = this.endSession(session)
      // told of below, with all others
      end.catch(() => undefined)
      ends.push(end)
    }
    await Promise.all(ends)
    // what was on its way to the store for them
    await journal.openCommits()
    return revoked
  }

  /** The sessions of a target, a few at a time. */
  private async *sessionsOf(target: RevocationTarget): AsyncGenerator<Session> {
    const { registry, turn } = this.parts
    const { clientId } = target
    const own = clientId === undefined ? undefined : registry.get(clientId)
    const sessions = clientId === undefined ? registry.all : own === undefined ? [] : [own]
    turn.slice.begin()
    for (const session of sessions) {
      const username = registry.connection(session.clientId)?.client?.username ?? session.username
      // what the application itself has subscribed to is its own
      const isWanted =
        !isApplicationIdentifier(session.clientId) && isOf(target, { clientId: session.clientId, username })
      if (isWanted) yield session
      if (turn.slice.isOverAfter(isWanted ? ENDED : LOOKED_AT)) await this.othersTurn()
    }
  }

  private async othersTurn(): Promise<void> {
    await nextTurn()
    if (this.parts.journal.isClosed) throw new MqttError('GNATMQ_NOT_RUNNING', 'the broker has stopped')
    this.parts.turn.slice.begin()
  }

  private endConnectionOf(session: Session): boolean {
    const connection = this.parts.registry.connection(session.clientId)
    if (connection === undefined || connection.closing) return false
    end(connection)
    return true
  }

  private async endSession(session: Session): Promise<void> {
    const { endings, journal, registry, wills } = this.parts
    wills.discard(session)
    if (registry.has(session)) {
      const slow = endings.endFormer(session.clientId, true, 'revoked')
      if (slow !== undefined) await slow
      else endings.endUncommitted(session, null, 'revoked')
    }
    await kept(journal.commit())
  }

  private async endSubscriptions(target: RevocationTarget): Promise<Revoked> {
    const revoked = { connections: 0, sessions: 0, subscriptions: 0 }
    const changed: Session[] = []
    for await (const session of this.sessionsOf({ ...target, filter: undefined })) {
      const ended = await this.subscriptionsOf(session, target)
      if (ended.length === 0) continue
      changed.push(session)
      revoked.subscriptions += ended.length
      this.endAll(session, ended)
    }
    const left = changed.values()
    const work = async (): Promise<void> => {
      for (const session of left) await this.settle(session)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    return revoked
  }

  private async subscriptionsOf(session: Session, target: RevocationTarget): Promise<Subscription<Session>[]> {
    const { router, turn } = this.parts
    const found: Subscription<Session>[] = []
    for (const subscription of router.subscriptionsOf(session)) {
      if (takesFilter(target, subscription.filter)) found.push(subscription)
      if (turn.slice.isOverAfter(LOOKED_AT)) await this.othersTurn()
    }
    return found
  }

  private endAll(session: Session, ended: readonly Subscription<Session>[]): void {
    const { events, registry, revocations, wide } = this.parts
    // a message that is on its way to it in slices was published before
    wide.settle(session)
    for (const subscription of ended) revocations.add(subscription, undefined)
    const connection = registry.connection(session.clientId)
    if (connection?.announced !== true) return
    for (const { filter } of ended) events.emit('unsubscribed', connection.client!, filter)
  }

  /** The client has another identity: with other rights its subscriptions end, or are granted less. */
  async revise(connection: Connection, hasOtherRights: boolean): Promise<void> {
    const { authorization, identities, revocations, router, turn, wide } = this.parts
    const { client, closing, session } = connection
    if (client === null || session === null || closing) return
    identities.begin(connection)
    if (!hasOtherRights) return
    const ended: Subscription<Session>[] = []
    turn.slice.begin()
    for (const subscription of router.subscriptionsOf(session)) {
      if (turn.slice.isOverAfter(LOOKED_AT)) await this.othersTurn()
      const { filter, qos } = subscription
      const entitled = authorization.entitle(client, filter, qos)
      if (!isAllowed(entitled.answer)) ended.push(subscription)
      else if (entitled.qos < qos) {
        wide.settle(session)
        revocations.add(subscription, entitled.qos)
      }
    }
    this.endAll(session, ended)
    await this.settle(session)
  }

  /** Nothing waits in the session any more that it may not have, and nothing in the connection. */
  async settle(session: Session): Promise<void> {
    await kept(this.parts.revocations.settle(session))
    const connection = this.parts.registry.connection(session.clientId)
    if (connection !== undefined) await written(connection)
  }
}

/** The connection is over, and what waits in it is not sent. The Will is not published. */
function end(connection: Connection): void {
  const { channel, outbox } = connection
  const reasonString = 'the application has revoked the rights of the client'
  connection.will = null
  outbox.discard()
  const isRead = channel.stream.writableLength === 0
  connection.disconnect(ReasonCode.NotAuthorized, { reasonString }, new MqttError('GNATMQ_REVOKED', reasonString))
  // what the stream has cannot be taken back but by its end
  if (!isRead) connection.end.lose()
}

/** Settles once the system has taken what was written for the client so far. */
async function written(connection: Connection): Promise<void> {
  const { outbox } = connection
  const until = performance.now() + READING_MS
  // first what the stream has, then what waits behind that
  for (let pass = 0; pass < 2; pass++) {
    const last = outbox.handOver()
    while (outbox.completed < last && !connection.closing) {
      if (performance.now() >= until) {
        end(connection)
        return
      }
      await pause(PAUSE_MS)
    }
  }
}

async function kept(committed: Promise<void> | undefined): Promise<void> {
  try {
    await committed
  } catch (cause) {
    const text = 'the store has not kept yet what was revoked; nothing of it is delivered as long as the broker runs'
    throw new MqttError('GNATMQ_STORE_FAILED', text, { cause })
  }
}
