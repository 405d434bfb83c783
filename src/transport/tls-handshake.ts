import { Socket } from 'node:net'
import { createServer, type TlsOptions as NodeTlsOptions, type Server, type TLSSocket } from 'node:tls'
import type { ListenerContext, Peer, WaitingPeer } from '../ports/listener'
import type { TlsSettings } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import type { Reception } from './network-listener'
import { addressOf } from './socket-channel'
import { isClosed } from './tcp-handle'

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
  readonly key: string
  readonly socket: Socket
  readonly peer: Peer
  readonly acceptedAt: number
  readonly onClose: () => void
  readonly onReadable: () => void
  readonly stopTimer: () => void
  /** Ends its count among half-open connections. */
  leave: (() => void) | undefined
}

/** A ClientHello comes in one record, which is no longer (RFC 8446 section 5.1); what is longer at first is none. */
const largestHello = 5 + 16_384
/** What a handshake counts as among half-open connections: its buffers and keys take about as much memory. */
const places = 8

/** Gets the socket of a peer that is admitted, and `clock.now()` of its acceptance, before the handshake. */
type OnSecured = (socket: TLSSocket, peer: Peer, acceptedAt: number) => void

/**
 * The peers of a listener that are in their TLS handshake. What costs time and memory begins when the ClientHello is there,
 * and has its own turn: peers that have sent theirs at once would otherwise hold up all others, and those that send none would
 * hold what a handshake takes.
 */
export class TlsHandshakes implements Reception {
  /** What is read ahead of the handshake is one chunk. */
  readonly highWaterMark = 1
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

  readonly onSocket = (socket: Socket, acceptedAt: number): void => {
    const peer = addressOf(socket)
    if (peer.remoteAddress === undefined) {
      socket.destroy()
      this.#refuse(connectionLost(), peer)
      return
    }
    const { clock, connectTimeoutMs } = this.#context
    const left = Math.max(1, acceptedAt + connectTimeoutMs - clock.now())
    const handshake: Handshake = {
      key: keyOf(socket),
      socket,
      peer,
      acceptedAt,
      onClose: () => this.#lose(handshake, connectionLost()),
      onReadable: () => this.#awaitTurn(handshake),
      stopTimer: clock.after(left, () => this.#lose(handshake, timeout())),
      leave: undefined,
    }
    this.#pending.set(handshake.key, handshake)
    socket.on('error', () => undefined)
    socket.once('close', handshake.onClose)
    if (this.#count(handshake, 1)) socket.on('readable', handshake.onReadable)
  }

  /** The first bytes are there, or the end. */
  #awaitTurn(handshake: Handshake): void {
    const { socket, onReadable } = handshake
    const length = socket.readableLength
    if (length === 0) {
      // reading brings the end
      socket.read()
      return
    }
    socket.off('readable', onReadable)
    if (length > largestHello) {
      this.#lose(
        handshake,
        Object.assign(new Error('no ClientHello is that long'), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' }),
      )
      return
    }
    handshake.leave?.()
    this.#context.admit(() => this.#begin(handshake), this.#waiting(handshake))
  }

  #begin(handshake: Handshake): void {
    if (this.#pending.get(handshake.key) !== handshake || !this.#count(handshake, places)) return
    // Node documents that a TLS server takes connections by this event; this one never listens itself.
    this.#server.emit('connection', handshake.socket)
  }

  /** False if there was no room, and the peer is dropped. */
  #count(handshake: Handshake, as: number): boolean {
    handshake.leave = this.#context.count(this.#waiting(handshake), as)
    return handshake.leave !== undefined
  }

  #waiting(handshake: Handshake): WaitingPeer {
    const { peer, socket } = handshake
    return {
      remoteAddress: peer.remoteAddress,
      get isGone() {
        return isClosed(socket)
      },
      drop: (error) => {
        if (!this.#forget(handshake)) return
        socket.destroy()
        this.#context.refuse(error, peer)
      },
    }
  }

  #lose(handshake: Handshake, cause: Error): void {
    if (!this.#forget(handshake)) return
    handshake.socket.destroy()
    this.#refuse(cause, handshake.peer)
  }

  /** Drops all. */
  close(): void {
    for (const handshake of [...this.#pending.values()]) {
      this.#forget(handshake)
      handshake.socket.destroy()
    }
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
    return handshake !== undefined && this.#forget(handshake) ? handshake : undefined
  }

  /** False if it was over before. */
  #forget({ key, leave, onClose, onReadable, socket, stopTimer }: Handshake): boolean {
    if (!this.#pending.delete(key)) return false
    leave?.()
    stopTimer()
    socket.off('close', onClose)
    socket.off('readable', onReadable)
    return true
  }

  #refuse(cause: Error, peer: Peer): void {
    const code = 'code' in cause ? String(cause.code) : ''
    const message = `the TLS handshake of ${peer.remoteAddress} failed: ${meanings[code] ?? cause.message}`
    this.#context.refuse(new MqttError('GNATMQ_TLS_HANDSHAKE', message, { cause }), peer)
  }
}

const connectionLost = (): Error =>
  Object.assign(new Error('the connection closed during the handshake'), { code: 'ECONNRESET' })

const timeout = (): Error => Object.assign(new Error('no time is left'), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })

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
