import type { Server as HttpServer, IncomingMessage } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket, Server as TlsServer } from 'node:tls'
import { systemClock } from '../ports/clock'
import type { Listener, ListenerAddress, ListenerContext, Peer } from '../ports/listener'
import { MqttError } from '../protocol/mqtt-error'
import { addressOf } from './socket-channel'
import { answerAndClose, pathOf, type UpgradeRules, Upgrades } from './websocket-upgrade'

export type ApplicationServer = HttpServer | HttpsServer

type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

/** The WebSockets on one path of a server that is the application's, which opens and closes it. */
export class AttachedWebSocketListener implements Listener {
  readonly exposure: 'plain' | 'secure'
  readonly #server: ApplicationServer
  readonly #rules: UpgradeRules
  #detach: (() => void) | undefined

  constructor(server: ApplicationServer, rules: UpgradeRules) {
    this.exposure = server instanceof TlsServer ? 'secure' : 'plain'
    this.#server = server
    this.#rules = rules
  }

  /**
   * Where the server listens. undefined until it does, and for a socket of the file system: then each peer is judged by the address
   * that it has come to.
   */
  get host(): string | undefined {
    const address = this.#server.address()
    return address === null || typeof address === 'string' ? undefined : address.address
  }

  async listen(context: ListenerContext): Promise<ListenerAddress> {
    if (this.#detach !== undefined) {
      const message = 'this listener already listens: give every broker its own webSocket()'
      throw new MqttError('GNATMQ_LISTEN_FAILED', message)
    }
    const server = this.#server
    const { clock } = context
    const upgrades = new Upgrades(context, this.#rules)
    const arrivals = new Arrivals(server, () => clock.now())
    const paths = PathTable.of(server)
    paths.add(this.#rules.path, (request, socket, head) => {
      const peer = { ...peerOf(socket), path: pathOf(request) }
      if (this.exposure === 'plain' && !context.mayConnectTo(request.socket.localAddress)) upgrades.forbid(socket, peer)
      else upgrades.upgrade(request, socket, head, peer, arrivals.of(socket))
    })
    arrivals.begin()
    this.#detach = () => {
      arrivals.end()
      paths.remove(this.#rules.path)
    }
    return addressOfServer(server, this.exposure === 'secure' ? 'wss' : 'ws')
  }

  async close(): Promise<void> {
    this.#detach?.()
    this.#detach = undefined
  }
}

/** When connections were accepted that have asked for nothing yet. */
class Arrivals {
  readonly #times = new WeakMap<Duplex, number>()
  readonly #server: ApplicationServer
  readonly #now: () => number
  readonly #arrived = (socket: Duplex): void => {
    this.#times.set(socket, this.#now())
  }
  /** A connection that is used again may have been idle for long, as it is allowed to. */
  readonly #served = ({ socket }: IncomingMessage): void => {
    this.#times.delete(socket)
  }

  constructor(server: ApplicationServer, now: () => number) {
    this.#server = server
    this.#now = now
  }

  begin(): void {
    this.#server.on('connection', this.#arrived).on('secureConnection', this.#arrived).on('request', this.#served)
  }

  end(): void {
    this.#server.off('connection', this.#arrived).off('secureConnection', this.#arrived).off('request', this.#served)
  }

  of(socket: Duplex): number {
    return this.#times.get(socket) ?? this.#now()
  }
}

/** The paths of a server that are brokers'. All other upgrade requests are left to the application. */
class PathTable {
  static readonly #tables = new WeakMap<ApplicationServer, PathTable>()
  readonly #paths = new Map<string, OnUpgrade>()
  readonly #server: ApplicationServer
  readonly #onUpgrade: OnUpgrade = (request, socket, head) => this.#dispatch(request, socket, head)

  private constructor(server: ApplicationServer) {
    this.#server = server
  }

  static of(server: ApplicationServer): PathTable {
    const table = PathTable.#tables.get(server) ?? new PathTable(server)
    PathTable.#tables.set(server, table)
    return table
  }

  add(path: string, onUpgrade: OnUpgrade): void {
    if (this.#paths.has(path)) {
      const message = `the path ${path} of this server has its broker already: choose another path`
      throw new MqttError('GNATMQ_LISTEN_FAILED', message)
    }
    if (this.#paths.size === 0) this.#server.on('upgrade', this.#onUpgrade)
    this.#paths.set(path, onUpgrade)
  }

  remove(path: string): void {
    this.#paths.delete(path)
    if (this.#paths.size === 0) this.#server.off('upgrade', this.#onUpgrade)
  }

  #dispatch(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const onUpgrade = this.#paths.get(pathOf(request))
    if (onUpgrade !== undefined) onUpgrade(request, socket, head)
    // Node hands the socket over as soon as there is a listener, and nothing would close it
    else if (this.#server.listenerCount('upgrade') === 1)
      answerAndClose(systemClock, socket, '404 Not Found', 'nothing at this path can be upgraded to')
  }
}

/** The server may begin to listen later: host and port are looked up when they are asked for. */
function addressOfServer(server: ApplicationServer, protocol: string): ListenerAddress {
  const current = (): { address: string; port: number } => {
    const address = server.address()
    return typeof address === 'string' ? { address, port: 0 } : (address ?? { address: '', port: 0 })
  }
  return {
    protocol,
    get host() {
      return current().address
    },
    get port() {
      return current().port
    },
  }
}

/** A certificate that the server has let pass without trusting it is no identity. */
function peerOf(socket: Duplex): Peer {
  if (!(socket instanceof Socket)) return { remoteAddress: undefined, remotePort: undefined }
  const peer = addressOf(socket)
  if (!(socket instanceof TLSSocket)) return peer
  const certificate = socket.authorized ? socket.getPeerCertificate() : undefined
  return {
    ...peer,
    servername: socket.servername || undefined,
    tlsVersion: socket.getProtocol() ?? undefined,
    ...(certificate?.raw === undefined ? {} : { certificate }),
  }
}
