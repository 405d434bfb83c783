import type { Delivery } from './delivery'
import type { Move } from './move'
import type { Session } from './session'

/** Told of every change of a session that outlives its connection. */
export interface Journal {
  enqueue(session: Session, delivery: Delivery, packetIdentifier: number): void
  assign(session: Session, delivery: Delivery, packetIdentifier: number): void
  received(session: Session, delivery: Delivery, packetIdentifier: number): void
  /** `move` is what gives it to another member of its group, if anything does. */
  dequeue(session: Session, delivery: Pick<Delivery, 'position'>, move?: Move | null): void
  hold(session: Session, packetIdentifier: number): void
  release(session: Session, packetIdentifier: number): void
}
