import type { Delivery } from './delivery'
import type { Session } from './session'

/** Told of every change of a session that outlives its connection. */
export interface Journal {
  enqueue(session: Session, delivery: Delivery, packetIdentifier: number): void
  assign(session: Session, delivery: Delivery, packetIdentifier: number): void
  received(session: Session, delivery: Delivery): void
  dequeue(session: Session, delivery: Pick<Delivery, 'position'>): void
  hold(session: Session, packetIdentifier: number): void
  release(session: Session, packetIdentifier: number): void
}
