import type { StoredExpiries } from './stored-expiries'

/** What a session has to remember of the store. */
class StoredPart {
  messages = 0
  bytes = 0
  expiries: StoredExpiries | null = null
  ahead: Set<number> | null = null
  /** How many are reading its queue in the store just now. */
  readers = 0
  /** Positions that have left the store alone meanwhile, and are counted off already; null while nothing is read. */
  gone: Set<number> | null = null
  reading = false
  recordCount = 0
  openShares = 0
  refusedConnection = -1
  lastStep: object | null = null
}

/** The side of a session that turns to the store. Most sessions end with their connection and never have it: so it is made when it is first needed. */
export abstract class StoredSide {
  private part: StoredPart | null = null

  private open(): StoredPart {
    return (this.part ??= new StoredPart())
  }

  /** Messages that wait in the store alone. */
  get storedMessages(): number {
    return this.part === null ? 0 : this.part.messages
  }

  get storedBytes(): number {
    return this.part === null ? 0 : this.part.bytes
  }

  protected countStored(messages: number, bytes: number): void {
    const part = this.open()
    part.messages += messages
    part.bytes += bytes
  }

  /** When messages expire that lie in the store alone, as far as that is known. */
  get storedExpiries(): StoredExpiries | null {
    return this.part === null ? null : this.part.expiries
  }

  protected set storedExpiries(expiries: StoredExpiries | null) {
    if (expiries !== null || this.part !== null) this.open().expiries = expiries
  }

  /** Positions behind `lastLoaded` that were restored out of their turn, because they were in flight. */
  get ahead(): Set<number> | null {
    return this.part === null ? null : this.part.ahead
  }

  set ahead(positions: Set<number> | null) {
    if (positions !== null || this.part !== null) this.open().ahead = positions
  }

  /** What is read from here on may have been counted off before it arrives: see `isGone`. */
  beginReading(): void {
    const part = this.open()
    part.readers++
    part.gone ??= new Set()
  }

  endReading(): void {
    const part = this.open()
    if (--part.readers === 0) part.gone = null
  }

  isGone(position: number): boolean {
    return this.part?.gone?.has(position) === true
  }

  /** The message has left the store without having been read in its turn. */
  protected note(position: number): void {
    this.part?.gone?.add(position)
  }

  /** True while a page of the queue is being read. */
  get reading(): boolean {
    return this.part?.reading === true
  }

  set reading(isReading: boolean) {
    this.open().reading = isReading
  }

  /** How often its head was recorded: what the store has refused must not replace what came later. */
  get recordCount(): number {
    return this.part === null ? 0 : this.part.recordCount
  }

  set recordCount(count: number) {
    this.open().recordCount = count
  }

  /** Messages of shared groups whose commits are open. */
  get openShares(): number {
    return this.part === null ? 0 : this.part.openShares
  }

  set openShares(count: number) {
    this.open().openShares = count
  }

  /** The connection, by `connectionCount`, that closes because the store has refused a message of its client; -1 if none does. */
  get refusedConnection(): number {
    return this.part === null ? -1 : this.part.refusedConnection
  }

  set refusedConnection(connection: number) {
    this.open().refusedConnection = connection
  }

  /** The last commit that its client's messages wait for. It belongs to the journal. */
  get lastStep(): object | null {
    return this.part === null ? null : this.part.lastStep
  }

  set lastStep(step: object | null) {
    if (step !== null || this.part !== null) this.open().lastStep = step
  }
}
