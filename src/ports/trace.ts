import { MqttError } from '../protocol/mqtt-error'
import { topicFilterError } from '../protocol/topic'
import { givenInteger, givenSignal, givenString, invalidValue, readFields } from './given-values'

/** What `broker.trace` follows: one client, or the messages of a Topic Filter, whatever clients send and get them. */
export type TraceTarget = { readonly clientId: string } | { readonly filter: string }

export interface TraceOptions {
  /** Ends the trace. */
  signal?: AbortSignal | undefined
  /** Entries that wait for a slow loop; beyond it the oldest is dropped. Default: 1,024. */
  maximumQueuedEntries?: number | undefined
}

/** A packet as the package `mqtt-packet` reads it. Passwords and authentication data are left out. */
export interface TracedPacket {
  readonly cmd: string
  readonly [field: string]: unknown
}

/** A packet that a client has sent, or is sent. */
export interface TracedBytes {
  readonly kind: 'received' | 'sent'
  readonly at: Date
  readonly clientId: string
  /** Undefined where it cannot be read. A PUBLISH has no more of its payload than fits into 4 KiB. */
  readonly packet: TracedPacket | undefined
  /** The first 4 KiB of a packet that cannot be read; empty for one that can. */
  readonly bytes: Buffer
  /** Bytes of the whole packet. */
  readonly size: number
}

/** What the broker has decided. `details` depend on the decision. */
export interface TracedDecision {
  readonly kind: 'decision'
  readonly at: Date
  readonly clientId: string | undefined
  readonly decision: Decision
  readonly details: Readonly<Record<string, string | number | boolean | undefined>>
}

/** What there is to decide. */
export type Decision =
  | 'connected'
  | 'disconnected'
  | 'refused'
  | 'granted'
  | 'unsubscribed'
  | 'queued'
  | 'dropped'
  | 'session created'
  | 'session resumed'
  | 'session ended'
  | 'retained'

export type TraceEntry = TracedBytes | TracedDecision

/** The entries of a trace, for a `for await` loop. */
export interface TraceStream extends AsyncIterableIterator<TraceEntry> {
  /** Entries that a slow loop cost. */
  readonly droppedEntries: number
}

/** Throws GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN or GNATMQ_TOPIC_FILTER_INVALID. */
export function givenTraceTarget(given: unknown): TraceTarget {
  const { clientId, filter } = readFields('target', given, ['clientId', 'filter'])
  if ((clientId === undefined) === (filter === undefined))
    throw invalidValue('target', 'an object with either clientId or filter', given)
  if (clientId !== undefined) return { clientId: givenString('clientId', clientId) }
  const name = givenString('filter', filter)
  const error = topicFilterError(name, Number.POSITIVE_INFINITY)
  if (error !== undefined) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
  return { filter: name }
}

export function givenTraceOptions(given: unknown): { signal: AbortSignal | undefined; maximumQueuedEntries: number } {
  const { signal, maximumQueuedEntries } = readFields('trace', given, ['signal', 'maximumQueuedEntries'])
  return {
    signal: signal === undefined ? undefined : givenSignal(signal),
    maximumQueuedEntries:
      maximumQueuedEntries === undefined ? 1024 : givenInteger('maximumQueuedEntries', maximumQueuedEntries, 1, 65_536),
  }
}
