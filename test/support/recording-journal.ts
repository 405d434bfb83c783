import type { Delivery } from '../../src/session/delivery'
import type { Journal } from '../../src/session/journal'
import type { Session } from '../../src/session/session'

/** A Journal that keeps what it is told, in words and as what a store would hold. */
export class RecordingJournal implements Journal {
  /** What a store would hold: Packet Identifiers by position, -1 once PUBREC has arrived. */
  readonly kept = new Map<number, number>()
  readonly held = new Set<number>()
  private lines: string[] = []

  /** What was told since the last call. */
  takeLines(): string[] {
    const { lines } = this
    this.lines = []
    return lines
  }

  enqueue(_session: Session, delivery: Delivery, packetIdentifier: number): void {
    this.lines.push(`enqueue ${delivery.position} ${packetIdentifier}`)
    if (this.kept.has(delivery.position)) throw new Error(`position ${delivery.position} is used twice`)
    this.kept.set(delivery.position, packetIdentifier)
  }

  assign(_session: Session, delivery: Delivery, packetIdentifier: number): void {
    this.lines.push(`assign ${delivery.position} ${packetIdentifier}`)
    this.replace(delivery.position, packetIdentifier)
  }

  received(_session: Session, delivery: Delivery, _packetIdentifier: number): void {
    this.lines.push(`received ${delivery.position}`)
    this.replace(delivery.position, -1)
  }

  dequeue(_session: Session, delivery: Delivery): void {
    this.lines.push(`dequeue ${delivery.position}`)
    if (!this.kept.delete(delivery.position)) throw new Error(`position ${delivery.position} is not kept`)
  }

  hold(_session: Session, packetIdentifier: number): void {
    this.lines.push(`hold ${packetIdentifier}`)
    this.held.add(packetIdentifier)
  }

  release(_session: Session, packetIdentifier: number): void {
    this.lines.push(`release ${packetIdentifier}`)
    if (!this.held.delete(packetIdentifier)) throw new Error(`${packetIdentifier} is not held`)
  }

  private replace(position: number, packetIdentifier: number): void {
    if (!this.kept.has(position)) throw new Error(`position ${position} is not kept`)
    this.kept.set(position, packetIdentifier)
  }
}
