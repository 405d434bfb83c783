import { sizeClass } from './absent-queues'
import type { BudgetedAccount, BudgetedSession, QueueBudget } from './queue-budget'

/** What waits for one session, in memory and in the store, as the bounds count it. */
export class QueueAccount<S extends BudgetedSession> implements BudgetedAccount<S> {
  messages = 0
  bytes = 0
  /** What is in flight, and kept until it is acknowledged. */
  private inflightMessages = 0
  private inflightBytes = 0
  private closed = false
  expiryIndex = -1
  readonly session: S
  private readonly budget: QueueBudget<S>
  /** Whether its client is away, so that its messages may have to go. */
  private absent: boolean
  /** Its oldest message lies in the store, and has to be read before it can go. */
  private unreadable = false
  private messageClass = -1
  private byteClass = -1

  constructor(session: S, budget: QueueBudget<S>) {
    this.session = session
    this.budget = budget
    this.absent = session.output === null
  }

  /** Counts what came, or with negative numbers what went. */
  add(messages: number, bytes: number): void {
    this.budget.addMemory(messages, bytes)
    this.count(messages, bytes)
  }

  /** The same for what the store alone has. */
  addStored(messages: number, bytes: number): void {
    this.budget.addStoredMemory(messages, bytes)
    this.count(messages, bytes)
  }

  /** The same for what is in flight. */
  addInflight(messages: number, bytes: number): void {
    // what an ended session has left behind is about to go
    if (this.closed) return
    this.inflightMessages += messages
    this.inflightBytes += bytes
    this.budget.addMemory(messages, bytes)
  }

  private count(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
    this.budget.add(messages, bytes)
    if (this.absent) this.classify()
  }

  setAbsent(absent: boolean): void {
    this.absent = absent
    this.setUnreadable(false)
    this.classify()
  }

  /** The budget asks no more of it, until something of it can be taken out again. */
  setUnreadable(unreadable: boolean): void {
    if (this.unreadable === unreadable) return
    this.unreadable = unreadable
    this.budget.unreadable += unreadable ? 1 : -1
    this.classify()
  }

  /** A message that expires at `deadline` waits from now on. */
  awaitExpiry(deadline: number): void {
    this.budget.awaitExpiry(this, deadline)
  }

  /** The session has ended. */
  close(): void {
    this.addInflight(-this.inflightMessages, -this.inflightBytes)
    this.closed = true
    this.budget.forgetExpiry(this)
    this.setAbsent(false)
  }

  private classify(): void {
    const counts = this.absent && !this.unreadable
    const messageClass = counts ? sizeClass(this.messages) : -1
    // a message with an empty payload takes a place too
    const byteClass = counts && this.messages > 0 ? sizeClass(Math.max(1, this.bytes)) : -1
    const { absentByMessages, absentByBytes } = this.budget
    if (messageClass !== this.messageClass) absentByMessages.move(this, this.messageClass, messageClass)
    if (byteClass !== this.byteClass) absentByBytes.move(this, this.byteClass, byteClass)
    this.messageClass = messageClass
    this.byteClass = byteClass
  }
}
