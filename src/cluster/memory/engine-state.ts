import type {
  EngineEvents,
  JoiningNode,
  Passing,
  RetainedEntry,
  RouteChange,
  RouteEntry,
  Transaction,
  TransactionAnswer,
} from '../../ports/cluster'
import { MemorySession } from '../../ports/memory-session'
import type { Change, StoredMessage } from '../../ports/store'
import { MqttError } from '../../protocol/mqtt-error'
import { NodeRecord } from './node-record'
import { NumberedLog } from './numbered-log'
import { SessionPlaces } from './session-places'

/** What leases are counted by. Milliseconds. */
export interface EngineClock {
  now(): number
  wallTime(): number
}

/** What all nodes of an engine in memory share, and what each call does to it. */
export class EngineState {
  readonly clock: EngineClock
  readonly nodes = new Map<number, NodeRecord>()
  readonly routeLog: NumberedLog<RouteEntry>
  readonly retainedLog: NumberedLog<RetainedEntry>
  readonly retained = new Map<string, StoredMessage>()
  readonly places: SessionPlaces
  private lastBinding = 0
  private lastEpoch = 0

  constructor(clock: EngineClock, logLength: number) {
    this.clock = clock
    this.routeLog = new NumberedLog(logLength)
    this.retainedLog = new NumberedLog(logLength)
    this.places = new SessionPlaces({ node: (epoch) => this.nodes.get(epoch), nextEpoch: () => ++this.lastEpoch })
  }

  join(node: JoiningNode, events: EngineEvents): NodeRecord {
    for (const other of this.nodes.values()) {
      if (other.nodeId === node.nodeId && other.isAlive) throw nodeIdInUse(node.nodeId)
      if (other.format !== node.format) throw otherFormat(node.format, other)
    }
    const record = new NodeRecord(++this.lastEpoch, node, events, () => this.clock.now())
    this.nodes.set(record.epoch, record)
    return record
  }

  changeRoutes(node: NodeRecord, changes: readonly RouteChange[], binding: boolean): number {
    return this.logRoutes(
      changes.map((change) => ({ node: node.epoch, ...change })),
      binding,
    )
  }

  /** Targets by Client Identifier. */
  pass(node: NodeRecord, sessions: readonly Passing[]): Map<string, number> {
    const targets = new Map<string, number>()
    const changes: RouteEntry['changes'][number][] = []
    for (const passing of sessions) {
      const target = this.places.pass(node.epoch, passing)
      if (target === undefined) continue
      targets.set(passing.clientId, target)
      changes.push(...passing.changes.map((change) => ({ node: target, ...change })))
    }
    if (targets.size > 0) this.logRoutes(changes, true)
    return targets
  }

  transact(node: NodeRecord, transaction: Transaction): TransactionAnswer {
    const refusal = this.refusal(node, transaction)
    if (refusal !== undefined) return refusal
    const before = this.retainedLog.last
    for (const change of transaction.changes) this.apply(node, change)
    const routedAt = transaction.routedAt ?? this.routeLog.last
    for (const { node: target, bytes } of transaction.frames) {
      const record = this.nodes.get(target)!
      record.inbox.add(node.epoch, routedAt, bytes)
      record.wake()
    }
    for (const position of transaction.taken) node.inbox.take(position)
    for (const { clientId, from } of transaction.adopted) this.nodes.get(from)?.sessions.delete(clientId)
    for (const clientId of transaction.released) this.places.release(node.epoch, clientId)
    if (this.retainedLog.last === before) return { type: 'kept', retained: 0 }
    this.wakeAll()
    return { type: 'kept', retained: this.retainedLog.last }
  }

  private refusal(node: NodeRecord, transaction: Transaction): TransactionAnswer | undefined {
    if (!node.isAlive) return { type: 'lapsed' }
    const { epochs, frames, routedAt } = transaction
    const fenced = clientIdsOf(transaction).filter(
      (clientId) => !this.places.isHeld(clientId, node.epoch, epochs.get(clientId)),
    )
    if (fenced.length > 0) return { type: 'fenced', clientIds: fenced }
    if (routedAt !== undefined && routedAt < this.lastBinding)
      return { type: 'stale', routes: this.routeLog.after(routedAt) }
    const gone = frames.map((frame) => frame.node).filter((target) => this.nodes.get(target)?.isAlive !== true)
    return gone.length > 0 ? { type: 'gone', nodes: [...new Set(gone)] } : undefined
  }

  private apply(node: NodeRecord, change: Change): void {
    switch (change.type) {
      case 'retain':
        this.retain(node, change.message.topic, change.message)
        return
      case 'clear':
        this.retain(node, change.topic, undefined)
        return
      case 'session': {
        const record = this.places.records.get(change.session.clientId)!
        if (record.kept === undefined) record.kept = new MemorySession(change.session)
        else record.kept.head = change.session
        return
      }
      case 'end':
        this.places.records.get(change.clientId)!.kept = undefined
        return
      default:
        this.places.records.get(change.clientId)!.kept?.apply(change)
    }
  }

  private retain(node: NodeRecord, topic: string, message: StoredMessage | undefined): void {
    if (message === undefined) this.retained.delete(topic)
    else this.retained.set(topic, message)
    this.retainedLog.add((number) => ({ number, node: node.epoch, topic, message }))
  }

  bury(node: NodeRecord, epoch: number): boolean {
    const dead = this.nodes.get(epoch)
    if (dead === undefined || dead.isAlive || !node.isAlive) return false
    if (dead.buriedBy !== node.epoch && this.nodes.get(dead.buriedBy)?.isAlive === true) return false
    dead.buriedBy = node.epoch
    return true
  }

  endBurial(node: NodeRecord, epoch: number): boolean {
    const dead = this.buried(node, epoch)
    if (dead === undefined || dead.sessions.size > 0) return false
    this.nodes.delete(epoch)
    this.routeLog.add((number) => ({ number, changes: [], buried: [epoch] }))
    this.wakeAll()
    return true
  }

  /** A node that `node` buries. */
  buried(node: NodeRecord, epoch: number): NodeRecord | undefined {
    const dead = this.nodes.get(epoch)
    return node.isAlive && dead?.buriedBy === node.epoch ? dead : undefined
  }

  private logRoutes(changes: RouteEntry['changes'], binding: boolean): number {
    for (const { node, key, value } of changes) {
      const { routes } = this.nodes.get(node)!
      if (value === undefined) routes.delete(key)
      else routes.set(key, value)
    }
    const number = this.routeLog.add((next) => ({ number: next, changes, buried: [] }))
    if (binding) this.lastBinding = number
    this.wakeAll()
    return number
  }

  private wakeAll(): void {
    for (const node of this.nodes.values()) node.wake()
  }
}

/** The sessions that a transaction changes, adopts or releases. */
function clientIdsOf({ changes, adopted, released }: Transaction): string[] {
  const clientIds = new Set(released)
  for (const { clientId } of adopted) clientIds.add(clientId)
  for (const change of changes) {
    if (change.type === 'session') clientIds.add(change.session.clientId)
    else if (change.type !== 'retain' && change.type !== 'clear') clientIds.add(change.clientId)
  }
  return [...clientIds]
}

function nodeIdInUse(nodeId: string): MqttError {
  return new MqttError(
    'GNATMQ_CLUSTER_NODE_ID',
    `another node has the nodeId "${nodeId}": name each node differently, or wait until the lease of the former one is over`,
  )
}

function otherFormat(format: number, { nodeId, format: other }: NodeRecord): MqttError {
  return new MqttError(
    'GNATMQ_CLUSTER_FORMAT',
    `this node has format ${format}, and the node "${nodeId}" has format ${other}: they cannot understand each other`,
  )
}
