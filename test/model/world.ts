import type { Answers, FilterStep, Version, WillStep } from './step'

// Everything that a broker has to know, as plain data.

export interface Message {
  publisher: string
  topic: string
  payload: string
  qos: number
  retain: boolean
  expiresAt: number | undefined
}

/** A message for one session. */
export interface Copy {
  message: Message
  qos: number
  retain: boolean
  identifiers: number[]
  /** The shared filter that it came by, if any. */
  group: string | undefined
  /** The retained messages of one subscription come in any order: they have the same number here, all others 0. */
  batch: number
}

/** Sent, and not acknowledged. */
export interface Flight {
  copy: Copy
  /** PUBREC has come: what goes on is PUBREL. */
  released: boolean
  /** Sent, or its PUBREL, on the connection that there is. */
  current: boolean
}

export interface Subscription extends FilterStep {
  identifier: number
}

export interface Connection {
  key: string
  version: Version
  receiveMaximum: number
  answers: Answers
  will: WillStep | undefined
}

export interface Session {
  client: string
  expiry: number
  endsAt: number
  subscriptions: Subscription[]
  flights: Flight[]
  queue: Copy[]
  /** Packet Identifiers of QoS 2 messages received and not released. */
  held: number[]
  connection: Connection | undefined
  will: { at: number; will: WillStep } | undefined
}

/** Everything that a broker knows. Times are milliseconds. */
export interface World {
  now: number
  batches: number
  sessions: Session[]
  retained: Message[]
}

export const emptyWorld = (): World => ({ now: 0, batches: 0, sessions: [], retained: [] })

/** What may be in flight: all that is unacknowledged counts, from whichever connection. */
export function windowOf({ connection }: Session): number {
  return connection?.receiveMaximum ?? 0
}

/** All that is on its way to a session. */
export function copiesOf({ flights, queue }: Session): Copy[] {
  return [...flights.map(({ copy }) => copy), ...queue]
}

export function copyFor(message: Message, subscriptions: readonly Subscription[], group: string | undefined): Copy {
  return {
    message,
    qos: Math.min(message.qos, Math.max(...subscriptions.map(({ qos }) => qos))),
    retain: message.retain && subscriptions.some(({ retainAsPublished }) => retainAsPublished),
    identifiers: subscriptions
      .map(({ identifier }) => identifier)
      .filter((identifier) => identifier !== 0)
      .sort((a, b) => a - b),
    group,
    batch: 0,
  }
}

export function isShared(filter: string): boolean {
  return filter.startsWith('$share/')
}

/** `a/b` of `$share/NAME/a/b`. */
export function unshared(filter: string): string {
  return isShared(filter) ? filter.split('/').slice(2).join('/') : filter
}
