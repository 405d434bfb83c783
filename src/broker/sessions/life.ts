import type { Clock } from '../../ports/clock'
import type { Router } from '../../routing/router'
import type { Journal } from '../../session/journal'
import { NEVER_EXPIRES, Session, type SessionLimits } from '../../session/session'
import type { Deadline, DeadlineWheel } from '../wire/deadline-wheel'
import type { Turn } from '../wire/turn'
import type { SessionRegistry } from './registry'

/** The Session Expiry Interval of a session without a connection (MQTT 5.0 section 3.1.2.11.2). */
class Expiry implements Deadline {
  slot = -1
  readonly session: Session
  private readonly expired: (session: Session) => void

  constructor(session: Session, expired: (session: Session) => void) {
    this.session = session
    this.expired = expired
  }

  get dueAt(): number {
    return this.session.expiresAt
  }

  due(): void {
    this.expired(this.session)
  }
}

/** Subscriptions that are removed at once. Those of a session with more are removed in slices. */
const AT_ONCE = 256
/** Units of effort of the end of one subscription. */
const REMOVAL = 32

/** What the life of sessions needs. */
export interface SessionLifeParts {
  readonly registry: SessionRegistry
  readonly router: Router<Session>
  readonly journal: Journal
  readonly wheel: DeadlineWheel
  readonly clock: Clock
  readonly turn: Turn
  /** Told of sessions that end. */
  readonly scan: { forget(session: Session): void }
  readonly limits: SessionLimits
  /** Seconds. */
  readonly maximumSessionExpiryInterval: number
  /** Called when the Session Expiry Interval of an absent session is over: it is to be ended. */
  readonly expired: (session: Session) => void
}

/**
 * Opens, resumes, suspends and ends sessions (section 4.1). What a session leaves behind, messages for other members of its
 * shared groups and a Will, is delivered by the caller.
 */
export class SessionLife {
  private readonly parts: SessionLifeParts
  private readonly expiries = new Map<Session, Expiry>()
  /** By Client Identifier: what settles once the subscriptions of a session that has ended are removed. */
  private readonly removals = new Map<string, Promise<void>>()

  constructor(parts: SessionLifeParts) {
    this.parts = parts
  }

  /** A new session. `expiryInterval` is in seconds. */
  open(clientId: string, expiryInterval: number): Session {
    const { limits, registry } = this.parts
    const session = new Session(clientId, limits)
    registry.add(session)
    this.setExpiry(session, expiryInterval)
    return session
  }

  /** A session that is there has a connection again. */
  resume(session: Session, expiryInterval: number): void {
    session.advance('resume')
    this.cancelExpiry(session)
    this.setExpiry(session, expiryInterval)
  }

  /** The connection is over, and the session waits for the next one until it expires. */
  suspend(session: Session): void {
    session.advance('suspend')
    const { clock } = this.parts
    if (session.expiryInterval === NEVER_EXPIRES) return
    session.expiresAt = clock.now() + session.expiryInterval * 1000
    this.awaitExpiry(session)
  }

  /** The session is over: it is found no more, and nothing waits for it. False if it had ended before. */
  end(session: Session): boolean {
    const { registry, scan } = this.parts
    if (!registry.has(session)) return false
    registry.remove(session)
    this.cancelExpiry(session)
    this.removeSubscriptions(session)
    session.journal = null
    session.discardQueue()
    scan.forget(session)
    return true
  }

  /** From now on nothing is delivered to the session, which is about to end. */
  close(session: Session): void {
    session.advance('close')
    this.cancelExpiry(session)
    this.removeSubscriptions(session)
  }

  /**
   * Settles once nothing is left of former sessions with this Client Identifier: the next one waits for that, so that a client that comes
   * again and again makes no more work than is done. undefined if nothing is.
   */
  removal(clientId: string): Promise<void> | undefined {
    return this.removals.get(clientId)
  }

  /** What is delivered to a session that has ended, before the last of them is removed, goes nowhere. */
  private removeSubscriptions(session: Session): void {
    const { router, turn } = this.parts
    if (router.countOf(session) <= AT_ONCE) {
      router.removeAll(session)
      return
    }
    const { clientId } = session
    const removed = new Promise<void>((resolve) => {
      const takeTurn = (): void => {
        if (router.removeAll(session, () => turn.slice.isOverAfter(REMOVAL))) resolve()
        else turn.rota.add({ takeTurn })
      }
      turn.rota.add({ takeTurn })
    }).then(() => {
      if (this.removals.get(clientId) === removed) this.removals.delete(clientId)
    })
    this.removals.set(clientId, removed)
  }

  /** Puts a stored session in its place at start-up. `disconnectedAt` is wall time, 0 if a crash ended its connection. */
  restore(session: Session, disconnectedAt: number): void {
    const { clock, journal, maximumSessionExpiryInterval, registry } = this.parts
    registry.add(session)
    session.advance('suspend')
    session.journal = journal
    session.expiryInterval = Math.min(session.expiryInterval, maximumSessionExpiryInterval)
    if (session.expiryInterval === NEVER_EXPIRES) return
    // a wall clock that was set back makes nothing last longer than its interval
    const passed = disconnectedAt === 0 ? 0 : Math.max(0, clock.wallTime() - disconnectedAt)
    session.expiresAt = clock.now() + Math.max(0, session.expiryInterval * 1000 - passed)
    this.awaitExpiry(session)
  }

  /** CONNECT and DISCONNECT set the expiry (MQTT 5.0 sections 3.1.2.11.2 and 3.14.2.2.2). Seconds. */
  setExpiry(session: Session, expiryInterval: number): void {
    const { journal, maximumSessionExpiryInterval } = this.parts
    session.expiryInterval = Math.min(expiryInterval, maximumSessionExpiryInterval)
    session.expiresAt = 0
    // a session that was kept stays in the store until its end, also when it is to end with this connection
    if (session.expiryInterval > 0 && session.journal === null) session.journal = journal
  }

  /** Its time is over, though the wheel has not come round yet. */
  isExpired({ expiresAt }: Session): boolean {
    return expiresAt !== 0 && expiresAt <= this.parts.clock.now()
  }

  private awaitExpiry(session: Session): void {
    const expiry = new Expiry(session, this.parts.expired)
    this.expiries.set(session, expiry)
    this.parts.wheel.place(expiry)
  }

  private cancelExpiry(session: Session): void {
    const expiry = this.expiries.get(session)
    if (expiry === undefined) return
    this.expiries.delete(session)
    this.parts.wheel.remove(expiry)
  }
}
