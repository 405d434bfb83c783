import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../ports/events'
import { causeText } from '../ports/given-values'
import { authenticates } from '../ports/hooks'
import type { Channel, Listener, ListenerAddress, ListenerContext, Peer, WaitingPeer } from '../ports/listener'
import { isLoopback } from '../ports/loopback'
import type { BrokerStatistics } from '../ports/statistics'
import type { TlsOptions, TlsSettings } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import type { WillPacket } from '../protocol/packet'
import { ReasonCode } from '../protocol/reason-code'
import { isSystemTopic } from '../protocol/topic'
import { compose, TICK_MS } from './composition'
import { isAllowed } from './hooks/answers'
import type { GuardedEvents } from './hooks/guarded-events'
import { willView } from './hooks/publish-view'
import { statisticsOf } from './statistics'
import type { AddressCounts } from './wire/address-counts'
import { Admission } from './wire/admission'
import { Connection } from './wire/connection'
import type { ConnectionContext } from './wire/connection-context'
import type { HalfOpen } from './wire/half-open'
import type { BrokerSettings } from './wire/settings'

type Parts = ReturnType<typeof compose>

/** One run of a broker, from start to stop. */
export class RunningBroker {
  readonly addresses: ListenerAddress[] = []
  /** The TLS listeners that clients of other machines reach without a certificate. */
  readonly openToAll: ListenerAddress[] = []
  /** Every connection, before and after its CONNECT. */
  readonly connections = new Set<Connection>()
  readonly registry: Parts['registry']
  readonly retained: Parts['retained']
  readonly router: Parts['router']
  readonly turn: Parts['turn']
  readonly publisher: Parts['publisher']
  readonly revoker: Parts['revoker']
  readonly inspection: Parts['inspection']
  private readonly settings: BrokerSettings
  private readonly events: EventEmitter<BrokerEvents>
  private readonly listeners: Listener[]
  private readonly authorization: Parts['authorization']
  private readonly wide: Parts['wide']
  private readonly journal: Parts['journal']
  private readonly stepEvents: Parts['stepEvents']
  private readonly tick: (now: number) => void
  private readonly restore: () => Promise<void>
  private readonly connectionContext: ConnectionContext<Connection>
  readonly listenerContext: ListenerContext
  private readonly admission: Admission
  private readonly addressCounts: AddressCounts
  private readonly halfOpen: HalfOpen
  private stopTicking: () => void = () => undefined
  private stopping = false

  constructor(
    settings: BrokerSettings,
    events: GuardedEvents<unknown>,
    listeners: readonly Listener[],
    resolveTls: (options: TlsOptions) => TlsSettings,
  ) {
    const { clock, connectTimeoutMs } = settings
    this.settings = settings
    this.events = events
    this.listeners = [...listeners]
    // a former run's sessions are gone, or come back with the store
    settings.session.budget.reset()
    for (const budget of Object.values(settings.memory)) budget.reset()
    const { connections } = this
    const parts = compose({ settings, events, connections, statistics: () => this.statistics })
    const { addressCounts, halfOpen, packets, retainedExpiry, retainedSender, turn, wheel, wills } = parts
    this.registry = parts.registry
    this.retained = parts.retained
    this.router = parts.router
    this.turn = turn
    this.publisher = parts.publisher
    this.authorization = parts.authorization
    this.revoker = parts.revoker
    this.inspection = parts.inspection
    this.wide = parts.wide
    this.journal = parts.journal
    this.stepEvents = parts.stepEvents
    const isOver = (units: number): boolean => turn.slice.isOverAfter(units)
    const dueWork = { isWaiting: false, takeTurn: (): void => advance(clock.now()) }
    // a great many deadlines are due together where their clients went together
    const advance = (now: number): void => {
      dueWork.isWaiting = !wheel.advance(now, isOver)
      if (dueWork.isWaiting) turn.rota.add(dueWork)
    }
    this.tick = (now) => {
      turn.slice.begin(now)
      if (!dueWork.isWaiting) advance(now)
      retainedExpiry.tick(now)
    }
    this.restore = () =>
      parts.restorer.load({
        will: (session, will, disconnectedAt) => wills.restore(session, will, disconnectedAt),
        replay: (subscription, after) => retainedSender.restore(subscription, after),
        progress: (progress) => events.emit('restoring', progress),
      })
    this.halfOpen = halfOpen
    this.admission = new Admission({ clock, turn, halfOpen, patienceMs: connectTimeoutMs })
    this.addressCounts = addressCounts
    this.connectionContext = { ...connectionSettings(settings), turn, wheel, packets }
    this.listenerContext = this.contextOf(resolveTls)
  }

  private contextOf(resolveTls: (options: TlsOptions) => TlsSettings): ListenerContext {
    const { allowAnonymous, clock, connectTimeoutMs, hooks, logger } = this.settings
    return {
      clock,
      logger,
      connectTimeoutMs,
      plainHost: authenticates(hooks) ? 'all' : 'loopback',
      mayConnectTo: (localAddress) =>
        localAddress === undefined || isLoopback(localAddress) || allowAnonymous || authenticates(hooks),
      resolveTls,
      admit: (open, peer) => this.admission.admit(open, peer),
      count: (peer, places) => this.count(peer, places),
      accept: (channel) => this.accept(channel),
      refuse: (error, peer) => this.refuse(error, peer),
    }
  }

  /** Opens the store, then the listeners; calls `beforeListening` in between. Rejects with MqttError; then nothing stays open. */
  async start(beforeListening: () => Promise<void> = async () => undefined): Promise<void> {
    const { clock, store } = this.settings
    try {
      await store.open()
    } catch (cause) {
      throw asMqttError(cause, 'GNATMQ_STORE_FAILED', 'the store could not be opened')
    }
    try {
      await this.restore()
      this.tellOfRetained()
      this.inspection.begin()
      this.stopTicking = clock.every(TICK_MS, () => this.beat(clock.now()))
      await beforeListening()
      for (const listener of this.listeners) this.addresses.push(await this.listen(listener))
    } catch (cause) {
      await Promise.allSettled(this.listeners.slice(0, this.addresses.length).map((listener) => listener.close()))
      this.endEarly()
      await Promise.resolve(store.close()).catch(() => undefined)
      throw asMqttError(cause, 'GNATMQ_LISTEN_FAILED', 'the broker could not start')
    }
    for (const address of this.addresses) this.announce(address)
  }

  private beat(now: number): void {
    this.turn.counters.measured?.tick(now, TICK_MS)
    this.tick(now)
  }

  private tellOfRetained(): void {
    const { retained, stepEvents } = this
    retained.onChange = (topic, message) => {
      if (!isSystemTopic(topic) && stepEvents.listens('retainedChanged'))
        stepEvents.tell('retainedChanged', topic, message)
    }
  }

  /** Notes whether clients of other machines reach the listener and need no certificate. */
  private async listen(listener: Listener): Promise<ListenerAddress> {
    let asksForCertificate = false
    const resolveTls = (options: TlsOptions): TlsSettings => {
      const settings = this.listenerContext.resolveTls(options)
      asksForCertificate = settings.requiresCertificate
      return settings
    }
    const address = await listener.listen({ ...this.listenerContext, resolveTls })
    if (listener.exposure === 'secure' && !asksForCertificate && !isLoopback(address.host)) this.openToAll.push(address)
    return address
  }

  /** Drains: no new work, what is written goes out, then everything is closed. Never takes much longer than `stopTimeout`. */
  async stop(): Promise<void> {
    const { connections, journal, settings, wide } = this
    this.stopping = true
    await this.withinTimeout(Promise.allSettled(this.listeners.map((listener) => listener.close())))
    this.admission.flush()
    await this.withinTimeout(wide.done())
    const error = new MqttError('GNATMQ_SERVER_SHUTTING_DOWN', 'the broker stops')
    for (const connection of [...connections]) this.disconnect(connection, error)
    await this.withinTimeout(this.allClosed())
    for (const connection of [...connections]) {
      connection.disconnect(ReasonCode.ServerShuttingDown, {}, error)
      connection.end.lose()
    }
    this.stopTicking()
    this.inspection.close()
    wide.stop()
    this.turn.stop()
    await this.withinTimeout(journal.close())
    try {
      await this.withinTimeout(Promise.resolve(settings.store.close()))
    } catch (cause) {
      throw asMqttError(cause, 'GNATMQ_STORE_FAILED', 'the store could not be closed')
    }
  }

  /** A connection whose client has closed is left to finish what that client sent. */
  private disconnect(connection: Connection, error: MqttError): void {
    if (!connection.awaitsBroker) {
      connection.disconnect(ReasonCode.ServerShuttingDown, {}, error)
      return
    }
    connection.end.look(() => {
      if (!connection.end.reached) connection.disconnect(ReasonCode.ServerShuttingDown, {}, error)
    })
  }

  get statistics(): BrokerStatistics {
    const { memory, session } = this.settings
    return statisticsOf(this, session.budget, memory)
  }

  /** Opens one more listener. Rejects with MqttError; then it stays closed. */
  async attach(listener: Listener): Promise<void> {
    const address = await this.listen(listener)
    if (this.stopping) {
      await listener.close()
      throw new MqttError('GNATMQ_NOT_RUNNING', 'the broker stopped while it was to listen')
    }
    this.listeners.push(listener)
    this.addresses.push(address)
    this.announce(address)
  }

  private announce(address: ListenerAddress): void {
    this.settings.logger.info({ ...address }, 'listening')
    this.events.emit('listening', { ...address })
  }

  updateTls(options: TlsOptions): void {
    for (const listener of this.listeners) listener.updateTls?.(options)
  }

  /** What was connected before the listeners could not be opened. */
  private endEarly(): void {
    this.stopping = true
    for (const connection of [...this.connections]) connection.end.lose()
    this.stopTicking()
    this.inspection.close()
    this.turn.stop()
  }

  /** Whether a connected client may publish this; where it is not connected, it may not. */
  async mayPublish(clientId: string, packet: WillPacket): Promise<boolean> {
    const client = this.registry.connection(clientId)?.client
    return client != null && isAllowed(await this.authorization.publish(client, willView(packet)))
  }

  /** The Topic Filters that a session has. */
  filtersOf(clientId: string): string[] {
    const session = this.registry.get(clientId)
    return session === undefined ? [] : [...this.router.subscriptionsOf(session)].map(({ filter }) => filter)
  }

  accept(channel: Channel): void {
    const { remoteAddress } = channel.peer
    const error = this.stopping ? undefined : this.addressCounts.refusal(remoteAddress)
    if (this.stopping || error !== undefined) {
      channel.stream.on('error', () => undefined)
      channel.stream.destroy()
      if (error !== undefined) this.refuse(error, channel.peer)
      return
    }
    this.addressCounts.add(remoteAddress)
    this.turn.counters.acceptedConnections++
    const connection = new Connection(this.connectionContext, channel)
    this.connections.add(connection)
    this.halfOpen.enter(connection, remoteAddress, (error) => this.drop(connection, error))
  }

  /** At once: a peer that is in the way of others is not waited for. */
  private drop(connection: Connection, error: MqttError): void {
    connection.fail(error)
    connection.end.lose()
  }

  private count(peer: WaitingPeer, places?: number): (() => void) | undefined {
    const { halfOpen } = this
    const isIn = halfOpen.enter(peer, peer.remoteAddress, (error) => peer.drop(error), places)
    return isIn ? () => halfOpen.leave(peer) : undefined
  }

  private refuse(error: MqttError, peer: Peer): void {
    this.turn.counters.refuseConnection(error.code)
    this.settings.logger.warn({ err: error, remoteAddress: peer.remoteAddress }, error.message)
    const details = { clientId: undefined, username: undefined, topic: undefined, path: peer.path }
    this.events.emit('clientError', error, { ...peer }, undefined, details)
  }

  private allClosed(): Promise<void> {
    const { connections } = this
    return new Promise((resolve) => {
      const check = (): void => {
        if (connections.size === 0) resolve()
      }
      for (const connection of connections) connection.whenClosed(() => setImmediate(check))
      check()
    })
  }

  private withinTimeout<T>(promise: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(undefined), this.settings.stopTimeoutMs)
      promise.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }
}

function connectionSettings(settings: BrokerSettings) {
  const { clock, connectTimeoutMs, logger, maximumConnectPacketSize, maximumPacketSize, outbox } = settings
  return { clock, connectTimeoutMs, logger, maximumConnectPacketSize, maximumPacketSize, outbox }
}

function asMqttError(cause: unknown, code: 'GNATMQ_STORE_FAILED' | 'GNATMQ_LISTEN_FAILED', text: string): MqttError {
  if (cause instanceof MqttError) return cause
  return new MqttError(code, `${text}: ${causeText(cause)}`, { cause })
}
