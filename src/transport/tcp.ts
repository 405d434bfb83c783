import { readFields } from '../ports/given-values'
import type { Listener, ListenerAddress, ListenerContext } from '../ports/listener'
import { MqttError } from '../protocol/mqtt-error'
import { type NetworkOptions, NetworkServers, networkNames, networkOptions } from './network-listener'
import { handleChannel, ReadBuffer, tcpChannel } from './socket-channel'

/** Options of a plain TCP listener. */
export interface TcpOptions {
  /** Default: 1883. 0 lets the system choose. */
  port?: number | undefined
  /** Default: all interfaces if the broker authenticates its clients, else the loopback interface, 127.0.0.1 and ::1. */
  host?: string | undefined
  /** Connections that the kernel holds until they are accepted. Default: 4096. */
  backlog?: number | undefined
}

/** MQTT over TCP, in plain text. Throws GNATMQ_OPTION_INVALID. */
export function tcp(options: TcpOptions = {}): Listener {
  return new TcpListener(networkOptions('tcp', readFields('tcp', options, networkNames), 1883))
}

class TcpListener implements Listener {
  readonly exposure = 'plain'
  readonly host: string | undefined
  readonly #options: NetworkOptions
  #servers: NetworkServers | undefined

  constructor(options: NetworkOptions) {
    this.host = options.host
    this.#options = options
  }

  async listen(context: ListenerContext): Promise<ListenerAddress> {
    if (this.#servers !== undefined) {
      throw new MqttError('GNATMQ_LISTEN_FAILED', 'this listener already listens: give every broker its own tcp()')
    }
    const buffer = new ReadBuffer()
    const servers = new NetworkServers(context, {
      onSocket: (socket, acceptedAt) => context.accept(tcpChannel(socket, acceptedAt, buffer)),
      onHandle: (handle, peer, acceptedAt) => context.accept(handleChannel(handle, peer, acceptedAt, buffer)),
    })
    this.#servers = servers
    try {
      const options = this.#options
      const { address, port } = await (options.host === undefined && context.plainHost === 'loopback'
        ? servers.listenOnLoopback(options)
        : servers.listen(options))
      return { protocol: 'mqtt', host: address, port }
    } catch (error) {
      if (this.#servers === servers) this.#servers = undefined
      throw error
    }
  }

  async close(): Promise<void> {
    this.#servers?.close()
    this.#servers = undefined
  }
}
