import { Cost } from '../memory/cost'
import { Budget } from '../memory/memory-budget'
import { noDrops } from '../protocol/drop-reason'
import { AbsentQueues } from './absent-queues'
import { DeadlineHeap } from './deadline-heap'
import type { DropWatch } from './session-drops'

/** What each session may have waiting even when all of them together are over the budget; less of a budget that is small. */
const SHARE_MESSAGES = 64
const SHARE_BYTES = 64 * 1024
/** The part of the budget that its shares, or what is accepted while room is made, may be of. */
const SMALL_PART = 64

/** What the budget asks of a session. */
export interface BudgetedSession {
  /** null while its client is away. */
  readonly output: object | null
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly earliestExpiry: number
}

/** What the budget asks of a session's account. */
export interface BudgetedAccount<S extends BudgetedSession> {
  readonly session: S
  readonly messages: number
  readonly bytes: number
  /** Where the budget has it among those with messages that expire; -1 if it has not. */
  expiryIndex: number
  setUnreadable(unreadable: boolean): void
}

/** What waits in all sessions of a broker together, and how much may. */
export class QueueBudget<S extends BudgetedSession> {
  messages = 0
  bytes = 0
  /** Messages that were lost to sessions, by reason. */
  readonly dropped = noDrops()
  /** Told of each of them, and of those that connections count. */
  watch: DropWatch<S> | null = null
  /** Whether sessions that end with their connection keep what they have sent until it is acknowledged, so that its topic is known. */
  keepsInflight = false
  readonly maximumMessages: number
  readonly maximumBytes: number
  readonly absentByMessages = new AbsentQueues<BudgetedAccount<S>>()
  readonly absentByBytes = new AbsentQueues<BudgetedAccount<S>>()
  /** Sessions that are to give way, and whose next messages have to be read for that. */
  private readonly toRead = new Set<S>()
  /** Queues that are to give way, and have nothing in memory until they have been read. */
  unreadable = 0
  private readonly messageShare: number
  private readonly byteShare: number
  /** Each by a time before which nothing of it expires: it is looked at when that has come, and put further on. */
  private readonly expiries = new DeadlineHeap<BudgetedAccount<S>>((account, index) => {
    account.expiryIndex = index
  })

  /** What of the memory all that waits and is in flight may take up. */
  private readonly memory: Budget
  /** Whether what the store alone has lies in memory too. */
  private readonly isStoreInMemory: boolean

  constructor(
    maximumMessages = Number.POSITIVE_INFINITY,
    maximumBytes = Number.POSITIVE_INFINITY,
    memory = new Budget(),
    isStoreInMemory = true,
  ) {
    this.maximumMessages = maximumMessages
    this.maximumBytes = maximumBytes
    this.memory = memory
    this.isStoreInMemory = isStoreInMemory
    this.messageShare = Math.min(SHARE_MESSAGES, powerOfTwo(maximumMessages / SMALL_PART))
    this.byteShare = Math.min(SHARE_BYTES, powerOfTwo(maximumBytes / SMALL_PART))
  }

  /** Whether sessions have to keep the message itself: because it expires, or because its acknowledgement has a listener. */
  keeps({ expiresAt }: { readonly expiresAt: number }): boolean {
    return expiresAt !== 0 || this.keepsInflight
  }

  /** Whether one more message of `bytes` bytes may wait. */
  allows(bytes: number): boolean {
    if (this.messages >= this.maximumMessages || this.bytes + bytes > this.maximumBytes) return false
    return this.hasMemory(bytes)
  }

  /** Whether the memory allows for one more message of `bytes` bytes that waits or is in flight. */
  hasMemory(bytes: number): boolean {
    const { memory } = this
    return memory.used + Cost.queuedMessage + bytes <= memory.maximum
  }

  /** Counts in the memory what came to be in flight, or to wait, or with negative numbers what went. */
  addMemory(messages: number, bytes: number): void {
    this.memory.add(messages * Cost.queuedMessage + bytes)
  }

  /** The same for what the store alone has. */
  addStoredMemory(messages: number, bytes: number): void {
    if (this.isStoreInMemory) this.addMemory(messages, bytes)
    else this.memory.add(messages * Cost.storedMessage)
  }

  /** Whether `session` stays within its share with one more message of `bytes` bytes. */
  isWithinShare({ queuedMessages, queuedBytes }: S, bytes: number): boolean {
    return queuedMessages < this.messageShare && queuedBytes + bytes <= this.byteShare
  }

  /**
   * Who gives way to one more message of `bytes` bytes in `session`: one of those with the most of what is short, of the
   * clients that are away. To a client that is there all of them do, but for shares that are not above its own; to one that
   * is away those that have more.
   */
  giver(session: S, bytes: number): BudgetedAccount<S> | undefined {
    const byMessages = this.messages >= this.maximumMessages
    const giver = (byMessages ? this.absentByMessages : this.absentByBytes).largest()
    if (giver === undefined || giver.session === session) return undefined
    const size = byMessages ? giver.messages : giver.bytes
    const own = byMessages ? session.queuedMessages + 1 : session.queuedBytes + bytes
    const share = byMessages ? this.messageShare : this.byteShare
    const gives = session.output === null ? size > own : size > share || own <= share
    return gives ? giver : undefined
  }

  /** The next messages of a session that gives way have to be read: see `takeToRead`. */
  awaitReading(session: S): void {
    this.toRead.add(session)
  }

  takeToRead(): S | undefined {
    for (const session of this.toRead) {
      this.toRead.delete(session)
      return session
    }
    return undefined
  }

  /** How far a client that is there may go beyond the budget: to its share, or a little while messages are read that are to go. */
  allowsBeyond(session: S, bytes: number): boolean {
    if (session.output === null) return false
    if (this.isWithinShare(session, bytes)) return true
    if (this.unreadable === 0) return false
    const part = 1 + 1 / SMALL_PART
    return this.messages < this.maximumMessages * part && this.bytes + bytes <= this.maximumBytes * part
  }

  /** Whether it is what refuses messages, whatever their size. */
  get isFull(): boolean {
    const { memory } = this
    return (
      this.messages >= this.maximumMessages ||
      this.bytes >= this.maximumBytes - this.maximumBytes / SMALL_PART ||
      memory.used >= memory.maximum - memory.maximum / SMALL_PART
    )
  }

  reset(): void {
    this.messages = 0
    this.bytes = 0
    this.dropped.fill(0)
    this.memory.reset()
    this.expiries.clear()
    this.absentByMessages.clear()
    this.absentByBytes.clear()
    this.toRead.clear()
    this.unreadable = 0
  }

  /** Counts what came, or with negative numbers what went. */
  add(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
  }

  /** False if nothing that waits expires: then the time is not needed. */
  get expires(): boolean {
    return this.expiries.size > 0
  }

  awaitExpiry(account: BudgetedAccount<S>, deadline: number): void {
    const { expiries } = this
    if (account.expiryIndex < 0) expiries.add(account, deadline)
    else if (deadline < expiries.deadline(account.expiryIndex)) expiries.change(account.expiryIndex, deadline)
  }

  forgetExpiry(account: BudgetedAccount<S>): void {
    if (account.expiryIndex >= 0) this.expiries.remove(account.expiryIndex)
  }

  /** A session with a message that has expired by now, if there is one. */
  sessionWithExpired(now: number): S | undefined {
    const { expiries } = this
    while (expiries.earliest <= now) {
      const account = expiries.first()!
      const { earliestExpiry } = account.session
      if (earliestExpiry <= now) return account.session
      if (earliestExpiry === Number.POSITIVE_INFINITY) expiries.remove(0)
      else expiries.change(0, earliestExpiry)
    }
    return undefined
  }
}

/** The largest that is no larger, as queues are found by powers of two; 0 below 1. */
function powerOfTwo(size: number): number {
  return size < 1 ? 0 : 2 ** Math.floor(Math.log2(size))
}
