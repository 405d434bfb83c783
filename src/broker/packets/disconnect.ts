import type { EventEmitter } from 'eventemitter3'
import type { MemoryBudget } from '../../memory/memory-budget'
import type { Clock } from '../../ports/clock'
import type { BrokerEvents, DisconnectReason, SessionEndReason } from '../../ports/events'
import type { Logger } from '../../ports/logger'
import { isApplicationIdentifier } from '../../protocol/application-identifier'
import { MqttError, protocolError } from '../../protocol/mqtt-error'
import type { DisconnectPacket } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { Transfer } from '../delivery/transfer'
import type { Will, Wills } from '../delivery/wills'
import type { StepEvents } from '../hooks/step-events'
import type { EndedSessions } from '../sessions/ended-sessions'
import type { SessionHeads } from '../sessions/heads'
import type { SessionLife } from '../sessions/life'
import type { SessionRegistry } from '../sessions/registry'
import type { Connection } from '../wire/connection'
import type { Counters } from '../wire/counters'

export interface DisconnectParts {
  readonly clock: Clock
  readonly memory: MemoryBudget
  readonly logger: Logger
  readonly events: EventEmitter<BrokerEvents>
  readonly registry: SessionRegistry
  readonly life: SessionLife
  readonly heads: SessionHeads
  readonly journal: CommitJournal
  readonly transfer: Transfer
  readonly wills: Wills
  readonly stepEvents: StepEvents
  readonly counters: Counters
  readonly ended: EndedSessions
}

/** DISCONNECT (section 3.14), and what the end of a connection or of a session brings about. */
export class DisconnectReceiver {
  private readonly parts: DisconnectParts
  /** Sessions whose end takes time, and what waits for it. */
  private readonly ending = new Map<Session, Promise<void>>()

  constructor(parts: DisconnectParts) {
    this.parts = parts
  }

  receive(connection: Connection, { reasonCode, sessionExpiryInterval }: DisconnectPacket): void {
    const { session } = connection
    if (sessionExpiryInterval !== undefined && session !== null) {
      if (sessionExpiryInterval > 0 && session.expiryInterval === 0)
        throw protocolError('DISCONNECT that revives a session without expiry [MQTT-3.14.2-2]')
      this.parts.life.setExpiry(session, sessionExpiryInterval)
    }
    // [MQTT-3.14.4-3]
    if (reasonCode === ReasonCode.Success) connection.will = null
    connection.finish({ reasonCode, byClient: true, error: undefined }, null)
  }

  /** Another connection has the same Client Identifier [MQTT-3.1.4-2]. */
  takeOver(clientId: string): void {
    const text = `another connection with the Client Identifier ${clientId} took over`
    this.parts.registry
      .connection(clientId)
      ?.disconnect(ReasonCode.SessionTakenOver, {}, new MqttError('GNATMQ_SESSION_TAKEN_OVER', text))
  }

  /** A connection has ended: its session is suspended, or ends with it. */
  ended(connection: Connection, reason: DisconnectReason): void {
    const { client, outbox, session } = connection
    if (session === null) return
    this.parts.registry.disconnect(session.clientId, connection)
    if (session.output === outbox) session.detach()
    const packet = connection.will
    connection.will = null
    this.release(connection, session)
    const will = packet === null ? null : { packet, client: client!, session }
    // a session whose CONNECT the store refused was never announced to its client
    if (session.expiryInterval > 0 && session.accepted) this.suspend(session, will)
    else this.end(session, will, endReason(reason))
    if (!connection.announced) return
    connection.announced = false
    const { events, logger } = this.parts
    const { reasonCode, byClient, error } = reason
    logger.info({ clientId: session.clientId, reasonCode, byClient, error: error?.code }, 'client disconnected')
    events.emit('clientDisconnected', client!, reason)
  }

  /** What a connection holds besides its session. */
  private release({ client, incomingAliases }: Connection, session: Session): void {
    const { sessions, wills } = this.parts.memory
    wills.add(-session.willCost)
    session.willCost = 0
    sessions.add(-client!.propertiesCost)
    client!.propertiesCost = 0
    incomingAliases?.release()
    client!.extras?.left?.()
  }

  private suspend(session: Session, will: Will | null): void {
    const { clock, heads, journal, life, transfer, wills } = this.parts
    transfer.offer(session)?.catch(() => undefined)
    life.suspend(session)
    const disconnectedAt = clock.wallTime()
    heads.record(session, disconnectedAt, will?.packet)
    if (will !== null) wills.leave(will, disconnectedAt)
    journal.commitUnattended()
  }

  /** Ends a session: its messages for others, itself, and its Will, in one commit. */
  end(session: Session, will: Will | null, why: SessionEndReason): void {
    this.endUncommitted(session, will, why)
    this.parts.journal.commitUnattended()
  }

  /** The same, where the commit is left to the caller. */
  endUncommitted(session: Session, will: Will | null, why: SessionEndReason): void {
    const { life, registry, transfer, wills } = this.parts
    const isStored = session.journal !== null
    if (registry.has(session)) {
      session.advance('end')
      // before the queue ends with the session, and in one commit with its end
      transfer.offerLast(session)
      life.end(session)
      this.tellOfEnd(session, why)
    }
    wills.end(session, isStored, will)
  }

  private tellOfEnd({ accepted, clientId }: Session, why: SessionEndReason): void {
    const { counters, ended, stepEvents } = this.parts
    if (why === 'expired') counters.expiredSessions++
    if (!accepted || isApplicationIdentifier(clientId)) return
    ended.note(clientId, why)
    if (stepEvents.listens('sessionEnded')) stepEvents.tell('sessionEnded', clientId, why)
  }

  /** The Session Expiry Interval of an absent session is over. */
  expire(session: Session): void {
    if (this.parts.transfer.hasSharesInStore(session)) void this.endSlowly(session, 'expired')
    else this.end(session, null, 'expired')
  }

  /**
   * Ends the session that is in the way of a CONNECT, if the store alone has messages of it for other members: those are
   * read page by page. undefined if nothing is to be waited for.
   */
  endFormer(clientId: string, clean: boolean, why: SessionEndReason): Promise<void> | undefined {
    const { life, registry, transfer } = this.parts
    const session = registry.get(clientId)
    if (session === undefined) return undefined
    const ending = this.ending.get(session)
    if (ending !== undefined) return ending
    const isExpired = life.isExpired(session)
    if (!(clean || isExpired) || !transfer.hasSharesInStore(session)) return undefined
    this.takeOver(clientId)
    return this.endSlowly(session, isExpired ? 'expired' : why)
  }

  private endSlowly(session: Session, why: SessionEndReason): Promise<void> {
    const { life, registry, transfer } = this.parts
    life.close(session)
    const ended = transfer.offerAll(session).then(() => {
      this.ending.delete(session)
      if (registry.has(session)) this.end(session, null, why)
    })
    this.ending.set(session, ended)
    return ended
  }
}

/** Why a session ends that ends with its connection. */
function endReason({ error }: DisconnectReason): SessionEndReason {
  if (error?.code === 'GNATMQ_SESSION_TAKEN_OVER') return 'replaced'
  return error?.code === 'GNATMQ_REVOKED' ? 'revoked' : 'disconnected'
}
