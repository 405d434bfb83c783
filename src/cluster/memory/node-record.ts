import type { ClusterNode, EngineEvents, JoiningNode } from '../../ports/cluster'
import { Inbox } from './inbox'

/** What the engine keeps of a node until its burial has ended. */
export class NodeRecord {
  readonly epoch: number
  readonly nodeId: string
  readonly description: string
  readonly format: number
  readonly leaseMs: number
  readonly inbox = new Inbox()
  readonly routes = new Map<string, Uint8Array>()
  /** Sessions that it has claimed, holds, is passed, or that are not adopted yet where it is buried. */
  readonly sessions = new Set<string>()
  /** Told what happens; null once the member has been closed. */
  events: EngineEvents | null
  /** Called when there may be something new to read. */
  wake: () => void = () => undefined
  /** The epoch of the node that buries it, 0 if none. */
  buriedBy = 0
  private readonly now: () => number
  private expiresAt: number

  constructor(epoch: number, node: JoiningNode, events: EngineEvents, now: () => number) {
    this.epoch = epoch
    this.nodeId = node.nodeId
    this.description = node.description
    this.format = node.format
    this.leaseMs = node.leaseMs
    this.events = events
    this.now = now
    this.expiresAt = now() + node.leaseMs
  }

  get isAlive(): boolean {
    return this.now() < this.expiresAt
  }

  /** False if the lease is over. */
  renew(): boolean {
    if (!this.isAlive) return false
    this.expiresAt = this.now() + this.leaseMs
    return true
  }

  leave(): void {
    this.expiresAt = Number.NEGATIVE_INFINITY
  }

  get view(): ClusterNode {
    const { buriedBy, description, epoch, isAlive, nodeId } = this
    return { epoch, nodeId, description, isAlive, buriedBy: buriedBy === 0 ? undefined : buriedBy }
  }

  /** Tells the node something, once the call that brings it about has ended. */
  tell(what: (events: EngineEvents) => void): void {
    queueMicrotask(() => {
      if (this.events !== null) what(this.events)
    })
  }
}
