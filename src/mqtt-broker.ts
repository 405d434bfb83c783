import type { Duplex } from 'node:stream'
import { RunningBroker } from './broker/broker'
import type { MessageHandler } from './broker/delivery/handled-messages'
import { LocalSubscriber } from './broker/delivery/local-subscription'
import { givenStreamOptions, MessageStream, type MessageStreamOptions } from './broker/delivery/message-stream'
import { givenMessage, type PublishOptions } from './broker/delivery/publish-options'
import { type RequestHost, type RequestOptions, Requests, type Responder } from './broker/delivery/requests'
import { type EndSubscription, SessionSubscriptions } from './broker/delivery/session-subscriptions'
import {
  type ApplicationSubscribeOptions,
  givenFilter,
  givenSubscribeOptions,
  type SubscribeOptions,
} from './broker/delivery/subscribe-options'
import { ApplicationFaults } from './broker/hooks/application-faults'
import { InspectableBroker } from './broker/inspection/inspectable-broker'
import type { Inspection } from './broker/inspection/inspection'
import { noStatistics } from './broker/statistics'
import type { BrokerSettings } from './broker/wire/settings'
import { checkOptions, givenOptions, type MqttBrokerOptions, settingsOf, tlsOptionsOf } from './options'
import type { ApplicationMessage } from './ports/application-message'
import type { Client } from './ports/client'
import { givenFunction, readFields } from './ports/given-values'
import { addedHooks, authenticates, type Hooks } from './ports/hooks'
import type { Listener, ListenerAddress } from './ports/listener'
import { anonymousText, checkExposure, checkStillGuarded } from './ports/loopback'
import { givenTarget, type RevocationTarget, type Revoked } from './ports/revocation'
import type { BrokerStatistics } from './ports/statistics'
import type { SslProtocolSetting, TlsIdentity, TlsOptions } from './ports/tls'
import { MqttError } from './protocol/mqtt-error'
import { MqttSslProtocols, protocolRange } from './security/ssl-protocol'
import { resolveTls } from './security/tls-settings'
import type { ApplicationServer } from './transport/attached-websocket'
import { inProcess } from './transport/in-process'
import { tcp } from './transport/tcp'
import { tls } from './transport/tls'
import { type AttachOptions, attachNames, webSocket } from './transport/websocket'

/** User name and password to yes or no, as GnatMQ has it. */
export type UserAuth = (username: string | undefined, password: string | undefined) => boolean | Promise<boolean>

export type BrokerState = 'stopped' | 'starting' | 'running' | 'stopping'

/**
 * An MQTT broker inside this process. Three ways to make one:
 * `new MqttBroker()` listens on TCP port 1883 of the loopback interface; `new MqttBroker(certificate, sslProtocol)` on
 * TLS port 8883 and nothing else; `new MqttBroker(options)` as the options say.
 * `Data` is what its clients carry as `client.data`. Throws GNATMQ_OPTION_UNKNOWN, GNATMQ_OPTION_INVALID or
 * GNATMQ_SSL_PROTOCOL_UNSUPPORTED.
 */
export class MqttBroker<Data = unknown> extends InspectableBroker<Data> implements AsyncDisposable {
  private options: MqttBrokerOptions
  private readonly hooks: Hooks
  private readonly settings: BrokerSettings
  private readonly locals = new Set<LocalSubscriber>()
  private readonly durables: SessionSubscriptions
  private readonly requests: Requests
  private readonly ownListener = inProcess()
  private readonly streams = new Set<MessageStream>()
  private readonly attached: Listener[] = []
  protected override readonly faults: ApplicationFaults
  private running: RunningBroker | null = null
  private starting: Promise<void> | null = null
  private stopping: Promise<void> | null = null
  private tlsOptions: TlsOptions
  private assignedUserAuth: UserAuth | null = null

  constructor(options?: MqttBrokerOptions<Data>)
  constructor(certificate: TlsIdentity, sslProtocol: SslProtocolSetting, options?: MqttBrokerOptions<Data>)
  constructor(
    first: MqttBrokerOptions<Data> | TlsIdentity = {},
    sslProtocol?: SslProtocolSetting,
    rest: MqttBrokerOptions<Data> = {},
  ) {
    super()
    const options = checkOptions(givenOptions(first, sslProtocol, rest))
    if (options.sslProtocol !== undefined && options.sslProtocol !== MqttSslProtocols.None)
      protocolRange(options.sslProtocol, options.ciphers)
    this.options = options
    const { authenticate, authenticationMethods, authorizePublish, authorizeSubscribe, authorizeDelivery } = options
    this.hooks = { authenticate, authenticationMethods, authorizePublish, authorizeSubscribe, authorizeDelivery }
    this.settings = settingsOf(options, this.hooks)
    this.faults = new ApplicationFaults(this.settings.logger, options.logger === undefined)
    const { clock, logger } = this.settings
    const mayPublish: RequestHost['mayPublish'] = async (...sent) => (await this.running?.mayPublish(...sent)) ?? false
    const host = { publish: this.publish.bind(this), subscribe: this.subscribe.bind(this), mayPublish }
    this.requests = new Requests(host as RequestHost, clock, this.faults)
    this.durables = new SessionSubscriptions({ clock, logger, faults: this.faults, events: this as MqttBroker })
    this.tlsOptions = tlsOptionsOf(options)
  }

  /** Makes a broker and starts it. */
  static async start<Data = unknown>(options: MqttBrokerOptions<Data> = {}): Promise<MqttBroker<Data>> {
    const broker = new MqttBroker<Data>(options)
    await broker.start()
    return broker
  }

  get state(): BrokerState {
    if (this.stopping !== null) return 'stopping'
    if (this.starting !== null) return 'starting'
    return this.running === null ? 'stopped' : 'running'
  }

  /** Where the broker listens, one for each listener; empty while it does not run. */
  get addresses(): readonly ListenerAddress[] {
    return this.running?.addresses.map((address) => ({ ...address })) ?? []
  }

  /** The port of the first listener. Throws GNATMQ_NOT_RUNNING. */
  get port(): number {
    const address = this.addresses[0]
    if (address === undefined) throw notRunning('port')
    return address.port
  }

  /** The clients that are connected now. */
  get clients(): ReadonlyMap<string, Client<Data>> {
    const clients = new Map<string, Client<Data>>()
    for (const connection of this.running?.registry.connected ?? [])
      if (connection.announced) clients.set(connection.client!.clientId, connection.client as Client as Client<Data>)
    return clients
  }

  /** What there is now, and what has happened since the start. All 0 while the broker does not run. */
  get statistics(): BrokerStatistics {
    return this.running === null ? noStatistics() : this.running.statistics
  }

  /**
   * Adds hooks that the options leave open, before the broker starts: for frameworks that make their services after the broker. Throws
   * GNATMQ_ALREADY_STARTED while the broker runs, and GNATMQ_OPTION_INVALID or GNATMQ_OPTION_UNKNOWN for what is no hook, or a hook that
   * there is already.
   */
  use(hooks: Hooks): void {
    if (this.state !== 'stopped')
      throw new MqttError('GNATMQ_ALREADY_STARTED', 'hooks are added while the broker is stopped')
    const added = addedHooks(this.hooks, hooks)
    this.options = checkOptions({ ...this.options, ...added })
    Object.assign(this.hooks, added)
  }

  /**
   * GnatMQ's UserAuth: assign it instead of giving an `authenticate` hook; null takes it away. Throws
   * GNATMQ_ANONYMOUS_LISTENER where that would admit every client while the broker runs.
   */
  get userAuth(): UserAuth | null {
    return this.assignedUserAuth
  }

  set userAuth(userAuth: UserAuth | null) {
    if (userAuth !== null) givenFunction('userAuth', userAuth)
    const { allowAnonymous, authenticate } = this.options
    const isKept = authenticate !== undefined || this.hooks.authenticationMethods !== undefined
    if (userAuth === null && !isKept && allowAnonymous !== true) checkStillGuarded(this.addresses)
    this.assignedUserAuth = userAuth
    this.hooks.authenticate =
      userAuth === null
        ? this.options.authenticate
        : (_client, { username, password }) => userAuth(username, password?.toString('utf8'))
  }

  /**
   * Opens the store and the listeners. Rejects with MqttError, after which nothing stays open: GNATMQ_ALREADY_STARTED,
   * GNATMQ_PORT_IN_USE, GNATMQ_LISTEN_FAILED, GNATMQ_ANONYMOUS_LISTENER, GNATMQ_STORE_FAILED, GNATMQ_CERTIFICATE_*.
   */
  async start(): Promise<void> {
    if (this.stopping !== null) await this.stopping
    if (this.running !== null || this.starting !== null)
      throw new MqttError('GNATMQ_ALREADY_STARTED', 'the broker is already started')
    this.starting = this.run()
    try {
      await this.starting
    } finally {
      this.starting = null
    }
  }

  private async run(): Promise<void> {
    const listeners = [...(this.options.listeners ?? [this.standardListener()]), ...this.attached]
    if (this.isOpenToAll) for (const listener of listeners) checkExposure(listener)
    const running = new RunningBroker(this.settings, this, listeners, (own) =>
      resolveTls(own, this.tlsOptions, this.settings.clock),
    )
    for (const local of this.locals) running.router.subscribeLocal(local)
    await running.start(() => this.durables.openAll(running))
    await this.ownListener.listen(running.listenerContext)
    this.running = running
    if (this.isOpenToAll)
      for (const address of running.openToAll) this.faults.warn({ ...address }, anonymousText(address))
  }

  private standardListener(): Listener {
    const { port, host, certificate, sslProtocol } = this.options
    if (certificate !== undefined && sslProtocol !== MqttSslProtocols.None) return tls({ port, host })
    return tcp({ port, host })
  }

  private get isOpenToAll(): boolean {
    return !authenticates(this.hooks) && this.options.allowAnonymous !== true
  }

  /**
   * Stops: takes no new work, writes out what there is, says DISCONNECT 0x8B, closes every connection and the store.
   * Takes no longer than a few times `stopTimeout`. Harmless when the broker does not run; `start()` works again after it.
   */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown().finally(() => {
      this.stopping = null
    })
    return this.stopping
  }

  private async shutDown(): Promise<void> {
    await this.starting?.catch(() => undefined)
    const { running } = this
    this.durables.pauseAll()
    try {
      await this.ownListener.close()
      await running?.stop()
    } finally {
      for (const stream of this.streams) stream.close()
      this.running = null
      if (running !== null) this.emit('closed')
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /**
   * Publishes a message of the application's own; no hook is asked. Resolves once it is routed and, where sessions or
   * retained messages are kept, committed. Rejects with GNATMQ_NOT_RUNNING or GNATMQ_STORE_FAILED, and for a message that
   * MQTT cannot carry with GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN, GNATMQ_TOPIC_NAME_INVALID,
   * GNATMQ_PAYLOAD_FORMAT_INVALID, GNATMQ_PACKET_TOO_LARGE or GNATMQ_RETAIN_NOT_SUPPORTED; then nothing is sent.
   */
  async publish(options: PublishOptions): Promise<void> {
    const message = givenMessage(options, this.settings)
    const running = this.runningOrThrow('publish')
    const committed = running.publisher.publish(message, null)
    if (committed === undefined) return
    try {
      await committed
    } catch (cause) {
      throw new MqttError('GNATMQ_STORE_FAILED', 'the store did not keep the message', { cause })
    }
  }

  /**
   * Takes rights away. `{ clientId }` or `{ username }` ends connections, with Reason Code 0x87, and sessions with all that waits in them;
   * Wills are not published. `{ filter }` ends subscriptions whose filter it covers, and drops what waits because of them; with
   * `clientId` or `username` only theirs. Resolves once nothing more of it can be delivered and the store has kept that. Rejects with
   * GNATMQ_NOT_RUNNING, GNATMQ_STORE_FAILED, GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN or GNATMQ_TOPIC_FILTER_INVALID.
   */
  async revoke(target: RevocationTarget): Promise<Revoked> {
    const given = givenTarget(target)
    return this.runningOrThrow('revoke').revoker.revoke(given)
  }

  /**
   * Calls `onMessage` for each message of a Topic Filter, retained ones first. Works before `start()` and across
   * restarts. What `onMessage` throws or rejects with goes to the logger. Resolves to a function that ends it. Rejects
   * with GNATMQ_TOPIC_FILTER_INVALID or GNATMQ_OPTION_INVALID.
   */
  subscribe(filter: string, onMessage: (message: ApplicationMessage) => unknown): Promise<() => void>
  /**
   * The same with options. With QoS 1 or 2 the promise of `onMessage` is the acknowledgement: what it rejects comes again. Resolves once
   * the broker has granted it, before `start()` at once. Rejects besides with GNATMQ_QUOTA_EXCEEDED or GNATMQ_CONNECTION_LOST where the
   * broker refuses it. The function that ends it throws GNATMQ_NOT_RUNNING where it is to forget a session and there is no broker to do so.
   */
  subscribe(
    filter: string,
    options: ApplicationSubscribeOptions,
    onMessage: (message: ApplicationMessage) => unknown,
  ): Promise<EndSubscription>
  async subscribe(filter: unknown, first: unknown, second?: unknown): Promise<EndSubscription> {
    const isPlain = typeof first === 'function' || second === undefined
    const onMessage = givenFunction('onMessage', isPlain ? first : second) as MessageHandler
    const options = givenSubscribeOptions(isPlain ? {} : first)
    const name = givenFilter(filter, this.settings.maximumTopicLevels)
    const { signal } = options
    if (isAborted(signal)) return () => undefined
    const end = await this.begin(name, options, onMessage)
    const onAbort = (): void => end()
    signal?.addEventListener('abort', onAbort)
    if (isAborted(signal)) end()
    return (how) => {
      end(how)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  private async begin(filter: string, options: SubscribeOptions, onMessage: MessageHandler): Promise<EndSubscription> {
    const { group, noLocal, qos } = options
    if (qos > 0 || group !== undefined || noLocal)
      return this.durables.begin(filter, options, onMessage, this.stopping === null ? this.running : null)
    const local = this.addLocal(filter, onMessage)
    return () => this.removeLocal(local)
  }

  /** Publishes a request, and resolves to its response. Rejects with GNATMQ_REQUEST_FAILED, or as `publish` does. */
  request(
    topic: string,
    payload?: PublishOptions['payload'],
    options: RequestOptions = {},
  ): Promise<ApplicationMessage> {
    return this.requests.request(topic, payload, options)
  }

  /** Answers requests with what `responder` returns. Resolves to a function that ends it. Rejects as `subscribe` does. */
  respond(filter: string, responder: Responder): Promise<() => void> {
    return this.requests.respond(filter, responder)
  }

  /**
   * Opens a connection to this broker and gives the client's end of it, as MQTT.js takes it: `new MqttClient(() => broker.connect(), {})`.
   * It is a client like any other: hooks are asked. While the broker does not run, the stream is destroyed with GNATMQ_NOT_RUNNING.
   */
  connect(): Duplex {
    return this.ownListener.connect()
  }

  /**
   * The messages of a Topic Filter from now on, for a `for await` loop, which ends with `stop()` once it has had what
   * arrived before. Throws GNATMQ_TOPIC_FILTER_INVALID, GNATMQ_OPTION_INVALID or GNATMQ_OPTION_UNKNOWN.
   */
  messages(filter: string, options: MessageStreamOptions = {}): AsyncIterableIterator<ApplicationMessage> {
    const given = givenStreamOptions(options)
    const stream = new MessageStream(given, () => {
      this.streams.delete(stream)
      this.removeLocal(local)
    })
    const local = this.addLocal(givenFilter(filter, this.settings.maximumTopicLevels), (message) =>
      stream.push(message),
    )
    if (given.signal?.aborted === true) this.removeLocal(local)
    else this.streams.add(stream)
    return stream
  }

  private addLocal(filter: string, onMessage: MessageHandler): LocalSubscriber {
    const local = new LocalSubscriber(filter, onMessage, this.faults)
    this.locals.add(local)
    const { running } = this
    if (running !== null) {
      running.router.subscribeLocal(local)
      const now = this.settings.clock.now()
      for (const message of running.retained.matching(filter))
        if (message.expiresAt === 0 || message.expiresAt > now) local.deliver(message)
    }
    return local
  }

  private removeLocal(local: LocalSubscriber): void {
    if (this.locals.delete(local)) this.running?.router.unsubscribeLocal(local)
  }

  /**
   * Serves MQTT over WebSocket on an HTTP or HTTPS server of the application, beside the listeners of the options: at once while the broker
   * runs, else from its start on. The server may begin to listen later. The rules are those of `webSocket({ server })`. Rejects with
   * GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN, GNATMQ_ANONYMOUS_LISTENER or GNATMQ_LISTEN_FAILED.
   */
  async attach(server: ApplicationServer, options: AttachOptions = {}): Promise<void> {
    const given = readFields('attach', options, attachNames) as AttachOptions
    const listener = webSocket({ ...given, server })
    if (this.isOpenToAll) checkExposure(listener)
    await this.starting?.catch(() => undefined)
    await this.stopping
    await this.running?.attach(listener)
    this.attached.push(listener)
  }

  /** Serves another certificate to new connections; those that are open stay. Throws what a wrong certificate throws. */
  updateCertificate(certificate: TlsIdentity): void {
    const tlsOptions = { ...this.tlsOptions, certificate }
    resolveTls({}, tlsOptions, this.settings.clock)
    this.tlsOptions = tlsOptions
    this.running?.updateTls({ certificate })
  }

  protected inspection(operation: string): Inspection {
    return this.runningOrThrow(operation).inspection
  }

  private runningOrThrow(operation: string): RunningBroker {
    if (this.running === null || this.stopping !== null) throw notRunning(operation)
    return this.running
  }
}

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

function notRunning(operation: string): MqttError {
  return new MqttError('GNATMQ_NOT_RUNNING', `${operation} of a broker that does not run: start() it first`)
}
