import { createMessage } from '../../src/protocol/message'
import type { QoS } from '../../src/protocol/packet'
import { Delivery, type DeliveryOrigin } from '../../src/session/delivery'
import { QueueBudget } from '../../src/session/queue-budget'
import { Session, type SessionLimits } from '../../src/session/session'
import { RecordingJournal } from '../support/recording-journal'
import { RecordingOutput } from '../support/recording-output'

export const roomy: SessionLimits = {
  maximumInflight: 65_535,
  maximumInflightBytes: 1_000_000,
  maximumQueuedMessages: 1000,
  maximumQueuedBytes: 1_000_000,
  overflow: 'drop-newest',
  budget: new QueueBudget(),
  queueQoS0: false,
}

export interface Parts {
  readonly session: Session
  readonly output: RecordingOutput
  readonly journal: RecordingJournal
}

export interface Wanted extends Partial<SessionLimits> {
  /** Receive Maximum of the client. */
  readonly window?: number
  readonly version?: 4 | 5
}

/** A session that outlives its connection, connected. */
export function durableSession({ window = 65_535, version = 4, ...limits }: Wanted = {}): Parts {
  const session = new Session('client', { ...roomy, budget: new QueueBudget(), ...limits })
  const journal = new RecordingJournal()
  const output = new RecordingOutput(version)
  session.journal = journal
  session.attach(output, window)
  return { session, output, journal }
}

/** A session that ends with its connection. */
export function transientSession(wanted: Wanted = {}): Parts {
  const parts = durableSession(wanted)
  parts.session.journal = null
  return parts
}

export interface DeliveryParts {
  readonly payload?: string
  readonly expiresAt?: number
  readonly retain?: boolean
  readonly subscriptionIdentifiers?: readonly number[]
  readonly origin?: DeliveryOrigin
}

export function delivery(qos: QoS, topic: string, parts: DeliveryParts = {}): Delivery {
  const { payload = '', expiresAt = 0, retain = false, subscriptionIdentifiers = [], origin = null } = parts
  const message = createMessage(topic, Buffer.from(payload), undefined, qos, false, expiresAt, undefined)
  return new Delivery(message, qos, retain, subscriptionIdentifiers, origin)
}
