import type { BrokerSettings } from './broker/wire/settings'
import { checkLimits, type LimitOptions, limitsOf, memoryOf } from './limits'
import { MemoryStore } from './persistence/memory-store'
import type { Client } from './ports/client'
import { type ClientLimits, givenClientLimits } from './ports/client-limits'
import { type Clock, systemClock } from './ports/clock'
import { givenString, invalidValue, readFields, reading } from './ports/given-values'
import type { Hooks } from './ports/hooks'
import type { Listener } from './ports/listener'
import { guardedLogger, type Logger, loggerMethods, silentLogger } from './ports/logger'
import type { Store } from './ports/store'
import type { SslProtocolSetting, TlsIdentity, TlsOptions } from './ports/tls'
import type { QoS } from './protocol/packet'
import type { SharedStrategy } from './routing/shared-group'
import { QueueBudget } from './session/queue-budget'
import type { OverflowPolicy } from './session/session'

/** The options of a broker. `Data` is what its clients carry as `client.data`. */
export interface MqttBrokerOptions<Data = unknown> extends TlsOptions, Hooks<Data> {
  /** The port of the one listener that there is without `listeners`. Default: 1883, with a certificate 8883. 0 lets the system choose. */
  port?: number | undefined
  /** The host of that listener. Default: the loopback interface; with a certificate, or with `authenticate`, all interfaces. */
  host?: string | undefined
  /** Every way in. Replaces `port` and `host`. */
  listeners?: readonly Listener[] | undefined
  /** Allows plain listeners beyond the loopback interface without an `authenticate` hook; ends the warning of a TLS broker that admits every client. Default: false. */
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
  /** Milliseconds between two times that counts are published below `$SYS/broker`. Default: none is. */
  sysInterval?: number | undefined
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
  responseInformation?: ((client: Client<Data>) => string | undefined) | undefined
  limits?: LimitOptions | undefined
  /** What bounds each client, where its identity has no other `limits`. Default: `limits` alone. */
  clientLimits?: ClientLimits | undefined
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
  sysInterval: 'milliseconds',
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
  clientLimits: 'object',
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
  strictAlpn: 'boolean',
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
  const { clientLimits, listeners, limits, maximumQoS, queueOverflow, sharedSubscriptionStrategy } = options
  if (queueOverflow !== undefined && !overflowPolicies.includes(queueOverflow as string))
    throw invalidValue('queueOverflow', `one of ${overflowPolicies.join(', ')}`, queueOverflow)
  if (sharedSubscriptionStrategy !== undefined && !strategies.includes(sharedSubscriptionStrategy as string))
    throw invalidValue('sharedSubscriptionStrategy', `one of ${strategies.join(', ')}`, sharedSubscriptionStrategy)
  if (maximumQoS !== undefined && ![0, 1, 2].includes(maximumQoS as number))
    throw invalidValue('maximumQoS', '0, 1 or 2', maximumQoS)
  if (listeners !== undefined) options.listeners = [...(listeners as Listener[])]
  if (limits !== undefined) options.limits = checkLimits(limits)
  if (clientLimits !== undefined) options.clientLimits = givenClientLimits('clientLimits', clientLimits)
  return options as MqttBrokerOptions
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
  const limits = limitsOf(options.limits)
  const memory = memoryOf(limits.memory, options.limits)
  const store = options.store ?? new MemoryStore()
  return {
    ...limits,
    memory,
    clientLimits: options.clientLimits ?? {},
    clock: options.clock ?? systemClock,
    logger: options.logger === undefined ? silentLogger : guardedLogger(options.logger),
    store,
    hooks,
    connectTimeoutMs: options.connectTimeout ?? 30_000,
    hookTimeoutMs: options.hookTimeout ?? 10_000,
    stopTimeoutMs: options.stopTimeout ?? 5_000,
    sysIntervalMs: options.sysInterval ?? 0,
    allowAnonymous: options.allowAnonymous ?? false,
    session: {
      maximumInflight: limits.maximumInflight,
      maximumInflightBytes: limits.maximumInflightBytes,
      maximumQueuedMessages: limits.maximumQueuedMessages,
      maximumQueuedBytes: limits.maximumQueuedBytes,
      budget: new QueueBudget(
        limits.maximumTotalQueuedMessages,
        limits.maximumTotalQueuedBytes,
        memory.queues,
        store instanceof MemoryStore,
      ),
      overflow: options.queueOverflow ?? 'drop-newest',
      queueQoS0: options.queueQoS0 ?? false,
    },
    outbox: limits,
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

/** The options of TLS, which each listener completes. */
export function tlsOptionsOf({
  certificate,
  sslProtocol,
  ca,
  crl,
  ciphers,
  ...options
}: MqttBrokerOptions): TlsOptions {
  const { checkServerIdentity, SNICallback, requireCertificate, strictAlpn } = options
  return {
    certificate,
    sslProtocol,
    checkServerIdentity,
    SNICallback,
    ca,
    crl,
    requireCertificate,
    ciphers,
    strictAlpn,
  }
}

/** The options that one of the constructors was given. */
export function givenOptions(first: unknown, sslProtocol: unknown, rest: unknown): MqttBrokerOptions {
  return reading('the options', () => {
    if (isTlsIdentity(first)) {
      if (typeof rest !== 'object' || rest === null) throw invalidValue('options', 'an object', rest)
      return { ...rest, certificate: first, sslProtocol: sslProtocol as SslProtocolSetting | undefined }
    }
    if (sslProtocol !== undefined)
      throw invalidValue('certificate', 'a ServerCertificate where sslProtocol comes second', first)
    return first as MqttBrokerOptions
  })
}

function isTlsIdentity(value: unknown): value is TlsIdentity {
  return typeof (value as TlsIdentity | null)?.secureContextOptions === 'function'
}
