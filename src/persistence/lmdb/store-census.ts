import type { RowCheck } from './data-file-check'
import { META_KEYS } from './environment'
import { checkSeal, hasFormerSeal } from './record-seal'
import { decodeCounters, decodeNumber, queuedMessage, type SessionCounters, sessionNumber } from './records'
import { storeFailed } from './store-error'
import { numberOfKey } from './store-keys'
import type { TableName } from './table-names'

/** The format that this version reads and writes: since 2, table and key are part of each checksum. */
export const FORMAT = 2

interface QueueCount {
  messages: number
  bytes: number
  last: number
}

/**
 * Looks at each record of a store: that it is the one that was written under its key, and that queues hold what the
 * counters of their sessions say, and messages as many references as there are.
 */
export class StoreCensus implements RowCheck {
  private readonly file: string
  private readonly queues = new Map<number, QueueCount>()
  private readonly counters = new Map<number, SessionCounters>()
  private readonly sessions = new Set<number>()
  private readonly ended = new Set<number>()
  private readonly others = new Set<number>()
  private references = 0
  private counted = 0
  private nextSession = 0
  private hasFormat = false

  constructor(file: string) {
    this.file = file
  }

  row(table: TableName, key: Buffer, value: Buffer): void {
    if (table === 'meta' && key.equals(META_KEYS.format)) this.checkFormat(key, value)
    else {
      checkSeal(value, table, key)
      this.count(table, key, value)
    }
  }

  /** Throws when something is missing, or does not agree with what counts it. */
  finish(): void {
    if (!this.hasFormat || this.nextSession === 0) throw new Error('it does not say which format it has')
    for (const number of this.sessions) {
      const counters = this.counters.get(number)
      const { messages, bytes, last } = this.queues.get(number) ?? { messages: 0, bytes: 0, last: 0 }
      const agrees = counters?.queuedMessages === messages && counters.queuedBytes === bytes
      if (!agrees || counters.lastPosition < last) throw new Error(`session ${number} counts another queue than it has`)
      if (number >= this.nextSession) throw new Error(`session ${number} has a number that is not given yet`)
    }
    if (this.counters.size !== this.sessions.size) throw new Error('it has counters of a session that is not there')
    for (const numbers of [this.queues.keys(), this.others]) {
      for (const number of numbers) {
        if (!this.sessions.has(number) && !this.ended.has(number)) {
          throw new Error(`it has rows of session ${number}, which is not there`)
        }
      }
    }
    if (this.references !== this.counted) {
      throw new Error(`its messages count ${this.counted} references, and there are ${this.references}`)
    }
  }

  private count(table: TableName, key: Buffer, value: Buffer): void {
    switch (table) {
      case 'meta':
        if (key.equals(META_KEYS.nextSession)) this.nextSession = decodeNumber(value)
        return
      case 'sessions':
        this.sessions.add(sessionNumber(value))
        return
      case 'counters':
        this.counters.set(numberOfKey(key), decodeCounters(value))
        return
      case 'queue':
        this.countQueued(key, value)
        return
      case 'held':
      case 'subscriptions':
        this.others.add(numberOfKey(key))
        return
      case 'messages':
        this.counted++
        return
      case 'references':
        this.counted += decodeNumber(value) - 1
        return
      case 'retained':
        this.references++
        return
      case 'ended':
        this.ended.add(numberOfKey(key))
    }
  }

  private countQueued(key: Buffer, value: Buffer): void {
    const number = numberOfKey(key)
    let count = this.queues.get(number)
    if (count === undefined) {
      count = { messages: 0, bytes: 0, last: 0 }
      this.queues.set(number, count)
    }
    count.messages++
    count.bytes += queuedMessage(value).payloadLength
    count.last = numberOfKey(key, 8)
    this.references++
  }

  private checkFormat(key: Buffer, value: Buffer): void {
    const isFormer = hasFormerSeal(value)
    if (!isFormer) checkSeal(value, 'meta', key)
    const format = decodeNumber(value)
    if (format > FORMAT) {
      throw storeFailed(
        `the store file ${this.file} has format ${format}, which a newer version of gnatmq wrote; this one reads ` +
          `format ${FORMAT}: install the newer version`,
      )
    }
    if (isFormer || format < FORMAT) {
      throw storeFailed(
        `the store file ${this.file} has format ${format}, of a version before the first release; this one reads ` +
          `format ${FORMAT}: deliver what is in it with that version, or move the file away to begin empty`,
      )
    }
    this.hasFormat = true
  }
}
