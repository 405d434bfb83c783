import type { ApplicationMessage } from '../../ports/application-message'
import type { Clock } from '../../ports/clock'
import { isPromise } from '../../ports/given-values'
import type { QoS } from '../../protocol/packet'

/** Milliseconds from a rejection to the next attempt, doubled with each. */
const FIRST_DELAY = 100
const LONGEST_DELAY = 30_000

/** How long to wait after so many failures in a row. */
export function delayAfter(failures: number): number {
  return Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(failures - 1, 20))
}

export type MessageHandler = (message: ApplicationMessage) => unknown

interface Incoming {
  readonly message: ApplicationMessage
  readonly identifier: number
  readonly qos: QoS
  readonly order: number
  attempts: number
}

export interface HandledParts {
  readonly clock: Clock
  readonly handler: MessageHandler
  /** Sends the acknowledgement. */
  acknowledge(identifier: number, qos: QoS): void
  failed(error: unknown, message: ApplicationMessage, attempts: number): void
}

/**
 * The messages of one connection that wait for their handler. They begin in their order. After a rejection none begins until that
 * message is done. It is tried again after a while, longer each time.
 */
export class HandledMessages {
  private readonly parts: HandledParts
  private readonly waiting: Incoming[] = []
  /** Those that were rejected, in their order. */
  private readonly rejected: Incoming[] = []
  private received = 0
  private ended = false
  private isRetrying = false
  private cancel: (() => void) | null = null

  constructor(parts: HandledParts) {
    this.parts = parts
  }

  add(message: ApplicationMessage, identifier: number, qos: QoS): void {
    const incoming = { message, identifier, qos, order: this.received++, attempts: 0 }
    if (this.rejected.length > 0 && qos > 0) this.waiting.push(incoming)
    else this.attempt(incoming)
  }

  /** Nothing more begins, and nothing more is acknowledged. */
  end(): void {
    this.ended = true
    this.cancel?.()
    this.cancel = null
    this.waiting.length = 0
    this.rejected.length = 0
  }

  private attempt(incoming: Incoming): void {
    incoming.attempts++
    try {
      const result = this.parts.handler(incoming.message)
      if (result !== undefined && isPromise(result)) {
        result.then(
          () => this.done(incoming),
          (error: unknown) => this.reject(incoming, error),
        )
        return
      }
    } catch (error) {
      this.reject(incoming, error)
      return
    }
    this.done(incoming)
  }

  private done(incoming: Incoming): void {
    if (this.ended) return
    if (incoming.qos > 0) this.parts.acknowledge(incoming.identifier, incoming.qos)
    if (incoming !== this.rejected[0] || !this.isRetrying) return
    this.isRetrying = false
    this.rejected.shift()
    this.goOn()
  }

  private reject(incoming: Incoming, error: unknown): void {
    if (this.ended) return
    const { rejected } = this
    if (incoming.qos > 0) {
      if (incoming === rejected[0]) this.isRetrying = false
      else if (this.isRetrying || rejected.length === 0 || rejected[0]!.order < incoming.order) this.insert(incoming)
      else {
        // the oldest comes first
        this.cancel?.()
        this.cancel = null
        rejected.unshift(incoming)
      }
    }
    this.parts.failed(error, incoming.message, incoming.attempts)
    this.goOn()
  }

  /** Behind the first, which may be under way. */
  private insert(incoming: Incoming): void {
    const { rejected } = this
    let at = rejected.length
    while (at > 1 && rejected[at - 1]!.order > incoming.order) at--
    rejected.splice(at, 0, incoming)
  }

  private goOn(): void {
    if (this.ended || this.isRetrying || this.cancel !== null) return
    const [first] = this.rejected
    if (first !== undefined) {
      this.cancel = this.parts.clock.after(delayAfter(first.attempts), () => {
        this.cancel = null
        this.isRetrying = true
        this.attempt(first)
      })
      return
    }
    while (this.rejected.length === 0 && this.waiting.length > 0) this.attempt(this.waiting.shift()!)
  }
}
