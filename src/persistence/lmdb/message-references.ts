import type { StoredMessage } from '../../ports/store'
import type { Environment, Write } from './environment'
import { decodeNumber, encodeMessage, encodeNumber } from './records'
import { numberKey } from './store-keys'

interface Count {
  /** How many references come, less how many go. */
  change: number
  /** Set when the message is not stored yet. */
  message: StoredMessage | undefined
}

/**
 * Counts the references to a message within one transaction. A message without a row in `references` has exactly one
 * reference, which is what nearly all of them have.
 */
export class MessageReferences {
  private readonly environment: Environment
  private readonly numbers: WeakMap<StoredMessage, number>
  private readonly next: { message: number }
  private readonly counts = new Map<number, Count>()

  constructor(environment: Environment, numbers: WeakMap<StoredMessage, number>, next: { message: number }) {
    this.environment = environment
    this.numbers = numbers
    this.next = next
  }

  /** The number of the message, which one more place refers to. */
  add(message: StoredMessage): number {
    const known = this.numbers.get(message)
    if (known !== undefined) {
      const count = this.counts.get(known)
      if (count !== undefined || this.environment.has('messages', numberKey(known))) {
        this.change(known, 1)
        return known
      }
    }
    const number = this.next.message++
    this.numbers.set(message, number)
    this.counts.set(number, { change: 1, message })
    return number
  }

  release(number: number): void {
    this.change(number, -1)
  }

  writeTo(writes: Write[]): void {
    for (const [number, { change, message }] of this.counts) {
      if (change === 0) continue
      const key = numberKey(number)
      const stored = message === undefined ? this.stored(key) : 0
      const count = stored + change
      if (count < 0) throw new Error(`message ${number} has fewer references than places that refer to it`)
      if (count > 0 && message !== undefined) writes.push({ table: 'messages', key, value: encodeMessage(message) })
      if (count === 0) writes.push({ table: 'messages', key, value: undefined })
      if (count > 1) writes.push({ table: 'references', key, value: encodeNumber(count) })
      else if (stored > 1) writes.push({ table: 'references', key, value: undefined })
    }
  }

  private stored(key: Buffer): number {
    const record = this.environment.get('references', key)
    return record === undefined ? 1 : decodeNumber(record)
  }

  private change(number: number, by: number): void {
    const count = this.counts.get(number)
    if (count === undefined) this.counts.set(number, { change: by, message: undefined })
    else count.change += by
  }
}
