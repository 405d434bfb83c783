import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../ports/events'
import type { RetainedMessages } from '../routing/retained-messages'
import type { Router } from '../routing/router'
import type { Session } from '../session/session'
import type { CommitJournal } from './commits/commit-journal'
import type { Connection } from './connection'
import type { DeadlineWheel } from './deadline-wheel'
import type { EnhancedAuthentication } from './enhanced-authentication'
import type { Handshake } from './handshake'
import type { Publisher } from './publisher'
import type { Restorer } from './restorer'
import type { RetainedExpiry } from './retained-expiry'
import type { RetainedSender } from './retained-sender'
import type { SessionRegistry } from './session-registry'
import type { BrokerSettings } from './settings'
import type { Subscriber } from './subscriber'
import type { Turn } from './turn'
import type { Wills } from './wills'

/** What the parts of a running broker share. One object a start. */
export interface Core {
  readonly settings: BrokerSettings
  readonly events: EventEmitter<BrokerEvents>
  readonly turn: Turn
  readonly wheel: DeadlineWheel
  readonly router: Router<Session>
  readonly retained: RetainedMessages
  readonly retainedExpiry: RetainedExpiry
  readonly retainedSender: RetainedSender
  readonly journal: CommitJournal
  readonly sessions: SessionRegistry
  readonly publisher: Publisher
  readonly subscriber: Subscriber
  readonly handshake: Handshake
  readonly authentication: EnhancedAuthentication
  readonly wills: Wills
  readonly restorer: Restorer
  /** Every open connection, before and after its CONNECT. */
  readonly connections: Set<Connection>
}
