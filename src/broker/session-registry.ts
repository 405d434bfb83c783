import type { DisconnectReason } from '../ports/events'
import { MqttError } from '../protocol/mqtt-error'
import type { WillPacket } from '../protocol/packet'
import { ReasonCode } from '../protocol/reason-code'
import { NEVER_EXPIRES, Session } from '../session/session'
import type { Connection } from './connection'
import type { Core } from './core'
import type { Deadline } from './deadline-wheel'
import { storedWill, type Will } from './wills'

/** The end of a session whose client does not come back (MQTT 5.0 section 3.1.2.11.2). */
class Expiry implements Deadline {
  slot = -1
  readonly session: Session
  private readonly registry: SessionRegistry

  constructor(registry: SessionRegistry, session: Session) {
    this.registry = registry
    this.session = session
  }

  get dueAt(): number {
    return this.session.expiresAt
  }

  due(): void {
    this.registry.expire(this.session)
  }
}

/** Every session by its Client Identifier, and the connection that each belongs to, if any. */
export class SessionRegistry {
  private readonly sessions = new Map<string, Session>()
  private readonly connections = new Map<string, Connection>()
  private readonly expiries = new Map<Session, Expiry>()
  /** Sessions whose end takes time, and who waits for it. */
  private readonly ending = new Map<Session, (() => void)[]>()
  private readonly core: Core

  constructor(core: Core) {
    this.core = core
  }

  get size(): number {
    return this.sessions.size
  }

  get(clientId: string): Session | undefined {
    return this.sessions.get(clientId)
  }

  connection(clientId: string): Connection | undefined {
    return this.connections.get(clientId)
  }

  get connected(): Iterable<Connection> {
    return this.connections.values()
  }

  get connectedCount(): number {
    return this.connections.size
  }

  /**
   * The session for a CONNECT: a new one, or the one that is there. Whoever is connected with the same Client
   * Identifier has to go [MQTT-3.1.4-2].
   */
  open(
    connection: Connection,
    clientId: string,
    clean: boolean,
    expiryInterval: number,
  ): { session: Session; present: boolean } {
    this.takeOver(clientId)
    let session = this.sessions.get(clientId)
    if (session !== undefined && (clean || this.isExpired(session))) {
      // its end is one commit with the record of the session that takes its place
      this.forget(session, null)
      session = undefined
    }
    const present = session !== undefined
    if (session === undefined) {
      session = new Session(clientId, this.core.settings.session)
      this.sessions.set(clientId, session)
    }
    this.cancelExpiry(session)
    // also where the connection ends before CONNACK, and asked for a session that never expires
    session.expiresAt = 0
    this.core.wills.resume(session)
    session.expiryInterval = expiryInterval
    // a session that was kept stays in the store until its end, also when it is to end with this connection
    if (expiryInterval > 0) session.journal = this.core.journal
    this.connections.set(clientId, connection)
    return { session, present }
  }

  /** A session that has to go before a CONNECT, if others may have what the store alone has of it: see `endFirst`. */
  slowEnding(clientId: string, clean: boolean): Session | undefined {
    const session = this.sessions.get(clientId)
    if (session === undefined || this.ending.has(session)) return session
    return (clean || this.isExpired(session)) && this.hasSharesInStore(session) ? session : undefined
  }

  /** Ends a session before the one that takes its place is opened, and calls `then`: at once, or later. */
  endFirst(session: Session, then: () => void): void {
    this.takeOver(session.clientId)
    const waiting = this.ending.get(session)
    if (waiting === undefined) this.handOnAndEnd(session, [then])
    else waiting.push(then)
  }

  private takeOver(clientId: string): void {
    const other = this.connections.get(clientId)
    if (other === undefined) return
    const text = `another connection with the Client Identifier ${clientId} took over`
    other.disconnect(ReasonCode.SessionTakenOver, {}, new MqttError('GNATMQ_SESSION_TAKEN_OVER', text))
  }

  /** Writes the head of a durable session. */
  record(session: Session, disconnectedAt: number, will: WillPacket | undefined): void {
    if (session.journal === null) return
    const { clientId, username, expiryInterval } = session
    // what a hook still thinks about must survive a crash
    const left = will ?? this.core.wills.openQuestion(clientId)
    const stored = left === undefined ? undefined : storedWill(left)
    this.core.journal.record(session, { clientId, username, expiryInterval, disconnectedAt, will: stored })
  }

  /** Puts a stored session in its place at start-up. */
  restore(session: Session, disconnectedAt: number): void {
    const { clock } = this.core.settings
    this.sessions.set(session.clientId, session)
    session.journal = this.core.journal
    if (session.expiryInterval === NEVER_EXPIRES) return
    // a wall clock that was set back makes nothing last longer than its interval
    const passed = disconnectedAt === 0 ? 0 : Math.max(0, clock.wallTime() - disconnectedAt)
    session.expiresAt = clock.now() + Math.max(0, session.expiryInterval * 1000 - passed)
    this.awaitExpiry(session)
  }

  /** DISCONNECT may shorten or lengthen the life of a session (MQTT 5.0 section 3.14.2.2.2). */
  changeExpiry(session: Session, expiryInterval: number): void {
    session.expiryInterval = Math.min(expiryInterval, this.core.settings.maximumSessionExpiryInterval)
  }

  /** A connection gave its session up. */
  disconnected(connection: Connection, session: Session, reason: DisconnectReason): void {
    const { events, settings, wills } = this.core
    if (this.connections.get(session.clientId) === connection) this.connections.delete(session.clientId)
    if (session.output === connection.outbox) session.detach()
    const { will } = connection
    connection.will = null
    // nobody was ever told of a session whose CONNECT the store refused
    if (session.expiryInterval > 0 && session.accepted) {
      this.core.publisher.handOver(session)
      if (session.expiryInterval !== NEVER_EXPIRES) {
        session.expiresAt = settings.clock.now() + session.expiryInterval * 1000
        this.awaitExpiry(session)
      }
      const disconnectedAt = settings.clock.wallTime()
      this.record(session, disconnectedAt, will?.packet)
      if (will !== null) wills.leave(will, disconnectedAt)
      this.core.journal.commitUnattended()
    } else this.end(session, will)
    if (connection.announced) {
      connection.announced = false
      events.emit('clientDisconnected', connection.client!, reason)
    }
  }

  /** The time of a session is over. */
  expire(session: Session): void {
    if (this.hasSharesInStore(session)) this.handOnAndEnd(session, [])
    else this.end(session)
  }

  /** Whether the store alone has messages of a session that may be for other members of its groups. */
  private hasSharesInStore(session: Session): boolean {
    if (session.storedMessages === 0) return false
    for (const { group } of this.core.router.subscriptionsOf(session))
      if (group !== null && group.members.length > 1) return true
    return false
  }

  private handOnAndEnd(session: Session, waiting: (() => void)[]): void {
    this.ending.set(session, waiting)
    this.cancelExpiry(session)
    // from now on nobody hands anything to it
    this.core.router.removeAll(session)
    this.core.restorer.handOn(session, () => {
      this.ending.delete(session)
      if (this.sessions.get(session.clientId) === session) this.end(session)
      for (const then of waiting) then()
    })
  }

  /** Ends a session, and publishes the Will that it leaves. */
  end(session: Session, will: Will | null = null): void {
    this.forget(session, will)
    this.core.journal.commitUnattended()
  }

  /** Forgets a session with everything that belongs to it; the commit is left to the caller. */
  private forget(session: Session, will: Will | null): void {
    const isStored = session.journal !== null
    if (this.sessions.get(session.clientId) === session) {
      session.ended = true
      // before its queue ends with it, and in one commit with its end
      this.core.publisher.endShares(session)
      this.sessions.delete(session.clientId)
      this.cancelExpiry(session)
      this.core.router.removeAll(session)
      session.journal = null
      session.discardQueue()
      this.core.restorer.scan.forget(session)
    }
    this.core.wills.end(session, isStored, will)
  }

  /** A full queue whose policy is to end the connection. */
  overflow(session: Session): void {
    const connection = this.connections.get(session.clientId)
    connection?.disconnect(
      ReasonCode.QuotaExceeded,
      {},
      new MqttError('GNATMQ_QUOTA_EXCEEDED', 'the queue of the session is full'),
    )
  }

  /** Its time is over, though the wheel has not come round yet. */
  private isExpired({ expiresAt }: Session): boolean {
    return expiresAt !== 0 && expiresAt <= this.core.settings.clock.now()
  }

  private awaitExpiry(session: Session): void {
    const expiry = new Expiry(this, session)
    this.expiries.set(session, expiry)
    this.core.wheel.place(expiry)
  }

  private cancelExpiry(session: Session): void {
    const expiry = this.expiries.get(session)
    if (expiry === undefined) return
    this.expiries.delete(session)
    this.core.wheel.remove(expiry)
  }
}
