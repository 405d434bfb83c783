import type { QueueEntry, StoredSession } from '../../ports/store'
import type { Delivery } from '../../session/delivery'
import { Move } from '../../session/move'
import { requeueUncommitted } from '../../session/sender'
import type { Session } from '../../session/session'
import { keepForOthers, undoDelivery, undoReceived } from '../../session/undo'
import { type JournaledChange, Undoable } from './change'

/** What a refused or a kept change sets going again. */
export interface Continuation {
  /** What the session has waiting could not be sent, or handed on: it is tried again later. */
  stalled(session: Session): void
  /** A message is kept where it was moved to, and may be sent. */
  moved(move: Move): void
  /** What the session has of a shared group may now be sent, or handed on. */
  released(session: Session): void
  /** Gives others what an ended session has of shared groups; the commit is left to the caller. */
  endShares(session: Session): void
}

export class EnqueueChange extends Undoable {
  readonly type = 'enqueue'
  readonly clientId: string
  readonly entry: QueueEntry
  readonly #session: Session
  readonly #delivery: Delivery
  readonly #move: Move | null
  readonly #then: Continuation

  constructor(session: Session, delivery: Delivery, entry: QueueEntry, then: Continuation) {
    super()
    this.clientId = session.clientId
    this.entry = entry
    this.#session = session
    this.#delivery = delivery
    this.#move = delivery.move instanceof Move ? delivery.move : null
    this.#then = then
    if (delivery.origin === null) return
    delivery.uncommitted = true
    session.openShares++
  }

  /** Only a message of a shared group waits for this: no other member may get it before. */
  override keep(): void {
    const session = this.#session
    const delivery = this.#delivery
    this.close()
    if (this.#move !== null) keepMove(this.#move, this.#then)
    else goOnWith(session, delivery, this.#then)
  }

  undo(): boolean {
    this.close()
    if (this.#move !== null) undoMove(this.#move, this.#then)
    else undoDelivery(this.#session, this.#delivery, this.entry.packetIdentifier)
    if (this.#session.ended) this.#then.released(this.#session)
    return false
  }

  override inverse(): JournaledChange {
    return new DequeueChange(this.#session, this.#delivery.position, null, this.#then)
  }

  private close(): void {
    if (!this.#delivery.uncommitted) return
    this.#delivery.uncommitted = false
    this.#session.openShares--
  }
}

/** An entry takes the place of another. Where it is refused the session resumes with the former one, and is asked about again. */
export class RewriteChange extends Undoable {
  readonly type = 'enqueue'
  readonly replaces = true
  readonly clientId: string
  readonly entry: QueueEntry

  constructor({ clientId }: Session, entry: QueueEntry) {
    super()
    this.clientId = clientId
    this.entry = entry
  }

  undo(): boolean {
    return false
  }
}

function keepMove(move: Move, then: Continuation): void {
  if (move.isOver) return
  move.keep()
  then.moved(move)
  goOnWith(move.to, move.taken, then)
}

/** A message of a shared group is kept: if its session went offline meanwhile, others may have it from now on. */
function goOnWith(session: Session, delivery: Delivery, then: Continuation): void {
  if (delivery.handOnLater && session.ended) keepForOthers(session, delivery)
  if (delivery.handOnLater || session.ended) then.released(session)
  delivery.handOnLater = false
}

/** A move that is refused leaves the message where it was. */
function undoMove(move: Move, then: Continuation): void {
  if (!move.undo()) return
  then.stalled(move.from)
  // what came after it has waited for it
  if (move.to.output !== null) then.released(move.to)
}

/** What has ended does not come back: its end is tried again, and first what other members are to have of it. */
export class EndChange extends Undoable {
  readonly type = 'end'
  readonly clientId: string
  /** True once it goes along with the record of the session that takes its place. */
  #isReplaced = false
  readonly #session: Session
  readonly #ends: Map<string, EndChange>
  readonly #then: Continuation

  constructor(session: Session, ends: Map<string, EndChange>, then: Continuation) {
    super()
    this.clientId = session.clientId
    this.#session = session
    this.#ends = ends
    this.#then = then
    ends.set(this.clientId, this)
  }

  /** Whether it is for a record of this session to come after it. */
  precedes(session: Session): boolean {
    return this.#session !== session
  }

  replaced(): this {
    this.#isReplaced = true
    return this
  }

  override keep(): void {
    if (this.isCurrent) this.#ends.delete(this.clientId)
  }

  undo(): boolean {
    return this.isDue
  }

  override get isDue(): boolean {
    return !this.#isReplaced && this.isCurrent
  }

  override again(): this {
    this.#then.endShares(this.#session)
    return this
  }

  private get isCurrent(): boolean {
    return this.#ends.get(this.clientId) === this
  }
}

export class AssignChange extends Undoable {
  readonly type = 'assign'
  readonly clientId: string
  readonly position: number
  readonly packetIdentifier: number
  readonly #session: Session
  readonly #then: Continuation

  constructor(session: Session, position: number, packetIdentifier: number, then: Continuation) {
    super()
    this.clientId = session.clientId
    this.position = position
    this.packetIdentifier = packetIdentifier
    this.#session = session
    this.#then = then
  }

  undo(): boolean {
    if (this.#session.ended) return false
    requeueUncommitted(this.#session)
    this.#then.stalled(this.#session)
    return false
  }
}

export class ReceivedChange extends Undoable {
  readonly type = 'received'
  readonly clientId: string
  readonly position: number
  readonly #session: Session
  readonly #identifier: number

  constructor(session: Session, position: number, identifier: number) {
    super()
    this.clientId = session.clientId
    this.position = position
    this.#session = session
    this.#identifier = identifier
  }

  undo(): boolean {
    undoReceived(this.#session, this.#identifier, this.position)
    return false
  }
}

export class DequeueChange extends Undoable {
  readonly type = 'dequeue'
  readonly clientId: string
  readonly position: number
  readonly #session: Session
  /** What is taken out because another member of its group has it: back it goes with the other half. */
  readonly #move: Move | null
  readonly #then: Continuation

  constructor(session: Session, position: number, move: Move | null, then: Continuation) {
    super()
    this.clientId = session.clientId
    this.position = position
    this.#session = session
    this.#move = move
    this.#then = then
  }

  override keep(): void {
    const move = this.#move
    if (move !== null) keepMove(move, this.#then)
  }

  undo(): boolean {
    if (this.#move === null) return this.isDue
    undoMove(this.#move, this.#then)
    return false
  }

  override get isDue(): boolean {
    return !this.#session.ended
  }
}

export class HoldChange extends Undoable {
  readonly type = 'hold'
  readonly clientId: string
  readonly packetIdentifier: number
  readonly #session: Session

  constructor(session: Session, packetIdentifier: number) {
    super()
    this.clientId = session.clientId
    this.packetIdentifier = packetIdentifier
    this.#session = session
  }

  /** A held identifier would take the repetition for known. */
  undo(): boolean {
    this.#session.held?.delete(this.packetIdentifier)
    return false
  }

  override inverse(): JournaledChange {
    return new ForgetHeldChange(this.#session, this.packetIdentifier)
  }
}

export class ReleaseChange extends Undoable {
  readonly type = 'release'
  readonly clientId: string
  readonly packetIdentifier: number
  readonly #session: Session

  constructor(session: Session, packetIdentifier: number) {
    super()
    this.clientId = session.clientId
    this.packetIdentifier = packetIdentifier
    this.#session = session
  }

  undo(): boolean {
    const session = this.#session
    session.openHeld().add(this.packetIdentifier)
    return false
  }
}

/** Takes out of the store what is not held in memory. */
class ForgetHeldChange extends Undoable {
  readonly type = 'release'
  readonly clientId: string
  readonly packetIdentifier: number
  readonly #session: Session

  constructor(session: Session, packetIdentifier: number) {
    super()
    this.clientId = session.clientId
    this.packetIdentifier = packetIdentifier
    this.#session = session
  }

  undo(): boolean {
    return this.isDue
  }

  override get isDue(): boolean {
    return !this.#session.ended
  }

  /** A message that came since may have it, and may be refused too. */
  override get isBlocked(): boolean {
    return this.#session.held?.has(this.packetIdentifier) === true
  }
}

/** The head of a session: tried again until it is kept, recorded anew, or its session has ended. */
export class HeadChange extends Undoable {
  readonly type = 'session'
  readonly session: StoredSession
  readonly #session: Session
  /** Which record of its session it is. */
  readonly #number: number

  constructor(session: Session, head: StoredSession) {
    super()
    this.session = head
    this.#session = session
    this.#number = ++session.recordCount
  }

  undo(): boolean {
    return this.isDue
  }

  override get isDue(): boolean {
    const { ended, journal, recordCount } = this.#session
    return !ended && journal !== null && this.#number === recordCount
  }
}
