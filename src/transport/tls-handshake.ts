import { Socket } from 'node:net'
import { createServer, type TlsOptions as NodeTlsOptions, type Server, type TLSSocket } from 'node:tls'
import type { ListenerContext, Peer } from '../ports/listener'
import type { TlsSettings } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import { addressOf } from './socket-channel'

/** What OpenSSL's and Node's codes mean for the operator of the broker. */
const meanings: Readonly<Record<string, string>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: 'the client does not speak TLS: plain MQTT goes to a tcp() listener',
  ERR_SSL_HTTP_REQUEST: 'the client sent HTTP',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'the client offers no TLS version that sslProtocol allows',
  ERR_SSL_NO_SHARED_CIPHER: 'the client offers no cipher that the broker allows',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'the client offers application protocols (ALPN), but not that of the listener',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'the client does not trust the CA of the certificate: install the CA there',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'the client does not accept the certificate of the broker',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'the client does not accept the certificate of the broker',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'the client did not finish in time',
  ECONNRESET: 'the client closed the connection',
}

type SniCallback = NonNullable<NodeTlsOptions['SNICallback']>

interface Handshake {
  key: string
  socket: Socket
  peer: Peer
  acceptedAt: number
  onClose: () => void
}

/** Gets the socket of a peer that is admitted, and `clock.now()` of its acceptance, before the handshake. */
type OnSecured = (socket: TLSSocket, peer: Peer, acceptedAt: number) => void

/** The peers of a listener that are in their TLS handshake. */
export class TlsHandshakes {
  readonly #context: ListenerContext
  readonly #onSecured: OnSecured
  /** By the two addresses of the connection, which a TLS socket shares with the TCP socket below it. */
  readonly #pending = new Map<string, Handshake>()
  /** Those whose SNICallback was asked. */
  readonly #recognised = new WeakMap<Socket, Handshake>()
  #server: Server

  constructor(context: ListenerContext, settings: TlsSettings, onSecured: OnSecured) {
    this.#context = context
    this.#onSecured = onSecured
    this.#server = this.#createServer(settings)
  }

  /** New settings for the handshakes that begin from now on. */
  update(settings: TlsSettings): void {
    this.#server = this.#createServer(settings)
  }

  begin(socket: Socket, acceptedAt: number): void {
    const peer = addressOf(socket)
    if (peer.remoteAddress === undefined) {
      socket.destroy()
      this.#refuse(connectionLost(), peer)
      return
    }
    const key = keyOf(socket)
    const onClose = (): void => {
      this.#pending.delete(key)
      this.#refuse(connectionLost(), peer)
    }
    socket.once('close', onClose)
    this.#pending.set(key, { key, socket, peer, acceptedAt, onClose })
    // Node documents that a TLS server takes connections by this event; this one never listens itself.
    this.#server.emit('connection', socket)
  }

  /** Drops all. */
  close(): void {
    for (const { socket, onClose } of this.#pending.values()) {
      socket.off('close', onClose)
      socket.destroy()
    }
    this.#pending.clear()
  }

  /**
   * A server for these settings alone: changing the context of one server would leave its SNICallback, its wish for
   * client certificates and its session tickets as they were.
   */
  #createServer(settings: TlsSettings): Server {
    const handshakeTimeout = Math.max(1, this.#context.connectTimeoutMs)
    const { SNICallback } = settings.serverOptions
    const server = createServer({
      ...settings.serverOptions,
      ...(SNICallback === undefined ? {} : { SNICallback: this.#recognising(SNICallback) }),
      handshakeTimeout,
    })
    server.on('secureConnection', (socket) => this.#secured(socket, settings))
    server.on('tlsClientError', (error, socket) => {
      const handshake = this.#conclude(socket)
      // One that has lost its address has lost its connection: the close of the TCP socket tells.
      if (handshake !== undefined) this.#refuse(error, handshake.peer)
      socket.destroy()
    })
    return server
  }

  /**
   * An error of SNICallback destroys the TLS socket, and its addresses with it, before it is told of. Node calls
   * SNICallback on that socket: recognised now, its refusal can name the error instead of a lost connection.
   */
  #recognising(callback: SniCallback): SniCallback {
    const recognise = (socket: unknown): void => {
      const handshake = socket instanceof Socket ? this.#pending.get(keyOf(socket)) : undefined
      if (handshake !== undefined) this.#recognised.set(socket as Socket, handshake)
    }
    return function (this: unknown, servername, done) {
      recognise(this)
      callback(servername, done)
    }
  }

  #secured(socket: TLSSocket, settings: TlsSettings): void {
    const handshake = this.#conclude(socket)
    if (handshake === undefined) {
      socket.destroy()
      return
    }
    const peer = securedPeer(handshake.peer, socket, settings)
    const refusal = settings.admit(socket)
    if (refusal === undefined) {
      this.#onSecured(socket, peer, handshake.acceptedAt)
      return
    }
    socket.destroy()
    this.#context.refuse(refusal, peer)
  }

  #conclude(socket: Socket): Handshake | undefined {
    const handshake = this.#pending.get(keyOf(socket)) ?? this.#recognised.get(socket)
    if (handshake === undefined || !this.#pending.delete(handshake.key)) return undefined
    handshake.socket.off('close', handshake.onClose)
    return handshake
  }

  #refuse(cause: Error, peer: Peer): void {
    const code = 'code' in cause ? String(cause.code) : ''
    const message = `the TLS handshake of ${peer.remoteAddress} failed: ${meanings[code] ?? cause.message}`
    this.#context.refuse(new MqttError('GNATMQ_TLS_HANDSHAKE', message, { cause }), peer)
  }
}

const connectionLost = (): Error =>
  Object.assign(new Error('the connection closed during the handshake'), { code: 'ECONNRESET' })

const keyOf = (socket: Socket): string =>
  `${socket.localAddress} ${socket.localPort} ${socket.remoteAddress} ${socket.remotePort}`

function securedPeer(peer: Peer, socket: TLSSocket, settings: TlsSettings): Peer {
  const secured: Peer = {
    ...peer,
    servername: socket.servername || undefined,
    tlsVersion: socket.getProtocol() ?? undefined,
  }
  if (!settings.serverOptions.requestCert) return secured
  const certificate = socket.getPeerCertificate()
  if (certificate?.raw !== undefined) secured.certificate = certificate
  return secured
}
