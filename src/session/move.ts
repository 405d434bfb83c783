import type { Delivery } from './delivery'
import { InflightState } from './inflight'
import type { Session } from './session'
import { undoDelivery } from './undo'

/**
 * A message on its way from one member of a shared group to another. It is one unit: while it is not kept the other
 * member is sent nothing, and when it is refused the message is back where it was.
 */
export class Move {
  isOver = false
  /** What it has been given there and is not sent with yet, 0 if it is queued. */
  takenIdentifier = 0
  /** Whether the other member was connected when it was given the message. */
  readonly wasConnected: boolean

  /** `identifier` is what `given` was in flight with, or 0: it was queued. */
  constructor(
    readonly from: Session,
    readonly given: Delivery,
    readonly identifier: number,
    readonly to: Session,
    readonly taken: Delivery,
  ) {
    this.wasConnected = to.output !== null
  }

  keep(): void {
    this.isOver = true
    this.taken.move = null
  }

  /** False if it was over before. */
  undo(): boolean {
    if (this.isOver) return false
    this.isOver = true
    this.taken.move = null
    undoDelivery(this.to, this.taken, 0)
    giveBack(this.from, this.given, this.identifier)
    return true
  }
}

/** An ended session has it too, until another member can have it. */
function giveBack(session: Session, delivery: Delivery, identifier: number): void {
  const inflight = session.openInflight()
  const isFree = identifier !== 0 && inflight.state(identifier) === InflightState.Free
  if (isFree && session.output === null) {
    inflight.restore(identifier, InflightState.Puback, delivery)
    return
  }
  // its client is back, and was not told of it under its identifier
  if (identifier !== 0) delivery.sent = false
  session.openQueue().insert(delivery)
}
