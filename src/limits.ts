import { type BudgetName, divideMemory, type MemoryBudget, partOf } from './memory/memory-budget'
import { invalidValue, readFields } from './ports/given-values'
import { standardMemory } from './ports/machine-memory'
import { maximumOpenFiles } from './ports/open-files'
import { NEVER_EXPIRES } from './session/session'

/** Bounds. Each is on by default; give a larger number to widen it, Infinity to lift it. */
export interface LimitOptions {
  /**
   * Bytes that all clients together can make the broker hold, its program and garbage included; docs/reference/memory.md says how they
   * are divided. Default: three quarters of the heap limit, half of the machine's memory at most.
   */
  memory?: number
  /** Connected clients. Default: 1,000,000. */
  maximumConnections?: number
  /** Connections from one address, before and after CONNECT. Default: 65,536. */
  maximumConnectionsPerAddress?: number
  /** Connections without an accepted CONNECT, those that wait to be let in included; a TLS handshake counts as 8. Default: 16,384, half of the open files that the process may have at most. */
  maximumHalfOpenConnections?: number
  /** The same from one address. Default: 12,288, three eighths of the open files that the process may have at most. */
  maximumHalfOpenConnectionsPerAddress?: number
  /** Clients that are authenticated at the same time, one address half of them at the most; the others wait, addresses by turns. Default: 4,096. */
  maximumPendingAuthentications?: number
  /** CONNECTs from one address that `authenticate` may deny within a minute; then all are refused for the rest of it. Default: 600. */
  maximumFailedConnectsPerAddress?: number
  /** Sessions, those of absent clients included. Default: 10,000,000. */
  maximumSessions?: number
  /** Bytes of a Client Identifier. Default: 4,096. */
  maximumClientIdentifierLength?: number
  /** Bytes of a packet before CONNECT is accepted. Default: 65,536. */
  maximumConnectPacketSize?: number
  /** Bytes of a packet after that. Default: 16 MiB; the specification's maximum is 268,435,460. */
  maximumPacketSize?: number
  /** Bytes of packets that have not arrived whole, over all connections; beyond that, connections with more than 64 KiB of them are closed. Default: 5 % of `memory`. */
  maximumTotalIncomingBytes?: number
  /** QoS 1 and 2 messages that a client may have in flight towards the broker (MQTT 5.0 section 3.2.2.3.3). Default: 1,024. */
  receiveMaximum?: number
  /** QoS 1 and 2 messages that the broker has in flight towards a client, at the most. Default: 1,024. */
  maximumInflight?: number
  /** Bytes of messages in flight towards a client that are kept until it acknowledges them; further ones wait. One may always be. Default: 2 % of `memory`. */
  maximumInflightBytes?: number
  /** Messages that wait in one session. Default: 100,000. */
  maximumQueuedMessages?: number
  /** Bytes of messages that wait in one session. Default: 2 % of `memory`. */
  maximumQueuedBytes?: number
  /** Messages that wait in all sessions together; beyond it clients that are away give way, see docs/queues.md. Default: 10,000,000. */
  maximumTotalQueuedMessages?: number
  /** Bytes of messages that wait in all sessions together; beyond it clients that are away give way. Default: 16 % of `memory`. */
  maximumTotalQueuedBytes?: number
  /** Bytes that wait for one slow reader before QoS 0 is dropped and QoS 1 and 2 wait in the session. Default: 8 MiB. */
  maximumOutgoingBytes?: number
  /** The same over all connections; beyond it each may have 64 KiB waiting. Default: 7 % of `memory`. */
  maximumTotalOutgoingBytes?: number
  /** Topic Aliases that an MQTT 5.0 client may use (section 3.2.2.3.8). Default: 100. */
  topicAliasMaximum?: number
  /** Topic Aliases that the broker uses towards an MQTT 5.0 client, even if the client allows more. Default: 256. */
  maximumOutgoingTopicAliases?: number
  /** Levels of a Topic Name or Topic Filter. Default: 128. */
  maximumTopicLevels?: number
  /** Subscriptions of one session. Default: 100,000. */
  maximumSubscriptions?: number
  /** Different patterns of wildcards among the filters of one session: `a/+` and `b/+` have one. A message matches one filter of each. Default: 128. */
  maximumWildcardPatterns?: number
  /** The same over all sessions; beyond it each session may have 8 of its own. Default: 1,024. */
  maximumTotalWildcardPatterns?: number
  /** Topics with a retained message. Default: 10,000,000. */
  maximumRetainedMessages?: number
  /** Bytes of retained messages, topics included. Default: 20 % of `memory`. */
  maximumRetainedBytes?: number
  /** Seconds; MQTT 5.0 clients that ask for more, or for none, get this as Server Keep Alive, and it holds for older ones that ask for none. Default: 65,535; 0 is no bound. */
  maximumKeepAlive?: number
  /** Seconds that a session is kept after its connection. Default: 31,536,000, a year; 4,294,967,295 is for ever. */
  maximumSessionExpiryInterval?: number
}

/** A default, or how it is computed from the memory. */
type Standard = number | ((memory: number) => number)

const part =
  (name: BudgetName) =>
  (memory: number): number =>
    partOf(memory, name)

/** Names and ranges of the numeric limits: minimum, maximum, default. */
const limitTable: Readonly<
  Record<keyof LimitOptions, readonly [minimum: number, maximum: number, standard: Standard]>
> = {
  memory: [16 * 1024 * 1024, Number.POSITIVE_INFINITY, standardMemory],
  maximumConnections: [1, Number.POSITIVE_INFINITY, 1_000_000],
  maximumConnectionsPerAddress: [1, Number.POSITIVE_INFINITY, 65_536],
  maximumHalfOpenConnections: [1, Number.POSITIVE_INFINITY, () => partOfFiles(16_384, 1 / 2)],
  maximumHalfOpenConnectionsPerAddress: [1, Number.POSITIVE_INFINITY, () => partOfFiles(12_288, 3 / 8)],
  maximumPendingAuthentications: [1, Number.POSITIVE_INFINITY, 4096],
  maximumFailedConnectsPerAddress: [1, Number.POSITIVE_INFINITY, 600],
  maximumSessions: [1, Number.POSITIVE_INFINITY, 10_000_000],
  maximumClientIdentifierLength: [23, 65_535, 4096],
  maximumConnectPacketSize: [64, 268_435_460, 65_536],
  maximumPacketSize: [64, 268_435_460, 16 * 1024 * 1024],
  maximumTotalIncomingBytes: [65_536, Number.POSITIVE_INFINITY, part('incoming')],
  receiveMaximum: [1, 65_535, 1024],
  maximumInflight: [1, 32_768, 1024],
  maximumInflightBytes: [0, Number.POSITIVE_INFINITY, (memory) => Math.floor((memory * 2) / 100)],
  maximumQueuedMessages: [0, Number.POSITIVE_INFINITY, 100_000],
  maximumQueuedBytes: [0, Number.POSITIVE_INFINITY, (memory) => Math.floor((memory * 2) / 100)],
  maximumTotalQueuedMessages: [0, Number.POSITIVE_INFINITY, 10_000_000],
  maximumTotalQueuedBytes: [0, Number.POSITIVE_INFINITY, part('queues')],
  maximumOutgoingBytes: [4096, Number.POSITIVE_INFINITY, 8 * 1024 * 1024],
  maximumTotalOutgoingBytes: [65_536, Number.POSITIVE_INFINITY, part('outgoing')],
  topicAliasMaximum: [0, 65_535, 100],
  maximumOutgoingTopicAliases: [0, 65_535, 256],
  maximumTopicLevels: [1, 65_536, 128],
  maximumSubscriptions: [1, Number.POSITIVE_INFINITY, 100_000],
  maximumWildcardPatterns: [1, Number.POSITIVE_INFINITY, 128],
  maximumTotalWildcardPatterns: [1, Number.POSITIVE_INFINITY, 1024],
  maximumRetainedMessages: [0, Number.POSITIVE_INFINITY, 10_000_000],
  maximumRetainedBytes: [0, Number.POSITIVE_INFINITY, part('retained')],
  maximumKeepAlive: [0, 65_535, 65_535],
  maximumSessionExpiryInterval: [0, NEVER_EXPIRES, 365 * 24 * 3600],
}

/** No more than a part of the open files that the process may have: the rest is for clients and for the store. */
function partOfFiles(most: number, part: number): number {
  return Math.max(1, Math.min(most, Math.floor((maximumOpenFiles() ?? Number.POSITIVE_INFINITY) * part)))
}

/** Checks the limits that are given. Throws GNATMQ_OPTION_UNKNOWN or GNATMQ_OPTION_INVALID. */
export function checkLimits(given: unknown): LimitOptions {
  const names = Object.keys(limitTable) as (keyof LimitOptions)[]
  const limits = readFields('limits', given, names)
  for (const name of names) {
    const value = limits[name]
    if (value === undefined) continue
    const [minimum, maximum] = limitTable[name]
    const whole = typeof value === 'number' && (Number.isInteger(value) || value === Number.POSITIVE_INFINITY)
    if (!whole || value < minimum || value > maximum)
      throw invalidValue(`limits.${name}`, `a whole number from ${minimum} to ${maximum}`, value)
  }
  return limits as LimitOptions
}

/** All limits: those that are given, and the defaults of the others. */
export function limitsOf(given: LimitOptions = {}): Required<LimitOptions> {
  const memory = given.memory ?? standardMemory()
  const limits = { ...given }
  for (const name of Object.keys(limitTable) as (keyof LimitOptions)[]) {
    const standard = limitTable[name][2]
    limits[name] ??= typeof standard === 'number' ? standard : standard(memory)
  }
  return limits as Required<LimitOptions>
}

/** An option for one of the budgets that gives more than its part of the memory widens it. */
export function memoryOf(bytes: number, limits: LimitOptions = {}): MemoryBudget {
  return divideMemory(bytes, {
    retained: limits.maximumRetainedBytes,
    queues: limits.maximumTotalQueuedBytes,
    outgoing: limits.maximumTotalOutgoingBytes,
    incoming: limits.maximumTotalIncomingBytes,
  })
}
