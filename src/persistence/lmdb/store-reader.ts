import { setImmediate as nextTurn } from 'node:timers/promises'
import type { QueueEntry, StoredMessage, StoredSessionState, StoredSubscription } from '../../ports/store'
import type { Environment } from './environment'
import {
  decodeCounters,
  decodeMessage,
  decodeNumber,
  decodeQueueRecord,
  decodeSession,
  decodeSubscription,
  sessionNumber,
} from './records'
import { keysWithin, numberKey, numberOfKey, pairKey, textKey } from './store-keys'

/** Rows that are read in one turn of the event loop. */
const PAGE = 256

/** Reads what is committed. Throws when a row is not there that another refers to. */
export class StoreReader {
  private readonly environment: Environment
  private readonly messageNumbers: WeakMap<StoredMessage, number>

  constructor(environment: Environment, messageNumbers: WeakMap<StoredMessage, number>) {
    this.environment = environment
    this.messageNumbers = messageNumbers
  }

  async *sessions(): AsyncGenerator<StoredSessionState> {
    for await (const { value } of this.all('sessions')) {
      const { number, session } = decodeSession(value)
      const counters = decodeCounters(this.existing('counters', number))
      yield { session, subscriptions: this.subscriptions(number), ...counters }
    }
  }

  async *retained(): AsyncGenerator<StoredMessage> {
    for await (const { value } of this.all('retained')) yield this.message(decodeNumber(value))
  }

  queue(clientId: string, after: number, limit: number): QueueEntry[] {
    const session = this.number(clientId)
    if (session === undefined || limit <= 0) return []
    const { end } = keysWithin(session)
    const rows = this.environment.rows('queue', { after: pairKey(session, Math.max(after, 0)), end, limit })
    if (after <= 0 && rows.length < limit) this.checkCount(session, rows.length)
    return rows.map(({ key, value }) => {
      const { message, payloadLength: _, ...entry } = decodeQueueRecord(value)
      return { ...entry, position: numberOfKey(key, 8), message: this.message(message) }
    })
  }

  held(clientId: string): number[] {
    const session = this.number(clientId)
    if (session === undefined) return []
    const rows = this.environment.rows('held', { ...keysWithin(session), limit: 0x10000 })
    return rows.map(({ key }) => numberOfKey(key, 8))
  }

  private number(clientId: string): number | undefined {
    const record = this.environment.get('sessions', textKey(clientId))
    return record === undefined ? undefined : sessionNumber(record)
  }

  private subscriptions(session: number): StoredSubscription[] {
    const range = { ...keysWithin(session), limit: Number.MAX_SAFE_INTEGER }
    return this.environment.rows('subscriptions', range).map(({ value }) => decodeSubscription(value))
  }

  private message(number: number): StoredMessage {
    const message = decodeMessage(this.existing('messages', number))
    this.messageNumbers.set(message, number)
    return message
  }

  private checkCount(session: number, count: number): void {
    const { queuedMessages } = decodeCounters(this.existing('counters', session))
    if (queuedMessages !== count) {
      throw new Error(`session ${session} counts ${queuedMessages} messages in a queue of ${count}`)
    }
  }

  private existing(table: 'counters' | 'messages', number: number): Buffer {
    const record = this.environment.get(table, numberKey(number))
    if (record === undefined) throw new Error(`row ${number} of ${table} is missing`)
    return record
  }

  /** Page by page, so that nothing is held open between two turns. */
  private async *all(table: 'sessions' | 'retained') {
    for (let range: { start?: Buffer; after?: Buffer } = {}; ; ) {
      const rows = this.environment.rows(table, { ...range, limit: PAGE })
      yield* rows
      const last = rows[rows.length - 1]
      if (last === undefined) return
      range = { after: last.key }
      await nextTurn()
    }
  }
}
