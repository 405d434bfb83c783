/** What waits in all sessions of a broker together, and how much may. */
export class QueueBudget {
  messages = 0
  bytes = 0
  /** Messages that full queues and expiries have cost. */
  droppedMessages = 0
  readonly maximumMessages: number
  readonly maximumBytes: number

  constructor(maximumMessages = Number.POSITIVE_INFINITY, maximumBytes = Number.POSITIVE_INFINITY) {
    this.maximumMessages = maximumMessages
    this.maximumBytes = maximumBytes
  }

  /** Whether one more message of `bytes` bytes may wait. */
  allows(bytes: number): boolean {
    return this.messages < this.maximumMessages && this.bytes + bytes <= this.maximumBytes
  }

  reset(): void {
    this.messages = 0
    this.bytes = 0
    this.droppedMessages = 0
  }

  /** Counts what came, or with negative numbers what went. */
  add(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
  }
}
