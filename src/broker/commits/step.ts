import type { Session } from '../../session/session'
import type { JournaledChange } from './change'

/** What is committed as a whole, and what the store has said to it. */
export class Step {
  readonly changes: readonly JournaledChange[]
  /** Those of the changes that are told when they are kept. */
  readonly told: readonly JournaledChange[]
  /** Payload bytes. */
  readonly bytes: number
  /** The session that published it with QoS 1 or 2, if any: what it published later waits behind it. */
  readonly publisher: Session | null
  /** Whether the connection of its publisher closes when it is refused. */
  readonly closes: boolean
  /** The connection of its publisher that it came by. */
  readonly connection: number
  /** The neighbours among those that the same publisher has open. */
  former: Step | null = null
  later: Step | null = null
  /** `clock.now()` when the store was asked to keep it. */
  begunAt = 0
  /** What the store has said, once it has. */
  isAnswered = false
  isKept = false
  error: unknown = undefined
  /** The broker has refused it, whatever the store says to it. */
  isRefused = false
  readonly promise: Promise<void>
  private resolve!: () => void
  private reject!: (error: unknown) => void

  constructor(
    changes: readonly JournaledChange[],
    told: readonly JournaledChange[],
    bytes: number,
    publisher: Session | null,
    closes: boolean,
  ) {
    this.changes = changes
    this.told = told
    this.bytes = bytes
    this.publisher = publisher
    this.closes = closes
    this.connection = publisher === null ? 0 : publisher.connectionCount
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  /** Whether its publisher, told of a refusal, gives this message up; otherwise it sends it again once it is back. */
  get isGivenUp(): boolean {
    const { closes, connection, publisher } = this
    if (publisher === null) return true
    return !closes && publisher.output !== null && publisher.connectionCount === connection
  }

  keep(): void {
    for (let i = 0; i < this.told.length; i++) this.told[i]!.keep()
    this.resolve()
  }

  /** Takes everything back, from the last change to the first, and returns what is to be tried again. */
  undo(): JournaledChange[] {
    this.isRefused = true
    const left: JournaledChange[] = []
    for (let i = this.changes.length - 1; i >= 0; i--) if (this.changes[i]!.undo()) left.push(this.changes[i]!)
    return left.reverse()
  }

  /** After `undo`: rejects the promise. */
  refuse(error: unknown): void {
    // perhaps nothing waits
    this.promise.catch(() => undefined)
    this.reject(error)
  }
}
