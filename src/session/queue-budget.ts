import { DeadlineHeap } from './deadline-heap'
import type { QueueAccount } from './queue-account'
import type { Session } from './session'

/** What waits in all sessions of a broker together, and how much may. */
export class QueueBudget {
  messages = 0
  bytes = 0
  /** Messages that full queues and expiries have cost. */
  droppedMessages = 0
  readonly maximumMessages: number
  readonly maximumBytes: number
  /** Each by a time before which nothing of it expires: it is looked at when that has come, and put further on. */
  private readonly expiries = new DeadlineHeap<QueueAccount>((account, index) => {
    account.expiryIndex = index
  })

  constructor(maximumMessages = Number.POSITIVE_INFINITY, maximumBytes = Number.POSITIVE_INFINITY) {
    this.maximumMessages = maximumMessages
    this.maximumBytes = maximumBytes
  }

  /** Whether one more message of `bytes` bytes may wait. */
  allows(bytes: number): boolean {
    return this.messages < this.maximumMessages && this.bytes + bytes <= this.maximumBytes
  }

  /** Whether it is what refuses messages, whatever their size. */
  get isFull(): boolean {
    return this.messages >= this.maximumMessages || this.bytes >= this.maximumBytes - this.maximumBytes / 64
  }

  reset(): void {
    this.messages = 0
    this.bytes = 0
    this.droppedMessages = 0
    this.expiries.clear()
  }

  /** Counts what came, or with negative numbers what went. */
  add(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
  }

  /** False if nothing that waits expires: then nobody has to ask for the time. */
  get expires(): boolean {
    return this.expiries.size > 0
  }

  awaitExpiry(account: QueueAccount, deadline: number): void {
    const { expiries } = this
    if (account.expiryIndex < 0) expiries.add(account, deadline)
    else if (deadline < expiries.deadline(account.expiryIndex)) expiries.change(account.expiryIndex, deadline)
  }

  forgetExpiry(account: QueueAccount): void {
    if (account.expiryIndex >= 0) this.expiries.remove(account.expiryIndex)
  }

  /** A session with a message that has expired by now, if there is one. */
  sessionWithExpired(now: number): Session | undefined {
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
