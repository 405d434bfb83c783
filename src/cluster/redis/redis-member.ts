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
import { FrameReader, routeArguments, routeNews } from './log-records'
import type { NewsReader } from './news-reader'
import type { RedisLink } from './redis-link'
import { type Argument, listOf, numberOf, type Reply, textOf, timeOf } from './reply'
import { Script } from './script'
import { renewScript } from './scripts/joining'
import { inboxScript } from './scripts/reading'
import { SessionReader } from './session-reader'
import { claimOf } from './session-view'
import { Snapshots } from './snapshots'
import { ChangeFold, MessageNumbers, TransactionCall } from './transaction-call'
import type { Call, WriteLine } from './write-line'

/** What a member is made of. */
export interface MemberParts {
  readonly prefix: string
  readonly epoch: number
  readonly joinedAt: number
  readonly link: RedisLink
  readonly writes: WriteLine
  readonly news: NewsReader
  /** Ends all connections. */
  readonly disconnect: () => void
}

/** One node on Redis. */
export class RedisMember implements ClusterMember {
  readonly epoch: number
  readonly joinedAt: number
  private readonly parts: MemberParts
  private readonly sessions: SessionReader
  private readonly snapshots: Snapshots
  private readonly numbers: MessageNumbers
  private readonly scripts = { renew: new Script(renewScript), inbox: new Script(inboxScript) }

  constructor(parts: MemberParts) {
    this.parts = parts
    this.epoch = parts.epoch
    this.joinedAt = parts.joinedAt
    this.sessions = new SessionReader(parts.link, parts.prefix)
    this.snapshots = new Snapshots(parts.link, parts.prefix)
    this.numbers = new MessageNumbers(parts.epoch)
  }

  async renew(): Promise<Renewal> {
    const { link, prefix } = this.parts
    const reply = await link.run(this.scripts.renew, [`${prefix}n:${this.epoch}`], [prefix, String(this.epoch)])
    const [isHeld, time, rows] = listOf(reply)
    const nodes = listOf(rows).map((row) => {
      const [epoch, record, isAlive, burier] = listOf(row)
      const { nodeId, description } = JSON.parse(textOf(record))
      const buriedBy = textOf(burier) === '' ? undefined : numberOf(burier)
      return { epoch: numberOf(epoch), nodeId, description, isAlive: numberOf(isAlive) === 1, buriedBy }
    })
    return { isHeld: numberOf(isHeld) === 1, nodes, time: timeOf(time) }
  }

  async leave(): Promise<void> {
    await this.call('leave')
  }

  async close(): Promise<void> {
    this.parts.writes.close()
    this.parts.disconnect()
  }

  async changeRoutes(changes: readonly RouteChange[], binding: boolean): Promise<LogPlace | 'lapsed'> {
    const args = [binding ? '1' : '', String(changes.length), ...routeArguments(changes)]
    const reply = await this.call('changeRoutes', ...args)
    if (reply === 'lapsed') return reply
    const [number, inboxEnd = ''] = textOf(reply).split(' ')
    return { number: Number(number), inboxEnd }
  }

  routes(): Promise<Snapshot<RouteRow>> {
    return this.snapshots.routes()
  }

  send(node: number, bytes: Uint8Array): void {
    const { link, prefix } = this.parts
    link.post('PUBLISH', `${prefix}c:${node}`, Buffer.concat([Buffer.from('f'), bytes]))
  }

  async transact({ changes, ...node }: Transaction): Promise<TransactionAnswer> {
    const fold = new ChangeFold()
    for (const change of changes) fold.add(change)
    const reply = await this.submit(new TransactionCall(fold, this.numbers, node))
    if (reply === 'lapsed') return { type: 'lapsed' }
    return this.transactionAnswer(reply, node.routedAt)
  }

  private transactionAnswer(reply: Reply, routedAt: number | undefined): TransactionAnswer {
    const [kind, rest] = listOf(reply)
    switch (textOf(kind)) {
      case 'k': {
        const [number, remains] = textOf(rest).split(' ')
        if (remains !== undefined) this.sweep()
        return { type: 'kept', retained: Number(number) }
      }
      case 'f':
        return { type: 'fenced', clientIds: listOf(rest).map(textOf) }
      case 'g':
        return { type: 'gone', nodes: [...new Set(textOf(rest).split(' ').map(Number))] }
      default:
        return { type: 'stale', routes: routeNews(routedAt ?? 0, rest) }
    }
  }

  /** Takes away what ended sessions have left, slice by slice. */
  sweep(): void {
    this.call('sweep')
      .then((reply) => {
        if (textOf(reply) === '1') this.sweep()
      })
      .catch(() => undefined)
  }

  next(cursor: Cursor, limitBytes: number): Promise<News> {
    return this.parts.news.next(cursor, limitBytes)
  }

  async claim(clientId: string): Promise<Claim | 'lapsed'> {
    const reply = await this.call('claim', clientId)
    return reply === 'lapsed' ? reply : this.claimOf(clientId, reply)
  }

  async pass(
    sessions: readonly Passing[],
  ): Promise<(LogPlace & { readonly targets: ReadonlyMap<string, number> }) | 'lapsed'> {
    const args: Argument[] = [String(sessions.length)]
    for (const { clientId, epoch, changes } of sessions)
      args.push(clientId, String(epoch), String(changes.length), ...routeArguments(changes))
    const reply = await this.call('pass', ...args)
    if (reply === 'lapsed') return reply
    const [number, inboxEnd = '', ...nodes] = textOf(reply).split(' ')
    const targets = new Map<string, number>()
    for (const [n, { clientId }] of sessions.entries()) {
      const node = Number(nodes[n])
      if (node !== 0) targets.set(clientId, node)
    }
    return { number: Number(number), inboxEnd, targets }
  }

  async take(clientId: string, epoch: number): Promise<Claim | undefined> {
    return this.claimIfAny(clientId, await this.call('take', clientId, String(epoch)))
  }

  async home(clientId: string): Promise<Home | undefined> {
    const places = await this.parts.link.command('HGET', `${this.parts.prefix}s:${clientId}`, 'R')
    const [node, epoch, heldBy] = textOf(places).split(' ').map(Number)
    return epoch === undefined ? undefined : { node: node!, epoch, heldBy: heldBy! }
  }

  queue(clientId: string, after: number, limit: number): Promise<readonly QueueEntry[]> {
    return this.sessions.queue(clientId, after, limit)
  }

  held(clientId: string): Promise<readonly number[]> {
    return this.sessions.held(clientId)
  }

  async bury(node: number): Promise<boolean> {
    return textOf(lapsedAsNothing(await this.call('bury', String(node)))) === '1'
  }

  async inboxOf(node: number, after: string, limitBytes: number): Promise<readonly InboxFrame[]> {
    const { link, prefix } = this.parts
    const args = [prefix, after, String(limitBytes), String(this.epoch), String(node)]
    return new FrameReader().read(await link.run(this.scripts.inbox, [`${prefix}in:${node}`], args)).frames
  }

  async sessionsOf(node: number, limit: number): Promise<readonly string[]> {
    const { link, prefix } = this.parts
    return listOf(await link.command('SRANDMEMBER', `${prefix}own:${node}`, String(limit))).map(textOf)
  }

  async inherit(clientId: string, from: number): Promise<Claim | undefined> {
    return this.claimIfAny(clientId, await this.call('inherit', clientId, String(from)))
  }

  async endBurial(node: number): Promise<boolean> {
    return textOf(lapsedAsNothing(await this.call('endBurial', String(node)))) === '1'
  }

  retained(): Promise<Snapshot<StoredMessage>> {
    return this.snapshots.retained()
  }

  private async claimIfAny(clientId: string, reply: Reply | 'lapsed'): Promise<Claim | undefined> {
    const answer = lapsedAsNothing(reply)
    return listOf(answer).length === 0 ? undefined : this.claimOf(clientId, answer)
  }

  private async claimOf(clientId: string, reply: Reply): Promise<Claim> {
    return claimOf(this.epoch, await this.sessions.counted(clientId, reply))
  }

  private call(name: string, ...args: Argument[]): Promise<Reply | 'lapsed'> {
    return this.submit({
      name,
      args,
      bytes: args.reduce((sum, arg) => sum + arg.length, 0),
      isRemoval: name === 'sweep' || name === 'leave',
    })
  }

  private submit(call: Call): Promise<Reply | 'lapsed'> {
    return this.parts.writes.submit(call)
  }
}

const lapsedAsNothing = (reply: Reply | 'lapsed'): Reply => (reply === 'lapsed' ? undefined : reply)
