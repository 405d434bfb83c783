import { EventEmitter, once } from 'node:events'
import { type Clock, systemClock } from '../../src/ports/clock'
import type { Channel, ListenerContext, Peer, WaitingPeer } from '../../src/ports/listener'
import { silentLogger } from '../../src/ports/logger'
import { isLoopback } from '../../src/ports/loopback'
import type { TlsOptions } from '../../src/ports/tls'
import type { MqttError } from '../../src/protocol/mqtt-error'
import { resolveTls } from '../../src/security/tls-settings'

/** A broker's side of a listener that notes what it is given. */
export class RecordedContext implements ListenerContext {
  readonly clock: Clock
  readonly logger = silentLogger
  readonly connectTimeoutMs: number
  /** While true, those who ask to be admitted wait in `waiting`. */
  busy = false
  readonly waiting: (() => void)[] = []
  readonly plainHost: 'loopback' | 'all'
  readonly channels: Channel[] = []
  readonly refusals: { error: MqttError; peer: Peer }[] = []
  readonly #events = new EventEmitter()
  readonly #defaults: TlsOptions

  constructor(
    options: { clock?: Clock; connectTimeoutMs?: number; defaults?: TlsOptions; plainHost?: 'loopback' | 'all' } = {},
  ) {
    this.clock = options.clock ?? systemClock
    this.plainHost = options.plainHost ?? 'loopback'
    this.connectTimeoutMs = options.connectTimeoutMs ?? 10_000
    this.#defaults = options.defaults ?? {}
  }

  mayConnectTo = (localAddress: string | undefined): boolean =>
    this.plainHost === 'all' || localAddress === undefined || isLoopback(localAddress)

  resolveTls = (options: TlsOptions) => resolveTls(options, this.#defaults, this.clock)

  admit = (open: () => void): void => {
    if (this.busy) this.waiting.push(open)
    else open()
    this.#events.emit('change')
  }

  /** As soon as so many wait. */
  async waitingPeers(count: number): Promise<void> {
    while (this.waiting.length < count) await once(this.#events, 'change')
  }

  /** The error that the next peers are dropped with, where there is no room. */
  noRoom: MqttError | undefined = undefined
  /** The peers that are counted, and as how many. */
  readonly counted = new Map<WaitingPeer, number>()

  count = (peer: WaitingPeer, places = 1): (() => void) | undefined => {
    if (this.noRoom !== undefined) {
      peer.drop(this.noRoom)
      return undefined
    }
    this.counted.set(peer, places)
    return () => void this.counted.delete(peer)
  }

  accept = (channel: Channel): void => {
    channel.stream.on('error', () => undefined)
    this.channels.push(channel)
    this.#events.emit('change')
  }

  refuse = (error: MqttError, peer: Peer): void => {
    this.refusals.push({ error, peer })
    this.#events.emit('change')
  }

  /** The channel of this number, from 0, as soon as there is one. */
  async channel(number = 0): Promise<Channel> {
    while (this.channels.length <= number) await once(this.#events, 'change')
    return this.channels[number]!
  }

  /** The refusal of this number, from 0, as soon as there is one. */
  async refusal(number = 0): Promise<{ error: MqttError; peer: Peer }> {
    while (this.refusals.length <= number) await once(this.#events, 'change')
    return this.refusals[number]!
  }

  /** Ends what is open. */
  destroy(): void {
    for (const channel of this.channels) channel.stream.destroy()
  }
}
