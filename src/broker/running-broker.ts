import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../ports/events'
import { causeText } from '../ports/given-values'
import type { Channel, Listener, ListenerAddress, ListenerContext, Peer } from '../ports/listener'
import type { TlsOptions, TlsSettings } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import { ReasonCode } from '../protocol/reason-code'
import { Admission } from './wire/admission'
import { Connection } from './wire/connection'
import type { Core } from './core'
import { createCore, TICK_MS } from './create-core'
import type { BrokerSettings } from './wire/settings'

/** One run of a broker, from start to stop. */
export class RunningBroker {
  readonly core: Core
  readonly addresses: ListenerAddress[] = []
  private readonly listeners: readonly Listener[]
  private readonly context: ListenerContext
  private readonly admission: Admission
  private stopTicking: () => void = () => undefined
  private stopping = false
  private readonly addressCounts = new Map<string, number>()

  constructor(
    settings: BrokerSettings,
    events: EventEmitter<BrokerEvents>,
    listeners: readonly Listener[],
    resolveTls: (options: TlsOptions) => TlsSettings,
  ) {
    this.core = createCore(settings, events)
    this.listeners = listeners
    this.admission = new Admission(settings.clock, this.core.turn)
    this.context = {
      clock: settings.clock,
      logger: settings.logger,
      connectTimeoutMs: settings.connectTimeoutMs,
      plainHost: settings.hooks.authenticate === undefined ? 'loopback' : 'all',
      resolveTls,
      admit: (open) => this.admission.admit(open),
      accept: (channel) => this.accept(channel),
      refuse: (error, peer) => this.refuse(error, peer),
    }
  }

  /** Opens the store, then the listeners. Rejects with MqttError; then nothing stays open. */
  async start(): Promise<void> {
    const { settings, events, restorer, retainedExpiry, wheel } = this.core
    const { clock, store, logger } = settings
    try {
      await store.open()
    } catch (cause) {
      throw asMqttError(cause, 'GNATMQ_STORE_FAILED', 'the store could not be opened')
    }
    try {
      await restorer.load()
      for (const listener of this.listeners) this.addresses.push(await listener.listen(this.context))
    } catch (cause) {
      await Promise.allSettled(this.listeners.slice(0, this.addresses.length).map((listener) => listener.close()))
      await Promise.resolve(store.close()).catch(() => undefined)
      throw asMqttError(cause, 'GNATMQ_LISTEN_FAILED', 'the broker could not start')
    }
    this.stopTicking = clock.every(TICK_MS, () => {
      const now = clock.now()
      wheel.advance(now)
      retainedExpiry.tick(now)
    })
    for (const address of this.addresses) {
      logger.info({ ...address }, 'listening')
      events.emit('listening', { ...address })
    }
  }

  /** Drains: no new work, what is written goes out, then everything is closed. Never takes much longer than `stopTimeout`. */
  async stop(): Promise<void> {
    const { connections, journal, settings } = this.core
    this.stopping = true
    await this.withinTimeout(Promise.allSettled(this.listeners.map((listener) => listener.close())))
    this.admission.flush()
    const error = new MqttError('GNATMQ_SERVER_SHUTTING_DOWN', 'the broker stops')
    for (const connection of [...connections]) {
      // one whose client has closed is left to finish what that client sent
      if (!connection.awaitsBroker) connection.disconnect(ReasonCode.ServerShuttingDown, {}, error)
      else
        connection.end.look(() => {
          if (!connection.end.reached) connection.disconnect(ReasonCode.ServerShuttingDown, {}, error)
        })
    }
    await this.withinTimeout(this.allClosed())
    for (const connection of [...connections]) {
      connection.disconnect(ReasonCode.ServerShuttingDown, {}, error)
      connection.end.lose()
    }
    this.stopTicking()
    await this.withinTimeout(journal.close())
    try {
      await this.withinTimeout(Promise.resolve(settings.store.close()))
    } catch (cause) {
      throw asMqttError(cause, 'GNATMQ_STORE_FAILED', 'the store could not be closed')
    }
  }

  updateTls(options: TlsOptions): void {
    for (const listener of this.listeners) listener.updateTls?.(options)
  }

  private accept(channel: Channel): void {
    if (this.stopping) {
      channel.stream.on('error', () => undefined)
      channel.stream.destroy()
      return
    }
    const { maximumConnectionsPerAddress } = this.core.settings
    // an IPv4 peer looks like ::ffff:a.b.c.d on a socket for both
    const address = channel.peer.remoteAddress?.replace(/^::ffff:/, '')
    if (maximumConnectionsPerAddress === Number.POSITIVE_INFINITY || address === undefined) {
      new Connection(this.core, channel)
    } else if (this.count(channel, address, maximumConnectionsPerAddress)) {
      // one whose stream has closed still counts while what it sent before is worked off
      new Connection(this.core, channel).whenClosed(() => this.uncount(address))
    }
  }

  /** False if the address has as many connections as it may. */
  private count(channel: Channel, address: string, maximum: number): boolean {
    const count = this.addressCounts.get(address) ?? 0
    if (count >= maximum) {
      channel.stream.on('error', () => undefined)
      channel.stream.destroy()
      this.refuse(
        new MqttError('GNATMQ_SERVER_BUSY', `${address} has ${count} connections, and more are not allowed`),
        channel.peer,
      )
      return false
    }
    this.addressCounts.set(address, count + 1)
    return true
  }

  private uncount(address: string): void {
    const left = this.addressCounts.get(address)! - 1
    if (left === 0) this.addressCounts.delete(address)
    else this.addressCounts.set(address, left)
  }

  private refuse(error: MqttError, peer: Peer): void {
    const { events, settings } = this.core
    settings.logger.warn({ err: error, remoteAddress: peer.remoteAddress }, error.message)
    events.emit('clientError', error, { ...peer }, undefined)
  }

  private allClosed(): Promise<void> {
    const { connections } = this.core
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
      const timer = setTimeout(() => resolve(undefined), this.core.settings.stopTimeoutMs)
      promise.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }
}

function asMqttError(cause: unknown, code: 'GNATMQ_STORE_FAILED' | 'GNATMQ_LISTEN_FAILED', text: string): MqttError {
  if (cause instanceof MqttError) return cause
  return new MqttError(code, `${text}: ${causeText(cause)}`, { cause })
}
