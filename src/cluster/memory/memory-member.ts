import type {
  Claim,
  ClusterMember,
  Cursor,
  Home,
  InboxFrame,
  LogPlace,
  News,
  Passing,
  Renewal,
  RouteChange,
  RouteRow,
  Snapshot,
  Transaction,
  TransactionAnswer,
} from '../../ports/cluster'
import type { QueueEntry, StoredMessage } from '../../ports/store'
import { MqttError } from '../../protocol/mqtt-error'
import type { EngineState } from './engine-state'
import type { NodeRecord } from './node-record'

/** Rows of a snapshot that come together. */
const PAGE = 256

interface Reading {
  readonly cursor: Cursor
  readonly limitBytes: number
  readonly resolve: (news: News) => void
  readonly reject: (error: unknown) => void
}

/** One node of an engine in memory. */
export class MemoryMember implements ClusterMember {
  readonly epoch: number
  readonly joinedAt: number
  private readonly cluster: EngineState
  private readonly node: NodeRecord
  private reading: Reading | undefined
  private isClosed = false

  constructor(cluster: EngineState, node: NodeRecord) {
    this.cluster = cluster
    this.node = node
    this.epoch = node.epoch
    this.joinedAt = cluster.clock.wallTime()
    node.wake = () => this.read()
  }

  async renew(): Promise<Renewal> {
    this.checkOpen()
    const isHeld = this.node.renew()
    const nodes = [...this.cluster.nodes.values()].map(({ view }) => view)
    return { isHeld, nodes, time: this.cluster.clock.wallTime() }
  }

  async leave(): Promise<void> {
    this.checkOpen()
    this.node.leave()
  }

  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    this.node.events = null
    this.node.wake = () => undefined
    this.reading?.reject(closed())
    this.reading = undefined
  }

  async changeRoutes(changes: readonly RouteChange[], binding: boolean): Promise<LogPlace | 'lapsed'> {
    this.checkOpen()
    if (!this.node.isAlive) return 'lapsed'
    return { number: this.cluster.changeRoutes(this.node, changes, binding), inboxEnd: this.node.inbox.end }
  }

  async routes(): Promise<Snapshot<RouteRow>> {
    this.checkOpen()
    const rows: RouteRow[] = []
    for (const { epoch, routes } of this.cluster.nodes.values())
      for (const [key, value] of routes) rows.push({ node: epoch, key, value })
    return { number: this.cluster.routeLog.last, rows: pages(rows) }
  }

  send(node: number, bytes: Uint8Array): void {
    if (this.isClosed) return
    const copy = Buffer.from(bytes)
    this.cluster.nodes.get(node)?.tell((events) => events.frame(copy))
  }

  async transact(transaction: Transaction): Promise<TransactionAnswer> {
    this.checkOpen()
    return this.cluster.transact(this.node, transaction)
  }

  next(cursor: Cursor, limitBytes: number): Promise<News> {
    if (this.isClosed) return Promise.reject(closed())
    if (this.reading !== undefined) return Promise.reject(new Error('next() is called once at a time'))
    return new Promise((resolve, reject) => {
      this.reading = { cursor, limitBytes, resolve, reject }
      this.read()
    })
  }

  private read(): void {
    const { cluster, node, reading } = this
    if (reading === undefined) return
    const { cursor, limitBytes } = reading
    const frames = cursor.inbox === undefined ? [] : node.inbox.after(cursor.inbox, limitBytes)
    const routes = cluster.routeLog.after(cursor.routes)
    const retained = cluster.retainedLog.after(cursor.retained)
    const isEmpty = [frames, routes, retained].every((news) => news !== 'missed' && news.length === 0)
    if (isEmpty) return
    this.reading = undefined
    reading.resolve({ frames, routes, retained })
  }

  async claim(clientId: string): Promise<Claim | 'lapsed'> {
    this.checkOpen()
    return this.node.isAlive ? this.cluster.places.claim(this.epoch, clientId) : 'lapsed'
  }

  async pass(
    sessions: readonly Passing[],
  ): Promise<(LogPlace & { readonly targets: ReadonlyMap<string, number> }) | 'lapsed'> {
    this.checkOpen()
    if (!this.node.isAlive) return 'lapsed'
    const targets = this.cluster.pass(this.node, sessions)
    return { number: this.cluster.routeLog.last, inboxEnd: this.node.inbox.end, targets }
  }

  async take(clientId: string, epoch: number): Promise<Claim | undefined> {
    this.checkOpen()
    return this.node.isAlive ? this.cluster.places.take(this.epoch, clientId, epoch) : undefined
  }

  async home(clientId: string): Promise<Home | undefined> {
    this.checkOpen()
    return this.cluster.places.home(clientId)
  }

  async queue(clientId: string, after: number, limit: number): Promise<readonly QueueEntry[]> {
    this.checkOpen()
    return this.cluster.places.records.get(clientId)?.kept?.page(after, limit) ?? []
  }

  async held(clientId: string): Promise<readonly number[]> {
    this.checkOpen()
    return this.cluster.places.records.get(clientId)?.kept?.held ?? []
  }

  async bury(node: number): Promise<boolean> {
    this.checkOpen()
    return this.cluster.bury(this.node, node)
  }

  async inboxOf(node: number, after: string, limitBytes: number): Promise<readonly InboxFrame[]> {
    this.checkOpen()
    return this.cluster.buried(this.node, node)?.inbox.after(after, limitBytes) ?? []
  }

  async sessionsOf(node: number, limit: number): Promise<readonly string[]> {
    this.checkOpen()
    return [...(this.cluster.nodes.get(node)?.sessions ?? [])].slice(0, limit)
  }

  async inherit(clientId: string, from: number): Promise<Claim | undefined> {
    this.checkOpen()
    const dead = this.cluster.buried(this.node, from)
    return dead === undefined ? undefined : this.cluster.places.inherit(this.epoch, clientId, dead)
  }

  async endBurial(node: number): Promise<boolean> {
    this.checkOpen()
    return this.cluster.endBurial(this.node, node)
  }

  async retained(): Promise<Snapshot<StoredMessage>> {
    this.checkOpen()
    return { number: this.cluster.retainedLog.last, rows: pages([...this.cluster.retained.values()]) }
  }

  private checkOpen(): void {
    if (this.isClosed) throw closed()
  }
}

async function* pages<T>(rows: readonly T[]): AsyncGenerator<readonly T[]> {
  for (let i = 0; i < rows.length; i += PAGE) yield rows.slice(i, i + PAGE)
}

function closed(): MqttError {
  return new MqttError('GNATMQ_NOT_RUNNING', 'the node has left the cluster')
}
