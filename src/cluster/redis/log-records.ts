import type { InboxFrame, LogNews, RetainedEntry, RouteChange, RouteEntry } from '../../ports/cluster'
import { decodeMessage } from './records'
import { type Argument, bytesOf, listOf, numberOf, pairsOf, type Reply, textOf } from './reply'
import { asBuffer } from './transaction-call'

/** Fields of one change as the scripts take it. */
export function routeArguments(changes: readonly RouteChange[]): Argument[] {
  return changes.flatMap(({ key, value }) => (value === undefined ? [key, 'd', ''] : [key, 's', asBuffer(value)]))
}

function numberOfEntry(id: Reply): number {
  return Number(textOf(id).split('-')[0])
}

/** An entry in the stream of routes: a field is s or d, the node, a colon and the key, or b and a buried node. */
function routeEntry(reply: Reply): RouteEntry {
  const [id, fields] = listOf(reply)
  const changes: RouteEntry['changes'][number][] = []
  const buried: number[] = []
  for (const [name, value] of pairsOf(fields)) {
    const field = textOf(name)
    if (field.startsWith('b')) buried.push(Number(field.slice(1)))
    else if (field !== 'v') {
      const colon = field.indexOf(':')
      const node = Number(field.slice(1, colon))
      changes.push({ node, key: field.slice(colon + 1), value: field.startsWith('s') ? bytesOf(value) : undefined })
    }
  }
  return { number: numberOfEntry(id), changes, buried }
}

/** Entries that follow `after` without a gap. */
export function routeNews(after: number, reply: Reply): LogNews<RouteEntry> {
  return following(after, listOf(reply).map(routeEntry))
}

/** What the stream of retained messages has. `missing` gets numbers and topics of messages that are to be read where they are stored. */
export function retainedNews(after: number, reply: Reply, missing: Map<number, string>): LogNews<RetainedEntry> {
  const entries = listOf(reply).map((entry) => {
    const [id, fields] = listOf(entry)
    const [, node, , topic, kind, record] = listOf(fields)
    if (textOf(kind) === 'l') missing.set(numberOfEntry(id), textOf(topic))
    const message = textOf(kind) === 'm' ? decodeMessage(bytesOf(record), 0) : undefined
    return { number: numberOfEntry(id), node: numberOf(node), topic: textOf(topic), message }
  })
  return following(after, entries)
}

function following<T extends { readonly number: number }>(after: number, entries: readonly T[]): LogNews<T> {
  return entries.length > 0 && entries[0]!.number !== after + 1 ? 'missed' : entries
}

/** Bytes of the frames among the entries of an inbox. */
export function frameBytes(entries: Reply): number {
  return listOf(entries).reduce<number>((sum, entry) => sum + bytesOf(listOf(listOf(entry)[1])[5]).length, 0)
}

/** A frame, and which of its sender's frames it is: the batch, and its place in that. */
interface NumberedFrame {
  readonly frame: InboxFrame
  readonly batch: number
  readonly place: number
}

function numberedFrame(reply: Reply): NumberedFrame {
  const [id, fields] = listOf(reply)
  const [, origin, , routedAt, , bytes, , number] = listOf(fields)
  const [batch, place] = textOf(number).split(' ').map(Number)
  const frame = {
    position: textOf(id),
    origin: numberOf(origin),
    routedAt: numberOf(routedAt),
    bytes: bytesOf(bytes),
  }
  return { frame, batch: batch!, place: place! }
}

/**
 * Reads frames of one inbox, and passes over those that are there twice. A Redis that is killed while it writes to its file may do a
 * part of a script again, but only at its second start.
 */
export class FrameReader {
  private readonly last = new Map<number, NumberedFrame>()

  /** `repeated` are positions of what is there twice. */
  read(entries: Reply): { frames: InboxFrame[]; repeated: string[] } {
    const frames: InboxFrame[] = []
    const repeated: string[] = []
    for (const one of listOf(entries).map(numberedFrame))
      if (this.isFirst(one)) frames.push(one.frame)
      else repeated.push(one.frame.position)
    return { frames, repeated }
  }

  /** What is read from the beginning again has lower positions, and is the same. */
  private isFirst(one: NumberedFrame): boolean {
    const { origin, position } = one.frame
    const last = this.last.get(origin)
    const isNew = last === undefined || one.batch > last.batch || (one.batch === last.batch && one.place > last.place)
    if (isNew) this.last.set(origin, one)
    return isNew || !isBehind(position, last.frame.position)
  }
}

/** Whether a position of a stream comes after another. */
function isBehind(position: string, other: string): boolean {
  const [time, place] = position.split('-').map(Number) as [number, number]
  const [otherTime, otherPlace] = other.split('-').map(Number) as [number, number]
  return time > otherTime || (time === otherTime && place > otherPlace)
}
