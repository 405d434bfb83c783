import type { Delivery } from './delivery'

/** What a journal tells sessions apart by. */
export interface JournaledSession {
  readonly clientId: string
}

/** Told of every change of a session that outlives its connection. */
export interface Journal {
  enqueue(session: JournaledSession, delivery: Delivery, packetIdentifier: number): void
  assign(session: JournaledSession, delivery: Delivery, packetIdentifier: number): void
  received(session: JournaledSession, delivery: Delivery): void
  dequeue(session: JournaledSession, delivery: Pick<Delivery, 'position'>): void
  hold(session: JournaledSession, packetIdentifier: number): void
  release(session: JournaledSession, packetIdentifier: number): void
}
