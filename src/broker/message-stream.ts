import type { Message } from '../protocol/message'

export interface MessageStreamOptions {
  /** Ends the iteration. */
  signal?: AbortSignal
  /** Messages that wait for a slow loop; beyond it the oldest is dropped. Default: 10,000. */
  maximumQueuedMessages?: number
}

/** Messages for a `for await` loop. */
export class MessageStream implements AsyncIterableIterator<Message> {
  /** Messages that a slow loop cost. */
  droppedMessages = 0
  private waiting: Message[] = []
  private readonly readers: ((result: IteratorResult<Message>) => void)[] = []
  private ended = false
  private readonly limit: number
  private readonly onEnd: () => void
  private readonly signal: AbortSignal | undefined
  private readonly onAbort = (): void => this.end()

  constructor(options: MessageStreamOptions, onEnd: () => void) {
    this.onEnd = onEnd
    this.limit = options.maximumQueuedMessages ?? 10_000
    const { signal } = options
    this.signal = signal
    if (signal?.aborted === true) this.ended = true
    else signal?.addEventListener('abort', this.onAbort)
  }

  push(message: Message): void {
    if (this.ended) return
    const reader = this.readers.shift()
    if (reader !== undefined) {
      reader({ value: message, done: false })
      return
    }
    this.waiting.push(message)
    if (this.waiting.length > this.limit) {
      this.waiting.shift()
      this.droppedMessages++
    }
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    // a signal often outlives many streams
    this.signal?.removeEventListener('abort', this.onAbort)
    this.waiting = []
    for (const reader of this.readers.splice(0)) reader({ value: undefined, done: true })
    this.onEnd()
  }

  next(): Promise<IteratorResult<Message>> {
    const message = this.waiting.shift()
    if (message !== undefined) return Promise.resolve({ value: message, done: false })
    if (this.ended) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve) => this.readers.push(resolve))
  }

  return(): Promise<IteratorResult<Message>> {
    this.end()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
