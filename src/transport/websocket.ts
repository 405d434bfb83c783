import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { readFields } from '../ports/given-values'
import type { Listener, ListenerAddress, ListenerContext } from '../ports/listener'
import { alpn, type TlsOptions, type TlsSettings, tlsOptionNames } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import { type ApplicationServer, AttachedWebSocketListener } from './attached-websocket'
import { plainAddress } from './forwarded-address'
import { HttpConnections } from './http-connections'
import { type NetworkOptions, NetworkServers, networkNames, networkOptions } from './network-listener'
import { addressOf, ReadBuffer } from './socket-channel'
import { TlsHandshakes } from './tls-handshake'
import { type UpgradeRules, Upgrades } from './websocket-upgrade'

/** Options of a WebSocket listener. What its TLS options leave open comes from the broker's options. */
export interface WebSocketOptions extends TlsOptions {
  /** Default: 8083, with `secure` 8084. 0 lets the system choose. */
  port?: number | undefined
  /**
   * Default: all interfaces with `secure`, or if the broker authenticates its clients; else the loopback interface,
   * 127.0.0.1 and ::1.
   */
  host?: string | undefined
  /** Connections that the kernel holds until they are accepted. Default: 4096. */
  backlog?: number | undefined
  /** The path of the URL that clients ask for, without its query. Default: `/mqtt`. */
  path?: string | undefined
  /** True: TLS, `wss:`. The TLS options are allowed only with it. Default: false. */
  secure?: boolean | undefined
  /**
   * An HTTP or HTTPS server of the application, whether it listens already or not, in place of port, host and TLS
   * options. The listener takes the upgrade requests of its path, and leaves the server and all else alone.
   * Clients of an http server that come from beyond the loopback interface need an `authenticate` hook or `allowAnonymous: true`: a server
   * that listens there is refused at start, and one that listens later has its peers refused. TLS and its client certificates are the
   * server's; one that it does not trust is not shown. Until the upgrade request has come whole, the server's time-outs hold.
   */
  server?: ApplicationServer | undefined
  /**
   * Web pages that may connect, by their origin: `https://example.org`. Clients that send no Origin header are no
   * web pages, and may. Or a function that is given the header and the request, and answers at once; anything but
   * true, and a throw, refuses. Default: all may if the broker authenticates its clients; else only pages of the host
   * and port that they connect to.
   */
  origins?: readonly string[] | ((origin: string | undefined, request: IncomingMessage) => boolean) | undefined
  /**
   * Bytes of one message of the WebSocket protocol, whatever the MQTT packets in it: at least the broker's
   * `maximumPacketSize`, as most clients send a packet in one. A larger one closes the connection with status 1009. Default: 16 MiB.
   */
  maximumFrameSize?: number | undefined
  /**
   * Addresses of reverse proxies. The client of a request from one of them is the last address in its X-Forwarded-For header that is
   * none of these, so that limits by address tell clients apart. Default: none; the header is not looked at.
   */
  trustedProxies?: readonly string[] | undefined
}

/** What `broker.attach` is told besides the server. */
export type AttachOptions = Pick<WebSocketOptions, (typeof attachNames)[number]>

export const attachNames = [
  'path',
  'origins',
  'maximumFrameSize',
  'trustedProxies',
] as const satisfies readonly (keyof WebSocketOptions)[]

const optionNames = [
  ...networkNames,
  ...attachNames,
  'secure',
  'server',
  ...tlsOptionNames,
] as const satisfies readonly (keyof WebSocketOptions)[]

/**
 * MQTT over WebSocket (RFC 6455), on a port of its own or on a server of the application. Clients have to ask for the
 * subprotocol `mqtt`. Throws GNATMQ_OPTION_INVALID; the TLS options themselves are checked when the broker starts.
 */
export function webSocket(options: WebSocketOptions = {}): Listener {
  const given = readFields('webSocket', options, optionNames) as WebSocketOptions
  const { port, host, backlog, path, secure, server, origins, maximumFrameSize, trustedProxies, ...tlsOptions } = given
  const rules = upgradeRules(path, origins, maximumFrameSize, trustedProxies)
  if (secure !== undefined && typeof secure !== 'boolean') throw invalid('secure is neither true nor false')
  if (server !== undefined) {
    checkServer(given)
    return new AttachedWebSocketListener(server, rules)
  }
  const [stray] = givenNames(tlsOptions)
  if (secure !== true && stray !== undefined) throw invalid(`${stray} without TLS: give secure: true`)
  const network = networkOptions('webSocket', { port, host, backlog }, secure ? 8084 : 8083)
  return new WebSocketListener(network, rules, secure ? tlsOptions : undefined)
}

function upgradeRules(
  path: WebSocketOptions['path'] = '/mqtt',
  origins: WebSocketOptions['origins'],
  maximumFrameSize: WebSocketOptions['maximumFrameSize'] = 16 * 1024 * 1024,
  proxies: WebSocketOptions['trustedProxies'] = [],
): UpgradeRules {
  if (typeof path !== 'string' || !/^\/[^?#\s]*$/.test(path)) throw invalid('path is none, give one such as /mqtt')
  if (!Number.isInteger(maximumFrameSize) || maximumFrameSize < 64 || maximumFrameSize > 0x7fffffff)
    throw invalid(`maximumFrameSize is ${String(maximumFrameSize)}, use 64 to 2147483647`)
  if (!Array.isArray(proxies) || !Array.from(proxies).every((address) => isIP(String(address)) > 0))
    throw invalid('trustedProxies is no list of addresses, such as 10.0.0.1')
  const trustedProxies = proxies.map(plainAddress)
  const rules = { path, maximumFrameSize, trustedProxies }
  if (origins === undefined || typeof origins === 'function') return { ...rules, origins }
  if (!Array.isArray(origins) || !Array.from(origins).every(isOrigin))
    throw invalid('origins is neither a function nor a list of origins, such as https://example.org')
  return { ...rules, origins: origins.map((origin) => origin.toLowerCase()) }
}

/** What browsers send: scheme, host, and the port if it is not the scheme's. Or `null`, of pages without an origin. */
const isOrigin = (origin: unknown): boolean =>
  typeof origin === 'string' && (origin === 'null' || /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/i.test(origin))

function checkServer({ server, path, origins, maximumFrameSize, trustedProxies, ...others }: WebSocketOptions): void {
  if (typeof server?.on !== 'function' || typeof server.address !== 'function')
    throw invalid('server is none, give what createServer of node:http or node:https returns')
  const [stray] = givenNames(others)
  if (stray !== undefined) throw invalid(`${stray} beside server: the server itself decides on that, leave it out`)
}

const givenNames = (options: object): string[] =>
  Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name]))

const invalid = (message: string): MqttError => new MqttError('GNATMQ_OPTION_INVALID', `webSocket: ${message}`)

interface Running {
  context: ListenerContext
  servers: NetworkServers
  handshakes: TlsHandshakes | undefined
  connections: HttpConnections
}

class WebSocketListener implements Listener {
  readonly exposure: 'plain' | 'secure'
  readonly host: string | undefined
  readonly #network: NetworkOptions
  readonly #rules: UpgradeRules
  /** Undefined without TLS. */
  #tlsOptions: TlsOptions | undefined
  #running: Running | undefined

  constructor(network: NetworkOptions, rules: UpgradeRules, tlsOptions: TlsOptions | undefined) {
    this.exposure = tlsOptions === undefined ? 'plain' : 'secure'
    this.host = network.host
    this.#network = network
    this.#rules = rules
    this.#tlsOptions = tlsOptions
  }

  async listen(context: ListenerContext): Promise<ListenerAddress> {
    if (this.#running !== undefined) {
      const message = 'this listener already listens: give every broker its own webSocket()'
      throw new MqttError('GNATMQ_LISTEN_FAILED', message)
    }
    const running = this.#prepared(context)
    this.#running = running
    const { servers, handshakes } = running
    try {
      const onLoopback = handshakes === undefined && this.host === undefined && context.plainHost === 'loopback'
      const { address, port } = await (onLoopback
        ? servers.listenOnLoopback(this.#network)
        : servers.listen(this.#network))
      return { protocol: handshakes === undefined ? 'ws' : 'wss', host: address, port }
    } catch (error) {
      if (this.#running === running) this.#running = undefined
      throw error
    }
  }

  #prepared(context: ListenerContext): Running {
    // sockets with TLS read by Node's own buffers
    const buffer = this.#tlsOptions === undefined ? new ReadBuffer() : undefined
    const upgrades = new Upgrades(context, this.#rules, buffer)
    const connections = new HttpConnections(context, (...request) => upgrades.upgrade(...request))
    if (this.#tlsOptions === undefined) {
      const servers = new NetworkServers(context, {
        onSocket: (socket, acceptedAt) => connections.begin(socket, addressOf(socket), acceptedAt),
      })
      return { context, servers, handshakes: undefined, connections }
    }
    const handshakes = new TlsHandshakes(context, httpSettings(context, this.#tlsOptions), (...secured) =>
      connections.begin(...secured),
    )
    const servers = new NetworkServers(context, handshakes)
    return { context, servers, handshakes, connections }
  }

  async close(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    running?.servers.close()
    running?.handshakes?.close()
    running?.connections.close()
  }

  /** The options that are given replace the former ones; the others stay. On an error, all stay. */
  updateTls(options: TlsOptions): void {
    if (this.#tlsOptions === undefined) return
    const replaced = Object.entries(options).filter(([, value]) => value !== undefined)
    const merged: TlsOptions = { ...this.#tlsOptions, ...Object.fromEntries(replaced) }
    const running = this.#running
    running?.handshakes?.update(httpSettings(running.context, merged))
    this.#tlsOptions = merged
  }
}

/** Browsers say in their handshake that they are going to speak HTTP. */
function httpSettings(context: ListenerContext, options: TlsOptions): TlsSettings {
  const settings = context.resolveTls(options)
  const isStrict = settings.serverOptions.ALPNProtocols !== undefined
  return { ...settings, serverOptions: { ...settings.serverOptions, ...alpn('http/1.1', isStrict) } }
}
