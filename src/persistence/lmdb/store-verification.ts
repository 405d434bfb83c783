import type { Environment, Row } from './environment'
import { decodeCounters, decodeMessage, decodeNumber, decodeQueueRecord, decodeSession } from './records'
import { numberOfKey } from './store-keys'
import type { TableName } from './table-names'

const PAGE = 1000

/** What does not agree with what, one line each. Reads everything at once. */
export function verifyStore(environment: Environment): string[] {
  const wrong: string[] = []
  const references = new Map<number, number>()
  const refer = (message: number) => references.set(message, (references.get(message) ?? 0) + 1)
  const queues = new Map<number, { messages: number; bytes: number; last: number }>()
  for (const { key, value } of all(environment, 'queue')) {
    const { message, payloadLength } = decodeQueueRecord(value)
    refer(message)
    const { messages, bytes } = queues.get(numberOfKey(key)) ?? { messages: 0, bytes: 0 }
    queues.set(numberOfKey(key), { messages: messages + 1, bytes: bytes + payloadLength, last: numberOfKey(key, 8) })
  }
  for (const { value } of all(environment, 'retained')) refer(decodeNumber(value))
  wrong.push(...compareReferences(environment, references))
  const known = new Set(Array.from(all(environment, 'ended'), ({ key }) => numberOfKey(key)))
  const counters = new Map(
    Array.from(all(environment, 'counters'), ({ key, value }) => [numberOfKey(key), decodeCounters(value)] as const),
  )
  for (const { value } of all(environment, 'sessions')) {
    const { number } = decodeSession(value)
    known.add(number)
    const counted = counters.get(number)
    const { messages, bytes, last } = queues.get(number) ?? { messages: 0, bytes: 0, last: 0 }
    if (counted === undefined) wrong.push(`session ${number} has no counters`)
    else if (counted.queuedMessages !== messages || counted.queuedBytes !== bytes || counted.lastPosition < last) {
      wrong.push(`session ${number} counts ${JSON.stringify(counted)} for ${messages} messages of ${bytes} bytes`)
    }
    counters.delete(number)
  }
  for (const number of counters.keys()) wrong.push(`there are counters of session ${number}, which is not there`)
  for (const table of ['queue', 'held', 'subscriptions'] as const) {
    for (const { key } of all(environment, table)) {
      if (!known.has(numberOfKey(key)))
        wrong.push(`${table} has a row of session ${numberOfKey(key)}, which is not there`)
    }
  }
  return wrong
}

function compareReferences(environment: Environment, references: Map<number, number>): string[] {
  const wrong: string[] = []
  const counts = new Map(
    Array.from(all(environment, 'references'), ({ key, value }) => [numberOfKey(key), decodeNumber(value)] as const),
  )
  for (const { key, value } of all(environment, 'messages')) {
    const number = numberOfKey(key)
    decodeMessage(value)
    const counted = counts.get(number) ?? 1
    const found = references.get(number) ?? 0
    if (counted !== found) wrong.push(`message ${number} counts ${counted} references and has ${found}`)
    references.delete(number)
    counts.delete(number)
  }
  for (const number of references.keys()) wrong.push(`message ${number} is referred to and not there`)
  for (const number of counts.keys()) wrong.push(`message ${number} is counted and not there`)
  return wrong
}

function* all(environment: Environment, table: TableName): Generator<Row> {
  for (let range: { after?: Buffer } = {}; ; ) {
    const rows = environment.rows(table, { ...range, limit: PAGE })
    yield* rows
    const last = rows[rows.length - 1]
    if (last === undefined) return
    range = { after: last.key }
  }
}
