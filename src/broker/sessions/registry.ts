import { Budget } from '../../memory/memory-budget'
import { sessionCost } from '../../memory/session-cost'
import type { Session } from '../../session/session'
import type { Connection } from '../wire/connection'

/** Every session by its Client Identifier, and the connection of each that has one. */
export class SessionRegistry {
  private readonly sessions = new Map<string, Session>()
  private readonly connections = new Map<string, Connection>()

  private readonly budget: Budget
  /** Bytes of the sessions of each user; null until they are first asked for. */
  private byUser: Map<string, number> | null = null

  /** `budget` is what sessions may have of the memory. */
  constructor(budget = new Budget()) {
    this.budget = budget
  }

  get size(): number {
    return this.sessions.size
  }

  get connectedCount(): number {
    return this.connections.size
  }

  /** Every session; others may come and go meanwhile. */
  get all(): Iterable<Session> {
    return this.sessions.values()
  }

  get connected(): Iterable<Connection> {
    return this.connections.values()
  }

  get(clientId: string): Session | undefined {
    return this.sessions.get(clientId)
  }

  connection(clientId: string): Connection | undefined {
    return this.connections.get(clientId)
  }

  /** False once the session has ended, also where another one has its Client Identifier. */
  has(session: Session): boolean {
    return this.sessions.get(session.clientId) === session
  }

  add(session: Session): void {
    this.sessions.set(session.clientId, session)
    this.count(session, sessionCost(session.clientId, session.username))
  }

  remove(session: Session): void {
    this.sessions.delete(session.clientId)
    this.count(session, 0)
  }

  /** The session belongs to a user, perhaps another one than before. */
  assign(session: Session, username: string | undefined): void {
    this.count(session, 0)
    session.username = username
    this.count(session, sessionCost(session.clientId, username))
  }

  private count(session: Session, cost: number): void {
    const change = cost - session.headCost
    session.headCost = cost
    this.budget.add(change)
    if (this.byUser !== null) charge(this.byUser, session.username, change)
  }

  /**
   * Whether a session of `bytes` may be opened for a user; undefined for one that does not count by itself. A user has its share of the
   * memory, whatever Client Identifiers its clients give.
   */
  admits(bytes: number, username: string | undefined): boolean {
    const { budget } = this
    // until half of it is used no user can have more than its share
    if (budget.used < budget.maximum / 2) this.byUser = null
    if (username === undefined || budget.used < budget.maximum / 2) return budget.admits(bytes, 0)
    this.byUser ??= this.countUsers()
    return budget.admits(bytes, this.byUser.get(username) ?? 0)
  }

  private countUsers(): Map<string, number> {
    const byUser = new Map<string, number>()
    for (const { headCost, username } of this.sessions.values()) charge(byUser, username, headCost)
    return byUser
  }

  connect(clientId: string, connection: Connection): void {
    this.connections.set(clientId, connection)
  }

  /** The connection has ended. One that was taken over is not registered any more. */
  disconnect(clientId: string, connection: Connection): void {
    if (this.connections.get(clientId) === connection) this.connections.delete(clientId)
  }
}

function charge(byUser: Map<string, number>, username: string | undefined, change: number): void {
  if (username === undefined) return
  const held = (byUser.get(username) ?? 0) + change
  if (held > 0) byUser.set(username, held)
  else byUser.delete(username)
}
