import { readFields } from '../ports/given-values'
import type { Listener, ListenerAddress, ListenerContext } from '../ports/listener'
import { type TlsOptions, tlsOptionNames } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import { type NetworkOptions, NetworkServers, networkNames, networkOptions } from './network-listener'
import { StreamChannel } from './socket-channel'
import { TlsHandshakes } from './tls-handshake'

/** Options of a TLS listener. What they leave open comes from the broker's options. */
export interface TlsListenerOptions extends TlsOptions {
  /** Default: 8883. 0 lets the system choose. */
  port?: number | undefined
  /** Default: all interfaces, IPv4 and IPv6. */
  host?: string | undefined
  /** Connections that the kernel holds until they are accepted. Default: 4096. */
  backlog?: number | undefined
}

/** MQTT over TLS. Throws GNATMQ_OPTION_INVALID; the TLS options themselves are checked when the broker starts. */
export function tls(options: TlsListenerOptions = {}): Listener {
  const { port, host, backlog, ...tlsOptions } = readFields('tls', options, [...networkNames, ...tlsOptionNames])
  return new TlsListener(networkOptions('tls', { port, host, backlog }, 8883), tlsOptions as TlsOptions)
}

class TlsListener implements Listener {
  readonly exposure = 'secure'
  readonly host: string | undefined
  readonly #options: NetworkOptions
  #tlsOptions: TlsOptions
  #running: { context: ListenerContext; servers: NetworkServers; handshakes: TlsHandshakes } | undefined

  constructor(options: NetworkOptions, tlsOptions: TlsOptions) {
    this.host = options.host
    this.#options = options
    this.#tlsOptions = tlsOptions
  }

  async listen(context: ListenerContext): Promise<ListenerAddress> {
    if (this.#running !== undefined) {
      throw new MqttError('GNATMQ_LISTEN_FAILED', 'this listener already listens: give every broker its own tls()')
    }
    const handshakes = new TlsHandshakes(context, context.resolveTls(this.#tlsOptions), (socket, peer, acceptedAt) =>
      context.accept(new StreamChannel(socket, peer, acceptedAt)),
    )
    const servers = new NetworkServers(context, handshakes)
    const running = { context, servers, handshakes }
    this.#running = running
    try {
      const { address, port } = await servers.listen(this.#options)
      return { protocol: 'mqtts', host: address, port }
    } catch (error) {
      if (this.#running === running) this.#running = undefined
      throw error
    }
  }

  async close(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    running?.servers.close()
    running?.handshakes.close()
  }

  /** The options that are given replace the former ones; the others stay. On an error, all stay. */
  updateTls(options: TlsOptions): void {
    const replaced = Object.entries(options).filter(([, value]) => value !== undefined)
    const merged: TlsOptions = { ...this.#tlsOptions, ...Object.fromEntries(replaced) }
    const running = this.#running
    running?.handshakes.update(running.context.resolveTls(merged))
    this.#tlsOptions = merged
  }
}
