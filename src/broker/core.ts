import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../ports/events'
import type { RetainedMessages } from '../routing/retained-messages'
import type { Router } from '../routing/router'
import type { Session } from '../session/session'
import type { CommitJournal } from './commits/commit-journal'
import type { SessionHeads } from './commits/session-heads'
import type { Connection } from './wire/connection'
import type { DeadlineWheel } from './wire/deadline-wheel'
import type { EnhancedAuthentication } from './packets/auth'
import type { Handshake } from './packets/connect'
import type { Publisher } from './packets/publish'
import type { Restorer } from './sessions/restorer'
import type { RetainedExpiry } from './delivery/retained-expiry'
import type { RetainedSender } from './delivery/retained-sender'
import type { SessionRegistry } from './sessions/registry'
import type { BrokerSettings } from './wire/settings'
import type { Subscriber } from './packets/subscribe'
import type { Turn } from './wire/turn'
import type { Wills } from './sessions/wills'

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
  readonly heads: SessionHeads
  readonly publisher: Publisher
  readonly subscriber: Subscriber
  readonly handshake: Handshake
  readonly authentication: EnhancedAuthentication
  readonly wills: Wills
  readonly restorer: Restorer
  /** Every open connection, before and after its CONNECT. */
  readonly connections: Set<Connection>
}
