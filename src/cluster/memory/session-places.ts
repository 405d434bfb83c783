import type { Claim, Home, Passing } from '../../ports/cluster'
import type { MemorySession } from '../../ports/memory-session'
import type { NodeRecord } from './node-record'

/** A node, and the epoch under which it has a session. */
interface Place {
  readonly node: number
  readonly epoch: number
}

export class SessionRecord {
  /** Who has claimed it last. */
  home: Place
  /** Who alone may change it. */
  holder: Place
  /** Where it goes next, while it is passed. */
  passedTo: Place | undefined
  /** undefined if nothing is stored. */
  kept: MemorySession | undefined

  constructor(place: Place) {
    this.home = place
    this.holder = place
  }

  has(node: number): boolean {
    return this.home.node === node || this.holder.node === node || this.passedTo?.node === node
  }

  replace(node: number, place: Place): void {
    if (this.home.node === node) this.home = place
    if (this.holder.node === node) this.holder = place
    if (this.passedTo?.node === node) this.passedTo = place
  }
}

/** What the places of sessions need of the engine. */
export interface PlacesParts {
  /** A node that is not buried yet. */
  node(epoch: number): NodeRecord | undefined
  nextEpoch(): number
}

/** Which node each session is at, and how it comes from one to the next. */
export class SessionPlaces {
  readonly records = new Map<string, SessionRecord>()
  private readonly parts: PlacesParts

  constructor(parts: PlacesParts) {
    this.parts = parts
  }

  claim(node: number, clientId: string): Claim {
    const place = { node, epoch: this.parts.nextEpoch() }
    const record = this.records.get(clientId)
    if (record === undefined) {
      this.records.set(clientId, new SessionRecord(place))
      this.refresh(clientId, node)
      return this.answer(clientId, node, place.epoch)
    }
    const former = record.home.node
    record.home = place
    if (record.holder.node === node && record.passedTo === undefined) record.holder = place
    this.refresh(clientId, former)
    this.refresh(clientId, node)
    return this.answer(clientId, node, place.epoch)
  }

  take(node: number, clientId: string, epoch: number): Claim | undefined {
    const record = this.records.get(clientId)
    if (record === undefined) return undefined
    const { home, holder, passedTo } = record
    if (home.epoch !== epoch && holder.epoch !== epoch && passedTo?.epoch !== epoch) return undefined
    return this.answer(clientId, node, epoch)
  }

  home(clientId: string): Home | undefined {
    const record = this.records.get(clientId)
    if (record === undefined) return undefined
    return { node: record.home.node, epoch: record.home.epoch, heldBy: record.holder.node }
  }

  isHeld(clientId: string, node: number, epoch: number | undefined): boolean {
    const holder = this.records.get(clientId)?.holder
    return holder !== undefined && holder.node === node && holder.epoch === epoch
  }

  /** The node that a session goes to; undefined if it is not held under the epoch, or not claimed. */
  pass(node: number, { clientId, epoch }: Passing): number | undefined {
    const record = this.records.get(clientId)
    if (record === undefined || !this.isHeld(clientId, node, epoch)) return undefined
    if (record.passedTo === undefined && record.home.epoch !== epoch) record.passedTo = record.home
    return record.passedTo?.node
  }

  /** The holder lets a session go. */
  release(node: number, clientId: string): void {
    const record = this.records.get(clientId)
    // several of one transaction may name it
    if (record === undefined || record.holder.node !== node) return
    const { holder } = record
    record.holder = record.passedTo ?? record.home
    record.passedTo = undefined
    if (record.holder.epoch === holder.epoch) {
      if (record.kept !== undefined) return
      this.records.delete(clientId)
      this.parts.node(node)?.sessions.delete(clientId)
      return
    }
    this.refresh(clientId, node)
    const next = this.parts.node(record.holder.node)
    next?.tell((events) => events.released(clientId))
    if (record.home.epoch !== record.holder.epoch) next?.tell((events) => events.kicked(clientId))
  }

  inherit(node: number, clientId: string, from: NodeRecord): Claim | undefined {
    const record = this.records.get(clientId)
    if (record === undefined || !from.sessions.has(clientId)) return undefined
    const dead = record.has(from.epoch) ? from.epoch : this.deadPlace(record)
    if (dead === undefined) {
      const own = [record.holder, record.passedTo, record.home].find((place) => place?.node === node)
      if (own !== undefined) return this.answer(clientId, node, own.epoch)
      from.sessions.delete(clientId)
      return undefined
    }
    const place = { node, epoch: this.parts.nextEpoch() }
    record.replace(dead, place)
    this.refresh(clientId, node)
    return this.answer(clientId, node, place.epoch)
  }

  /** Where a node that was burying another one has died itself. */
  private deadPlace({ holder, home, passedTo }: SessionRecord): number | undefined {
    return [holder, passedTo, home].find((place) => place !== undefined && !this.parts.node(place.node)?.isAlive)?.node
  }

  /** Brings the sessions of a node up to date with the record. */
  private refresh(clientId: string, node: number): void {
    const { sessions } = this.parts.node(node) ?? {}
    if (this.records.get(clientId)?.has(node) === true) sessions?.add(clientId)
    else sessions?.delete(clientId)
  }

  /** What `node` is told of a session that it has a place in; and another node that holds it, that it is claimed. */
  private answer(clientId: string, node: number, epoch: number): Claim {
    const { holder, home, kept, passedTo } = this.records.get(clientId)!
    const isHeld = holder.node === node && holder.epoch === epoch
    if (!isHeld) this.parts.node(holder.node)?.tell((events) => events.kicked(clientId))
    const isClaimed = home.epoch !== epoch || passedTo !== undefined
    return { epoch, heldBy: isHeld ? undefined : holder.node, isClaimed, state: kept?.state }
  }
}
