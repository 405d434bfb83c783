import type { MemoryBudget } from '../../memory/memory-budget'
import type { Client } from '../../ports/client'
import type { ClientLimits } from '../../ports/client-limits'
import type { Clock } from '../../ports/clock'
import type { Hooks } from '../../ports/hooks'
import type { Logger } from '../../ports/logger'
import type { Store } from '../../ports/store'
import type { QoS } from '../../protocol/packet'
import type { SharedStrategy } from '../../routing/shared-group'
import type { SessionLimits } from '../../session/session'
import type { OutboxLimits } from './outbox'

/** The options of a broker once they are checked and filled: what the rooms work with. Units: milliseconds, bytes, seconds where said. */
export interface BrokerSettings {
  readonly clock: Clock
  readonly logger: Logger
  readonly store: Store
  /** Assignable while running, as `broker.userAuth` is. */
  readonly hooks: Hooks
  readonly memory: MemoryBudget
  readonly connectTimeoutMs: number
  readonly hookTimeoutMs: number
  readonly stopTimeoutMs: number
  /** 0 publishes nothing below `$SYS`. */
  readonly sysIntervalMs: number
  /** Whether clients that do not authenticate may come from other machines without TLS. */
  readonly allowAnonymous: boolean
  readonly session: SessionLimits
  readonly outbox: OutboxLimits
  readonly maximumConnections: number
  readonly maximumConnectionsPerAddress: number
  readonly maximumHalfOpenConnections: number
  readonly maximumHalfOpenConnectionsPerAddress: number
  readonly maximumPendingAuthentications: number
  readonly maximumFailedConnectsPerAddress: number
  readonly maximumSessions: number
  /** Bytes. */
  readonly maximumClientIdentifierLength: number
  readonly maximumConnectPacketSize: number
  readonly maximumPacketSize: number
  readonly maximumTotalIncomingBytes: number
  readonly receiveMaximum: number
  readonly topicAliasMaximum: number
  readonly maximumOutgoingTopicAliases: number
  readonly maximumTopicLevels: number
  readonly maximumSubscriptions: number
  /** Of each client, where its identity has no others. */
  readonly clientLimits: ClientLimits
  readonly maximumWildcardPatterns: number
  readonly maximumTotalWildcardPatterns: number
  readonly maximumRetainedMessages: number
  readonly maximumRetainedBytes: number
  /** Seconds; 0 leaves the client's. */
  readonly maximumKeepAlive: number
  /** Seconds. */
  readonly maximumSessionExpiryInterval: number
  readonly lenientClientIdentifiers: boolean
  readonly sessionOwnership: boolean
  readonly validatePayloadFormat: boolean
  readonly maximumQoS: QoS
  readonly retainAvailable: boolean
  readonly wildcardSubscriptionAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  readonly sharedSubscriptionAvailable: boolean
  readonly sharedSubscriptionStrategy: SharedStrategy
  /** MQTT 5.0 section 3.2.2.3.15: what a client that asks gets as the root of its response topics. */
  readonly responseInformation: ((client: Client) => string | undefined) | undefined
}
