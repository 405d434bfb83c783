import type { Change } from '../../ports/store'
import { redisFailed } from './redis-error'
import { listOf, type Reply, textOf } from './reply'
import { ChangeFold, MessageNumbers, TransactionCall } from './transaction-call'
import type { WriteLine } from './write-line'

/** Changes that one transaction holds at most. */
const GROUP_CHANGES = 5000

/** Commits that become one transaction. */
class CommitGroup {
  readonly fold: ChangeFold
  changes = 0
  private readonly settlements: { resolve: () => void; reject: (error: unknown) => void }[] = []

  constructor(storedThrough: (clientId: string) => number) {
    this.fold = new ChangeFold(storedThrough)
  }

  wait(): Promise<void> {
    return new Promise((resolve, reject) => this.settlements.push({ resolve, reject }))
  }

  settle(error?: unknown): void {
    for (const { resolve, reject } of this.settlements) error === undefined ? resolve() : reject(error)
  }
}

/**
 * Gathers the commits of the turns that one round trip takes into one transaction. A message that is queued and acknowledged before
 * its transaction begins is never sent.
 */
export class StoreCommits {
  private readonly writes: WriteLine
  private readonly numbers: MessageNumbers
  /** The highest position that was used in a queue since the start; of these, those that the next transaction has to tell. */
  private readonly positions = new Map<string, number>()
  private readonly untold = new Set<string>()
  private waiting: CommitGroup[] = []
  private isRunning = false
  private isClosed = false
  private idle: (() => void) | undefined

  constructor(writes: WriteLine, writer: number) {
    this.writes = writes
    this.numbers = new MessageNumbers(writer)
  }

  commit(changes: readonly Change[]): Promise<void> {
    if (this.isClosed) throw redisFailed('the store is closed')
    let group = this.waiting.at(-1)
    if (group === undefined || (group.changes > 0 && group.changes + changes.length > GROUP_CHANGES)) {
      group = new CommitGroup(this.storedThrough)
      this.waiting.push(group)
    }
    for (const change of changes) {
      group.fold.add(change)
      this.notePosition(change)
    }
    group.changes += changes.length
    this.start()
    return group.wait()
  }

  /** What waits is written, and positions that were used without being stored. */
  async close(): Promise<void> {
    this.isClosed = true
    if (this.isRunning) await new Promise<void>((resolve) => (this.idle = resolve))
    if (this.untold.size > 0) await this.send(new CommitGroup(this.storedThrough), true)
    await this.writes.drained()
    this.writes.close()
  }

  private readonly storedThrough = (clientId: string): number =>
    this.positions.get(clientId) ?? Number.POSITIVE_INFINITY

  private notePosition(change: Change): void {
    if (change.type === 'enqueue') {
      const { clientId, entry } = change
      this.positions.set(clientId, Math.max(entry.position, this.positions.get(clientId) ?? 0))
      this.untold.add(clientId)
    } else if (change.type === 'end') {
      this.positions.delete(change.clientId)
      this.untold.delete(change.clientId)
    }
  }

  private start(): void {
    if (this.isRunning) return
    this.isRunning = true
    // not before the turn is over, so that its commits go together
    setImmediate(() => void this.run())
  }

  private async run(): Promise<void> {
    for (let group = this.waiting.shift(); group !== undefined; group = this.waiting.shift())
      group.settle(await this.send(group, false))
    this.isRunning = false
    this.idle?.()
  }

  /** Gives why that failed, or undefined. */
  private async send({ fold }: CommitGroup, isLast: boolean): Promise<unknown> {
    const blocks = fold.blocks.filter((block) => !block.isEmpty)
    if (isLast)
      for (const clientId of this.untold) fold.block(clientId).lastPosition = this.positions.get(clientId) ?? 0
    if (blocks.length === 0 && fold.retained.size === 0 && !isLast) return undefined
    if (!isLast) fold.blocks.splice(0, fold.blocks.length, ...blocks)
    try {
      const reply = await this.writes.submit(new TransactionCall(fold, this.numbers, undefined))
      if (reply === 'lapsed')
        return redisFailed('another broker has taken the namespace, or it was emptied: start this one again')
      for (const { clientId } of fold.blocks) this.untold.delete(clientId)
      if (hasRemains(reply)) this.sweep()
      return undefined
    } catch (error) {
      return error
    }
  }

  private sweep(): void {
    this.writes
      .submit({ name: 'sweep', args: [], bytes: 0, isRemoval: true })
      .then((reply) => {
        if (textOf(reply) === '1') this.sweep()
      })
      .catch(() => undefined)
  }
}

/** Whether the transaction has left something to be taken away in slices. */
function hasRemains(reply: Reply): boolean {
  return textOf(listOf(reply)[1]).endsWith(' x')
}
