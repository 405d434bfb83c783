import type { QueueBudget } from './queue-budget'
import type { Session } from './session'

/** What waits for one session, in memory and in the store, as the bounds count it. */
export class QueueAccount {
  messages = 0
  bytes = 0
  /** Where the budget has it among those with messages that expire; -1 if it has not. */
  expiryIndex = -1
  readonly session: Session
  private readonly budget: QueueBudget

  constructor(session: Session, budget: QueueBudget) {
    this.session = session
    this.budget = budget
  }

  /** Counts what came, or with negative numbers what went. */
  add(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
    this.budget.add(messages, bytes)
  }

  /** A message that expires at `deadline` waits from now on. */
  awaitExpiry(deadline: number): void {
    this.budget.awaitExpiry(this, deadline)
  }

  /** The session has ended. */
  close(): void {
    this.budget.forgetExpiry(this)
  }
}
