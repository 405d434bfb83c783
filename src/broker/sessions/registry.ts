import { Budget } from '../../memory/memory-budget'
import { sessionCost } from '../../memory/session-cost'
import type { Session } from '../../session/session'
import type { Connection } from '../wire/connection'

/** Every session by its Client Identifier, and the connection of each that has one. */
export class SessionRegistry {
  private readonly sessions = new Map<string, Session>()
  private readonly connections = new Map<string, Connection>()

  private readonly budget: Budget

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
    this.recount(session)
  }

  remove(session: Session): void {
    this.sessions.delete(session.clientId)
    this.budget.add(-session.headCost)
    session.headCost = 0
  }

  /** The user name of a session may be another. */
  recount(session: Session): void {
    const cost = sessionCost(session.clientId, session.username)
    this.budget.add(cost - session.headCost)
    session.headCost = cost
  }

  connect(clientId: string, connection: Connection): void {
    this.connections.set(clientId, connection)
  }

  /** The connection has ended. One that was taken over is not registered any more. */
  disconnect(clientId: string, connection: Connection): void {
    if (this.connections.get(clientId) === connection) this.connections.delete(clientId)
  }
}
