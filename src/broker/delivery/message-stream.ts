import type { ApplicationMessage } from '../../ports/application-message'
import { givenInteger, givenSignal, readFields } from '../../ports/given-values'

type Result = IteratorResult<ApplicationMessage>

export interface MessageStreamOptions {
  /** Ends the iteration. */
  signal?: AbortSignal
  /** Messages that wait for a slow loop; beyond it the oldest is dropped. Default: 10,000. */
  maximumQueuedMessages?: number
}

/** Checks the options of `messages`. Throws GNATMQ_OPTION_UNKNOWN or GNATMQ_OPTION_INVALID. */
export function givenStreamOptions(given: unknown): MessageStreamOptions {
  const { signal, maximumQueuedMessages } = readFields('messages', given, ['signal', 'maximumQueuedMessages'])
  const options: MessageStreamOptions = {}
  if (signal !== undefined) {
    options.signal = givenSignal(signal)
  }
  if (maximumQueuedMessages === Number.POSITIVE_INFINITY) options.maximumQueuedMessages = maximumQueuedMessages
  else if (maximumQueuedMessages !== undefined)
    options.maximumQueuedMessages = givenInteger(
      'maximumQueuedMessages',
      maximumQueuedMessages,
      0,
      Number.MAX_SAFE_INTEGER,
    )
  return options
}

/** Messages for a `for await` loop. */
export class MessageStream implements AsyncIterableIterator<ApplicationMessage> {
  /** Messages that a slow loop cost. */
  droppedMessages = 0
  private waiting: ApplicationMessage[] = []
  private readonly readers: ((result: Result) => void)[] = []
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

  push(message: ApplicationMessage): void {
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

  /** Takes nothing more; what has arrived before is still given. */
  close(): void {
    if (this.ended) return
    this.ended = true
    if (this.waiting.length === 0) this.leaveSignal()
    for (const reader of this.readers.splice(0)) reader({ value: undefined, done: true })
    this.onEnd()
  }

  /** The same, and what has arrived before is dropped. */
  end(): void {
    this.waiting = []
    this.leaveSignal()
    this.close()
  }

  /** A signal often outlives many streams. */
  private leaveSignal(): void {
    this.signal?.removeEventListener('abort', this.onAbort)
  }

  next(): Promise<Result> {
    const message = this.waiting.shift()
    if (message !== undefined) {
      if (this.ended && this.waiting.length === 0) this.leaveSignal()
      return Promise.resolve({ value: message, done: false })
    }
    if (this.ended) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve) => this.readers.push(resolve))
  }

  return(): Promise<Result> {
    this.end()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
