import type { Change, StoredMessage } from '../../ports/store'
import { CommitGroup } from './commit-group'
import { type Environment, META_KEYS } from './environment'
import { decodeNumber } from './records'
import { messageOf, storeFailed } from './store-error'
import { numberOfKey, textKey } from './store-keys'
import { TransactionWriter } from './transaction-writer'

/** What one transaction holds at most; what comes beyond it is the next one's. */
const GROUP_SIZE = 10_000

/** Ended sessions that one transaction looks at. */
const REMAINS_PER_TRANSACTION = 16

const START_OF_KEYS = Buffer.of(0)

export interface TransactionCounts {
  commits: number
  transactions: number
  failedTransactions: number
}

export interface TransactionQueueOptions {
  /** Bytes; undefined for no bound. */
  readonly maximumBytes: number | undefined
  /** Called after each transaction that was committed. */
  readonly onTransaction: () => void
  /** A sentence about the disk, for the message of a failure. */
  readonly describeDisk: () => string
  /** Opens the file anew after a transaction that failed. */
  readonly reopen: () => Promise<Environment>
}

/** Gathers the commits of a turn into groups and writes one group after the other. */
export class TransactionQueue {
  readonly counts: TransactionCounts = { commits: 0, transactions: 0, failedTransactions: 0 }
  private environment: Environment
  private readonly options: TransactionQueueOptions
  private readonly waiting: CommitGroup[] = []
  private current: CommitGroup | undefined
  private isScheduled = false
  private isClosing = false
  private idle: (() => void) | undefined
  /** Messages that are stored already, as far as their objects are still around. */
  readonly messageNumbers = new WeakMap<StoredMessage, number>()
  private readonly next: { session: number; message: number }
  private hasRemains: boolean
  private usedBytes = 0

  constructor(environment: Environment, options: TransactionQueueOptions) {
    this.environment = environment
    this.options = options
    const lastMessage = environment.lastKey('messages')
    const nextSession = environment.get('meta', META_KEYS.nextSession)
    this.next = {
      message: lastMessage === undefined ? 1 : numberOfKey(lastMessage) + 1,
      session: nextSession === undefined ? 1 : decodeNumber(nextSession),
    }
    this.hasRemains = this.remains().length > 0
    this.measure()
    this.schedule()
  }

  commit(changes: readonly Change[]): Promise<void> | undefined {
    if (this.isClosing) throw storeFailed('the store is closed')
    this.counts.commits++
    const bytes = this.options.maximumBytes === undefined ? 0 : growthOf(changes)
    if (this.isBeyondQuota(bytes)) return this.refuse()
    const group = this.openGroup()
    for (let i = 0; i < changes.length; i++) group.add(changes[i]!, this.sessionExists)
    group.bytes += bytes
    if (group.size > 0) {
      this.schedule()
      group.commits++
      return group.promise
    }
    return this.settleEmpty(group)
  }

  /** Waits for what touches a session and is not yet written; undefined if there is nothing. */
  writtenFor(clientId: string): Promise<unknown> | undefined {
    const touching = this.groups().filter((group) => group.isAwaited && group.sessions.has(clientId))
    return touching.length === 0 ? undefined : Promise.allSettled(touching.map(({ promise }) => promise))
  }

  /** Writes everything that waits, and then nothing more. */
  async close(): Promise<void> {
    this.isClosing = true
    const last = this.waiting[this.waiting.length - 1]
    if (last?.hasPositions) {
      last.size++
      // nobody waits for a position: it counts only while the store goes on
      last.promise.catch(() => undefined)
    }
    if (this.current === undefined && !this.hasWork) return
    await new Promise<void>((resolve) => {
      this.idle = resolve
      this.schedule()
    })
  }

  private groups(): CommitGroup[] {
    return this.current === undefined ? this.waiting : [this.current, ...this.waiting]
  }

  private openGroup(): CommitGroup {
    const last = this.waiting[this.waiting.length - 1]
    if (last !== undefined && last.size < GROUP_SIZE) return last
    const group = new CommitGroup()
    this.waiting.push(group)
    return group
  }

  /** What undid itself needs no transaction, and no promise unless others are open that come first. */
  private settleEmpty(group: CommitGroup): Promise<void> | undefined {
    const isFirst = this.current === undefined && this.waiting[0] === group
    if (!group.isAwaited && isFirst) return undefined
    const { promise } = group
    if (isFirst) group.settle()
    return promise
  }

  private refuse(): Promise<void> {
    const { maximumBytes } = this.options
    const cause = Object.assign(new Error('ENOSPC: the store has reached its maximumBytes'), { code: 'ENOSPC' })
    const error = storeFailed(
      `the store holds ${this.usedBytes} bytes of the ${maximumBytes} that maximumBytes allows: ` +
        'nothing more is kept until messages are delivered or expire',
      cause,
    )
    const before = this.groups().filter(({ isAwaited }) => isAwaited)
    return Promise.allSettled(before.map(({ promise }) => promise)).then(() => Promise.reject(error))
  }

  private isBeyondQuota(bytes: number): boolean {
    const { maximumBytes } = this.options
    if (maximumBytes === undefined || bytes === 0) return false
    let used = this.usedBytes + bytes
    for (const group of this.groups()) used += group.bytes
    return used > maximumBytes
  }

  private readonly sessionExists = (clientId: string): boolean => {
    const groups = this.groups()
    // the last group is the one that asks
    for (let i = groups.length - 2; i >= 0; i--) {
      const session = groups[i]!.sessions.get(clientId)
      if (session?.head !== undefined) return true
      if (session?.ended) return false
    }
    return this.environment.has('sessions', textKey(clientId))
  }

  private schedule(): void {
    if (this.isScheduled || this.current !== undefined || !this.hasWork) return
    this.isScheduled = true
    // not before the turn is over, so that its commits go together
    setImmediate(() => {
      this.isScheduled = false
      if (this.hasWork) void this.run()
    })
  }

  /** What ended sessions have left can wait for the next start. */
  private get hasWork(): boolean {
    return this.waiting.some(({ size }) => size > 0) || (this.hasRemains && !this.isClosing)
  }

  private async run(): Promise<void> {
    const group = this.waiting.shift() ?? new CommitGroup()
    this.current = group
    let failure: unknown
    try {
      await this.write(group)
    } catch (cause) {
      failure = storeFailed(`the store did not commit: ${messageOf(cause)}. ${this.options.describeDisk()}`, cause)
      this.counts.failedTransactions++
      await this.recover()
    }
    this.current = undefined
    group.settle(failure)
    // behind it there may be groups that came to nothing
    while (this.waiting[0]?.size === 0 && this.waiting[0].isAwaited) this.waiting[0].settle()
    this.schedule()
    if (this.isClosing && !this.hasWork) this.idle?.()
  }

  private async write(group: CommitGroup): Promise<void> {
    const writer = new TransactionWriter(this.environment, this.messageNumbers, this.next)
    const writes = writer.prepare(group, this.hasRemains ? this.remains() : [])
    if (writes.length === 0) {
      this.hasRemains = false
      return
    }
    await this.environment.write(writes)
    this.counts.transactions++
    this.hasRemains = this.remains().length > 0
    this.measure()
    this.options.onTransaction()
  }

  /** LMDB refuses everything after some failures until its file is opened again. */
  private async recover(): Promise<void> {
    try {
      this.environment = await this.options.reopen()
    } catch {
      // the next transaction fails with the reason and tries again
    }
  }

  private remains(): number[] {
    const range = { start: START_OF_KEYS, limit: REMAINS_PER_TRANSACTION }
    return this.environment.keys('ended', range).map((key) => numberOfKey(key))
  }

  private measure(): void {
    if (this.options.maximumBytes !== undefined) this.usedBytes = this.environment.usedBytes()
  }
}

/** Roughly how much a commit adds. One that only takes away adds nothing, and always may. */
function growthOf(changes: readonly Change[]): number {
  let bytes = 0
  let last: StoredMessage | undefined
  for (const change of changes) {
    if (change.type === 'session') bytes += 256 + (change.session.will?.message.payload.length ?? 0)
    else if (change.type === 'subscribe') bytes += 64 + 2 * change.subscription.filter.length
    else if (change.type === 'enqueue' || change.type === 'retain') {
      const message = change.type === 'enqueue' ? change.entry.message : change.message
      bytes += 96
      if (message !== last) bytes += 64 + message.topic.length + message.payload.length
      last = message
    }
  }
  return bytes
}
