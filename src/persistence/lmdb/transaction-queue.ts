import type { Change, StoredMessage } from '../../ports/store'
import { BackOff } from './back-off'
import { CommitGroup } from './commit-group'
import { type DataFileRoom, NoRoomError } from './data-file-room'
import { type Environment, META_KEYS } from './environment'
import { growthOf, isAdding } from './growth'
import { decodeNumber } from './records'
import { messageOf, storeFailed } from './store-error'
import { numberOfKey, textKey } from './store-keys'
import { TransactionWriter } from './transaction-writer'

/** What one transaction holds at most; what comes beyond it is the next one's. */
const GROUP_SIZE = 10_000

/** The same while the disk is full: what is set aside for those that take away is little. */
const GROUP_SIZE_WHEN_FULL = 8

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
  readonly room: DataFileRoom
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
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
  private readonly backOff: BackOff
  private pause: NodeJS.Timeout | undefined

  constructor(environment: Environment, options: TransactionQueueOptions) {
    this.environment = environment
    this.options = options
    this.backOff = new BackOff({ now: options.now, freeBytes: () => options.room.freeBytes() })
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
    const bytes = this.options.maximumBytes === undefined ? 0 : growthOf(changes, this.sessionExists)
    if (this.isBeyondQuota(bytes)) return this.refuse(this.quotaError())
    if (this.backOff.isActive) {
      const cause = this.backOff.refusal(() => isAdding(changes, this.sessionExists))
      if (cause !== undefined) return this.refuse(this.failure(cause))
    }
    const group = this.openGroup()
    for (let i = 0; i < changes.length; i++) group.add(changes[i]!, this.existedBefore)
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
    clearTimeout(this.pause)
    const last = this.waiting[this.waiting.length - 1]
    if (last?.hasPositions) {
      last.size++
      // nothing waits for a position: it counts only while the store goes on
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
    const limit = this.backOff.isFull ? GROUP_SIZE_WHEN_FULL : GROUP_SIZE
    if (last !== undefined && last.size < limit && last.refusal === undefined) return last
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

  /** Rejects in its turn: behind the commits that came before it, and before those that come later. */
  private refuse(error: unknown): Promise<void> {
    const last = this.waiting[this.waiting.length - 1]
    if (last?.refusal !== undefined) return last.promise
    const group = new CommitGroup()
    group.refusal = error
    this.waiting.push(group)
    this.schedule()
    return group.promise
  }

  private quotaError(): unknown {
    const { maximumBytes } = this.options
    const cause = Object.assign(new Error('ENOSPC: the store has reached its maximumBytes'), { code: 'ENOSPC' })
    return storeFailed(
      `the store holds ${this.usedBytes} bytes of the ${maximumBytes} that maximumBytes allows: ` +
        'nothing more is kept until messages are delivered or expire',
      cause,
    )
  }

  private failure(cause: unknown): unknown {
    return storeFailed(`the store did not commit: ${messageOf(cause)}. ${this.options.describeDisk()}`, cause)
  }

  private isBeyondQuota(bytes: number): boolean {
    const { maximumBytes } = this.options
    if (maximumBytes === undefined || bytes === 0) return false
    let used = this.usedBytes + bytes
    for (const group of this.groups()) used += group.bytes
    return used > maximumBytes
  }

  /** Whether a session exists once everything that waits is written. */
  private readonly sessionExists = (clientId: string): boolean => this.existsAfter(clientId, this.groups())

  /** The same without the last group, which asks. */
  private readonly existedBefore = (clientId: string): boolean => this.existsAfter(clientId, this.groups().slice(0, -1))

  private existsAfter(clientId: string, groups: readonly CommitGroup[]): boolean {
    for (let i = groups.length - 1; i >= 0; i--) {
      const session = groups[i]!.sessions.get(clientId)
      if (session?.head !== undefined) return true
      if (session?.ended) return false
    }
    return this.environment.has('sessions', textKey(clientId))
  }

  private schedule(): void {
    if (this.isScheduled || this.current !== undefined || !this.hasWork) return
    const pause = this.hasCommits ? 0 : this.backOff.pause
    if (pause > 0) {
      // what ended sessions have left waits in its turn
      this.pause ??= setTimeout(() => {
        this.pause = undefined
        this.schedule()
      }, pause).unref()
      return
    }
    this.isScheduled = true
    // not before the turn is over, so that its commits go together
    setImmediate(() => {
      this.isScheduled = false
      if (this.hasWork) void this.run()
    })
  }

  private get hasCommits(): boolean {
    return this.waiting.some(({ size, refusal }) => size > 0 || refusal !== undefined)
  }

  /** What ended sessions have left can wait for the next start. */
  private get hasWork(): boolean {
    return this.hasCommits || (this.hasRemains && !this.isClosing)
  }

  private async run(): Promise<void> {
    const group = this.waiting.shift() ?? new CommitGroup()
    this.current = group
    group.settle(group.refusal ?? (await this.failureOf(group)))
    this.current = undefined
    this.settleNext()
    this.schedule()
    if (this.isClosing && !this.hasWork) this.idle?.()
  }

  /** Behind a group there may be some that came to nothing, and some that were refused. */
  private settleNext(): void {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      if (next.refusal !== undefined) this.waiting.shift()
      else if (next.size > 0 || !next.isAwaited) return
      next.settle(next.refusal)
    }
  }

  /** Writes the group. Gives why that failed, or undefined. */
  private async failureOf(group: CommitGroup): Promise<unknown> {
    const wasFull = this.backOff.isFull
    try {
      await this.write(group)
      if (this.backOff.isActive) this.backOff.succeeded(!wasFull || group.isAdding(this.isStored))
      return undefined
    } catch (cause) {
      this.counts.failedTransactions++
      this.backOff.failed(cause)
      // nothing was written, so that nothing has to be opened again
      if (!(cause instanceof NoRoomError)) await this.recover()
      return this.failure(cause)
    }
  }

  private async write(group: CommitGroup): Promise<void> {
    const writer = new TransactionWriter(this.environment, this.messageNumbers, this.next, this.backOff.isFull)
    const writes = writer.prepare(group, this.hasRemains ? this.remains() : [])
    if (writes.length === 0) {
      this.hasRemains = false
      return
    }
    const room = this.options.room.claim(this.environment, writes, () => group.isAdding(this.isStored))
    if (room !== undefined) await room
    await this.environment.write(writes)
    this.counts.transactions++
    this.hasRemains = this.remains().length > 0
    this.measure()
    this.options.onTransaction()
  }

  private readonly isStored = (clientId: string): boolean => this.environment.has('sessions', textKey(clientId))

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
