import type { QoS } from '../protocol/packet'
import { givenBoolean, givenInteger, givenString, invalidValue, readFields } from './given-values'

/** What `broker.explain` is asked: what becomes of a message to a topic for one client, if it is published now. */
export interface ExplainRequest {
  readonly clientId: string
  readonly topic: string
  /** The QoS that the message is published with. Default: 1. */
  readonly qos?: QoS | undefined
  /** Bytes of its payload. Default: 0. */
  readonly size?: number | undefined
  /** The Client Identifier of its publisher. Default: another client, which may publish it. */
  readonly publisher?: string | undefined
  /** Asks about the retained message of the topic instead, which a subscription may bring. Default: false. */
  readonly retained?: boolean | undefined
}

/** The same with every value. */
export interface GivenExplainRequest extends ExplainRequest {
  readonly qos: QoS
  readonly size: number
  readonly publisher: string | undefined
  readonly retained: boolean
}

/** Why a message does not arrive, or not yet. */
export type ExplainCause =
  | 'topic invalid'
  | 'publisher denied'
  | 'no session'
  | 'session ended'
  | 'session expired'
  | 'no subscription'
  | 'hidden from wildcard'
  | 'no local'
  | 'shared group'
  | 'nothing retained'
  | 'retain handling'
  | 'denied'
  | 'too large'
  | 'offline'
  | 'slow reader'
  | 'queue full'
  | 'queue bytes full'
  | 'all queues full'
  | 'expired'
  | 'absent'
  | 'restoring'
  | 'window full'
  | 'window bytes full'
  | 'waits'
  | 'none'

/** One thing that was looked at. */
export interface ExplainCheck {
  readonly check: string
  /** Whether the message goes on from here at once. */
  readonly passed: boolean
  /** A sentence for people. */
  readonly text: string
  readonly details: Readonly<Record<string, unknown>>
}

/** The answer of `broker.explain`. */
export interface Explanation {
  readonly clientId: string
  readonly topic: string
  readonly at: Date
  /** Whether the message is sent at once, waits in the session, or is not delivered. */
  readonly delivered: 'now' | 'later' | 'no'
  /** What keeps it, or has kept the last message to this topic; `none` where nothing does. */
  readonly cause: ExplainCause
  /** What was looked at, in its order, up to what decides. */
  readonly checks: readonly ExplainCheck[]
}

/** Throws GNATMQ_OPTION_INVALID or GNATMQ_OPTION_UNKNOWN. */
export function givenExplainRequest(given: unknown): GivenExplainRequest {
  const names = ['clientId', 'topic', 'qos', 'size', 'publisher', 'retained'] as const
  const { clientId, topic, qos = 1, size = 0, publisher, retained = false } = readFields('explain', given, names)
  if (qos !== 0 && qos !== 1 && qos !== 2) throw invalidValue('qos', '0, 1 or 2', qos)
  return {
    clientId: givenString('clientId', clientId),
    topic: givenString('topic', topic),
    qos,
    size: givenInteger('size', size, 0, 268_435_455),
    publisher: publisher === undefined ? undefined : givenString('publisher', publisher),
    retained: givenBoolean('retained', retained),
  }
}
