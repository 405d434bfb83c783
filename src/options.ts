import type { BrokerSettings } from './broker/wire/settings'
import { MemoryStore } from './persistence/memory-store'
import type { Client } from './ports/client'
import { type Clock, systemClock } from './ports/clock'
import { givenString, invalidValue, readFields, reading } from './ports/given-values'
import type { Hooks } from './ports/hooks'
import type { Listener } from './ports/listener'
import { guardedLogger, type Logger, loggerMethods, silentLogger } from './ports/logger'
import type { Store } from './ports/store'
import type { TlsOptions } from './ports/tls'
import type { QoS } from './protocol/packet'
import type { SharedStrategy } from './routing/shared-group'
import { QueueBudget } from './session/queue-budget'
import { NEVER_EXPIRES, type OverflowPolicy } from './session/session'

/** Bounds. Each is on by default; give a larger number to widen it, Infinity to lift it. */
export interface LimitOptions {
  /** Connected clients. Default: 1,000,000. */
  maximumConnections?: number
  /** Connections from one address, before and after CONNECT. Default: 65,536. */
  maximumConnectionsPerAddress?: number
  /** Connections without an accepted CONNECT, those that wait to be let in included; a TLS handshake counts as 8. Default: 16,384. */
  maximumHalfOpenConnections?: number
  /** The same from one address. Default: 12,288. */
  maximumHalfOpenConnectionsPerAddress?: number
  /** Clients that are authenticated at the same time, one address half of them at the most; the others wait, addresses by turns. Default: 4,096. */
  maximumPendingAuthentications?: number
  /** CONNECTs from one address that `authenticate` may deny within a minute; then all are refused for the rest of it. Default: 600. */
  maximumFailedConnectsPerAddress?: number
  /** Sessions, those of absent clients included. Default: 10,000,000. */
  maximumSessions?: number
  /** Bytes of a packet before CONNECT is accepted. Default: 65,536. */
  maximumConnectPacketSize?: number
  /** Bytes of a packet after that. Default: 16 MiB; the specification's maximum is 268,435,460. */
  maximumPacketSize?: number
  /** Bytes of packets that have not arrived whole, over all connections; beyond that, connections with more than 64 KiB of them are closed. Default: 256 MiB. */
  maximumTotalIncomingBytes?: number
  /** QoS 1 and 2 messages that a client may have in flight towards the broker (MQTT 5.0 section 3.2.2.3.3). Default: 1,024. */
  receiveMaximum?: number
  /** QoS 1 and 2 messages that the broker has in flight towards a client, at the most. Default: 1,024. */
  maximumInflight?: number
  /** Messages that wait in one session. Default: 100,000. */
  maximumQueuedMessages?: number
  /** Bytes of messages that wait in one session. Default: 64 MiB. */
  maximumQueuedBytes?: number
  /** Messages that wait in all sessions together; beyond it clients that are away give way, see docs/queues.md. Default: 10,000,000. */
  maximumTotalQueuedMessages?: number
  /** Bytes of messages that wait in all sessions together; beyond it clients that are away give way. Default: 1 GiB. */
  maximumTotalQueuedBytes?: number
  /** Bytes that wait for one slow reader before QoS 0 is dropped and QoS 1 and 2 wait in the session. Default: 8 MiB. */
  maximumOutgoingBytes?: number
  /** The same over all connections; beyond it each may have 64 KiB waiting. Default: 256 MiB. */
  maximumTotalOutgoingBytes?: number
  /** Topic Aliases that an MQTT 5.0 client may use (section 3.2.2.3.8). Default: 100. */
  topicAliasMaximum?: number
  /** Levels of a Topic Name or Topic Filter. Default: 128. */
  maximumTopicLevels?: number
  /** Subscriptions of one session. Default: 100,000. */
  maximumSubscriptions?: number
  /** Topics with a retained message. Default: 10,000,000. */
  maximumRetainedMessages?: number
  /** Bytes of retained messages, topics included. Default: 1 GiB. */
  maximumRetainedBytes?: number
  /** Seconds; MQTT 5.0 clients that ask for more get this as Server Keep Alive. Default: 0, no cap. */
  maximumKeepAlive?: number
  /** Seconds that a session is kept after its connection. Default: 4,294,967,295, for ever. */
  maximumSessionExpiryInterval?: number
}

/** The options of a broker. */
export interface MqttBrokerOptions extends TlsOptions, Hooks {
  /** The port of the one listener that there is without `listeners`. Default: 1883, with a certificate 8883. 0 lets the system choose. */
  port?: number | undefined
  /** The host of that listener. Default: the loopback interface; with a certificate, or with `authenticate`, all interfaces. */
  host?: string | undefined
  /** Every way in. Replaces `port` and `host`. */
  listeners?: readonly Listener[] | undefined
  /** Allows plain listeners beyond the loopback interface without an `authenticate` hook. Default: false. */
  allowAnonymous?: boolean | undefined
  /** Where sessions and retained messages survive. Default: in memory. */
  store?: Store | undefined
  /** Any logger with pino's methods. Default: silence. */
  logger?: Logger | undefined
  /** A clock for tests. Default: the machine's. */
  clock?: Clock | undefined
  /** Milliseconds from the acceptance of a connection to its CONNECT, TLS handshake included. Default: 30,000. */
  connectTimeout?: number | undefined
  /** Milliseconds that a hook may take; then the answer is no. Default: 10,000. */
  hookTimeout?: number | undefined
  /** Milliseconds that `stop()` may take to drain. Default: 5,000. */
  stopTimeout?: number | undefined
  /** What a full queue does; MQTT 5.0 publishers get 0x97 for a message that no receiver could keep. Default: 'drop-newest'. */
  queueOverflow?: OverflowPolicy | undefined
  /** Whether QoS 0 messages wait for an offline session too. Default: false. */
  queueQoS0?: boolean | undefined
  /** Lets MQTT 3.1 clients have Client Identifiers longer than 23 characters, or empty ones. Default: false. */
  lenientClientIdentifiers?: boolean | undefined
  /** Whether a session belongs to the user that opened it: others with its Client Identifier get 0x87. Default: true. */
  sessionOwnership?: boolean | undefined
  /** Checks that a payload which claims to be UTF-8 is (MQTT 5.0 section 3.3.2.3.2). Default: false. */
  validatePayloadFormat?: boolean | undefined
  /** The highest QoS that clients may publish with, and are granted (MQTT 5.0 section 3.2.2.3.4). Default: 2. */
  maximumQoS?: QoS | undefined
  /** Whether retained messages are kept (section 3.2.2.3.5). Default: true. */
  retainAvailable?: boolean | undefined
  /** Whether Topic Filters may have wildcards (section 3.2.2.3.11). Default: true. */
  wildcardSubscriptionAvailable?: boolean | undefined
  /** Whether subscriptions may have identifiers (section 3.2.2.3.12). Default: true. */
  subscriptionIdentifiersAvailable?: boolean | undefined
  /** Whether subscriptions may be shared (section 3.2.2.3.13), in every protocol version. Default: true. */
  sharedSubscriptionAvailable?: boolean | undefined
  /** Which member of a shared subscription gets a message. Default: 'round-robin'. */
  sharedSubscriptionStrategy?: SharedStrategy | undefined
  /** What a client that asks for Response Information gets (section 3.2.2.3.15). Default: nothing. */
  responseInformation?: ((client: Client) => string | undefined) | undefined
  limits?: LimitOptions | undefined
}

/** Names and ranges of the numeric limits: minimum, maximum, default. */
const limitTable: Readonly<Record<keyof LimitOptions, readonly [minimum: number, maximum: number, standard: number]>> =
  {
    maximumConnections: [1, Number.POSITIVE_INFINITY, 1_000_000],
    maximumConnectionsPerAddress: [1, Number.POSITIVE_INFINITY, 65_536],
    maximumHalfOpenConnections: [1, Number.POSITIVE_INFINITY, 16_384],
    maximumHalfOpenConnectionsPerAddress: [1, Number.POSITIVE_INFINITY, 12_288],
    maximumPendingAuthentications: [1, Number.POSITIVE_INFINITY, 4096],
    maximumFailedConnectsPerAddress: [1, Number.POSITIVE_INFINITY, 600],
    maximumSessions: [1, Number.POSITIVE_INFINITY, 10_000_000],
    maximumConnectPacketSize: [64, 268_435_460, 65_536],
    maximumPacketSize: [64, 268_435_460, 16 * 1024 * 1024],
    maximumTotalIncomingBytes: [65_536, Number.POSITIVE_INFINITY, 256 * 1024 * 1024],
    receiveMaximum: [1, 65_535, 1024],
    maximumInflight: [1, 32_768, 1024],
    maximumQueuedMessages: [0, Number.POSITIVE_INFINITY, 100_000],
    maximumQueuedBytes: [0, Number.POSITIVE_INFINITY, 64 * 1024 * 1024],
    maximumTotalQueuedMessages: [0, Number.POSITIVE_INFINITY, 10_000_000],
    maximumTotalQueuedBytes: [0, Number.POSITIVE_INFINITY, 1024 * 1024 * 1024],
    maximumOutgoingBytes: [4096, Number.POSITIVE_INFINITY, 8 * 1024 * 1024],
    maximumTotalOutgoingBytes: [65_536, Number.POSITIVE_INFINITY, 256 * 1024 * 1024],
    topicAliasMaximum: [0, 65_535, 100],
    maximumTopicLevels: [1, 65_536, 128],
    maximumSubscriptions: [1, Number.POSITIVE_INFINITY, 100_000],
    maximumRetainedMessages: [0, Number.POSITIVE_INFINITY, 10_000_000],
    maximumRetainedBytes: [0, Number.POSITIVE_INFINITY, 1024 * 1024 * 1024],
    maximumKeepAlive: [0, 65_535, 0],
    maximumSessionExpiryInterval: [0, NEVER_EXPIRES, NEVER_EXPIRES],
  }

type Kind = keyof typeof kindText

const storeMethods: readonly string[] = ['open', 'close', 'commit', 'sessions', 'retained', 'queue', 'held']
const clockMethods: readonly string[] = ['now', 'wallTime', 'every', 'after']
const exposures: readonly unknown[] = ['plain', 'secure', 'local'] satisfies Listener['exposure'][]

/** Every option and what it must be. */
const optionTable: Readonly<Record<keyof MqttBrokerOptions, Kind>> = {
  port: 'port',
  host: 'host',
  listeners: 'listeners',
  allowAnonymous: 'boolean',
  store: 'store',
  logger: 'logger',
  clock: 'clock',
  connectTimeout: 'milliseconds',
  hookTimeout: 'milliseconds',
  stopTimeout: 'milliseconds',
  queueOverflow: 'string',
  queueQoS0: 'boolean',
  lenientClientIdentifiers: 'boolean',
  sessionOwnership: 'boolean',
  validatePayloadFormat: 'boolean',
  maximumQoS: 'any',
  retainAvailable: 'boolean',
  wildcardSubscriptionAvailable: 'boolean',
  subscriptionIdentifiersAvailable: 'boolean',
  sharedSubscriptionAvailable: 'boolean',
  sharedSubscriptionStrategy: 'string',
  responseInformation: 'function',
  authenticationMethods: 'methods',
  limits: 'object',
  authenticate: 'function',
  authorizePublish: 'function',
  authorizeSubscribe: 'function',
  authorizeDelivery: 'function',
  certificate: 'object',
  sslProtocol: 'any',
  checkServerIdentity: 'function',
  SNICallback: 'function',
  ca: 'any',
  crl: 'any',
  requireCertificate: 'boolean',
  ciphers: 'string',
}

const overflowPolicies: readonly string[] = ['drop-newest', 'drop-oldest', 'disconnect'] satisfies OverflowPolicy[]

const strategies: readonly string[] = ['round-robin', 'sticky', 'least-inflight'] satisfies SharedStrategy[]

/**
 * Checks every option once, and returns them as they are now: what is written into the object later changes nothing.
 * Throws GNATMQ_OPTION_UNKNOWN or GNATMQ_OPTION_INVALID.
 */
export function checkOptions(given: MqttBrokerOptions): MqttBrokerOptions {
  const names = Object.keys(optionTable) as (keyof MqttBrokerOptions)[]
  const options = readFields('options', given, names)
  for (const name of names) {
    const value = options[name]
    const kind = optionTable[name]
    if (value !== undefined && !reading(name, () => isKind(value, kind)))
      throw invalidValue(name, kindText[kind], value)
  }
  const { listeners, limits, maximumQoS, queueOverflow, sharedSubscriptionStrategy } = options
  if (queueOverflow !== undefined && !overflowPolicies.includes(queueOverflow as string))
    throw invalidValue('queueOverflow', `one of ${overflowPolicies.join(', ')}`, queueOverflow)
  if (sharedSubscriptionStrategy !== undefined && !strategies.includes(sharedSubscriptionStrategy as string))
    throw invalidValue('sharedSubscriptionStrategy', `one of ${strategies.join(', ')}`, sharedSubscriptionStrategy)
  if (maximumQoS !== undefined && ![0, 1, 2].includes(maximumQoS as number))
    throw invalidValue('maximumQoS', '0, 1 or 2', maximumQoS)
  if (listeners !== undefined) options.listeners = [...(listeners as Listener[])]
  if (limits !== undefined) options.limits = checkLimits(limits)
  return options as MqttBrokerOptions
}

function checkLimits(given: unknown): LimitOptions {
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

const kindText = Object.freeze({
  object: 'an object',
  function: 'a function',
  boolean: 'true or false',
  string: 'a string',
  host: 'a host name or an address',
  milliseconds: 'a positive number of milliseconds, 2,147,483,647 at the most',
  port: 'a whole number from 0 to 65535',
  listeners: 'an array of listeners, such as tcp()',
  store: `a Store, with the methods ${storeMethods.join(', ')}`,
  logger: `a logger with the methods ${loggerMethods.join(', ')}`,
  clock: `a Clock, with the methods ${clockMethods.join(', ')}`,
  methods: 'an object of functions by the name of their Authentication Method',
  any: 'something else',
})

function isKind(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case 'any':
      return true
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'host':
      return typeof value === 'string' && value !== '' && !value.includes('\0')
    case 'milliseconds':
      return typeof value === 'number' && value > 0 && value <= 2_147_483_647
    case 'port':
      return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535
    case 'listeners':
      // Array.from fills the holes of a sparse array
      return Array.isArray(value) && Array.from(value).every(isListener)
    case 'store':
      return hasMethods(value, storeMethods)
    case 'logger':
      return hasMethods(value, loggerMethods)
    case 'clock':
      return hasMethods(value, clockMethods)
    case 'methods':
      return isKind(value, 'object') && Object.entries(value as object).every(isAuthenticationMethod)
    default:
      return typeof value === kind
  }
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}

function isListener(value: unknown): boolean {
  return hasMethods(value, ['listen', 'close']) && exposures.includes((value as Listener).exposure)
}

function isAuthenticationMethod([name, method]: [string, unknown]): boolean {
  return typeof method === 'function' && givenString('the name of an Authentication Method', name) !== ''
}

/** The settings that the rooms work with. `hooks` stays the broker's own object, so that it can be assigned to. */
export function settingsOf(options: MqttBrokerOptions, hooks: Hooks): BrokerSettings {
  const limit = (name: keyof LimitOptions): number => options.limits?.[name] ?? limitTable[name][2]
  return {
    clock: options.clock ?? systemClock,
    logger: options.logger === undefined ? silentLogger : guardedLogger(options.logger),
    store: options.store ?? new MemoryStore(),
    hooks,
    connectTimeoutMs: options.connectTimeout ?? 30_000,
    hookTimeoutMs: options.hookTimeout ?? 10_000,
    stopTimeoutMs: options.stopTimeout ?? 5_000,
    session: {
      maximumInflight: limit('maximumInflight'),
      maximumQueuedMessages: limit('maximumQueuedMessages'),
      maximumQueuedBytes: limit('maximumQueuedBytes'),
      budget: new QueueBudget(limit('maximumTotalQueuedMessages'), limit('maximumTotalQueuedBytes')),
      overflow: options.queueOverflow ?? 'drop-newest',
      queueQoS0: options.queueQoS0 ?? false,
    },
    outbox: {
      maximumOutgoingBytes: limit('maximumOutgoingBytes'),
      maximumTotalOutgoingBytes: limit('maximumTotalOutgoingBytes'),
    },
    maximumConnections: limit('maximumConnections'),
    maximumConnectionsPerAddress: limit('maximumConnectionsPerAddress'),
    maximumHalfOpenConnections: limit('maximumHalfOpenConnections'),
    maximumHalfOpenConnectionsPerAddress: limit('maximumHalfOpenConnectionsPerAddress'),
    maximumPendingAuthentications: limit('maximumPendingAuthentications'),
    maximumFailedConnectsPerAddress: limit('maximumFailedConnectsPerAddress'),
    maximumSessions: limit('maximumSessions'),
    maximumConnectPacketSize: limit('maximumConnectPacketSize'),
    maximumPacketSize: limit('maximumPacketSize'),
    maximumTotalIncomingBytes: limit('maximumTotalIncomingBytes'),
    receiveMaximum: limit('receiveMaximum'),
    topicAliasMaximum: limit('topicAliasMaximum'),
    maximumTopicLevels: limit('maximumTopicLevels'),
    maximumSubscriptions: limit('maximumSubscriptions'),
    maximumRetainedMessages: limit('maximumRetainedMessages'),
    maximumRetainedBytes: limit('maximumRetainedBytes'),
    maximumKeepAlive: limit('maximumKeepAlive'),
    maximumSessionExpiryInterval: limit('maximumSessionExpiryInterval'),
    lenientClientIdentifiers: options.lenientClientIdentifiers ?? false,
    sessionOwnership: options.sessionOwnership ?? true,
    validatePayloadFormat: options.validatePayloadFormat ?? false,
    maximumQoS: options.maximumQoS ?? 2,
    retainAvailable: options.retainAvailable ?? true,
    wildcardSubscriptionAvailable: options.wildcardSubscriptionAvailable ?? true,
    subscriptionIdentifiersAvailable: options.subscriptionIdentifiersAvailable ?? true,
    sharedSubscriptionAvailable: options.sharedSubscriptionAvailable ?? true,
    sharedSubscriptionStrategy: options.sharedSubscriptionStrategy ?? 'round-robin',
    responseInformation: options.responseInformation,
  }
}
