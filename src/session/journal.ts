import type { Delivery, PendingMove } from './delivery'

/** What a journal tells sessions apart by. */
export interface JournaledSession {
  readonly clientId: string
}

/** Told of every change of a session that outlives its connection. */
export interface Journal {
  enqueue(session: JournaledSession, delivery: Delivery, packetIdentifier: number): void
  assign(session: JournaledSession, delivery: Delivery, packetIdentifier: number): void
  received(session: JournaledSession, delivery: Delivery, packetIdentifier: number): void
  /** `move` is what gives it to another member of its group, if anything does. */
  dequeue(session: JournaledSession, delivery: Pick<Delivery, 'position'>, move?: PendingMove | null): void
  hold(session: JournaledSession, packetIdentifier: number): void
  release(session: JournaledSession, packetIdentifier: number): void
}
