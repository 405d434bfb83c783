import { createServer, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ListenerContext, Peer } from '../ports/listener'
import { MqttError } from '../protocol/mqtt-error'
import { answerAndClose, pathOf } from './websocket-upgrade'

type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, peer: Peer, acceptedAt: number) => void

interface Pending {
  peer: Peer
  acceptedAt: number
  /** Ends its count among half-open connections. */
  leave: (() => void) | undefined
  forget: () => void
}

/** The peers of a listener of its own that are connected, and have not asked for their upgrade. */
export class HttpConnections {
  readonly #context: ListenerContext
  readonly #pending = new Map<Duplex, Pending>()
  readonly #server = createServer((_request, response) => {
    response.writeHead(426, { Connection: 'Upgrade, close', Upgrade: 'websocket', 'Content-Type': 'text/plain' })
    response.end('This port serves MQTT over WebSocket.\n')
  })

  constructor(context: ListenerContext, onUpgrade: OnUpgrade) {
    this.#context = context
    this.#server.on('upgrade', (request, socket, head) => {
      const pending = this.#conclude(socket)
      if (pending === undefined) socket.destroy()
      else onUpgrade(request, socket, head, { ...pending.peer, path: pathOf(request) }, pending.acceptedAt)
    })
    this.#server.on('clientError', (error, socket) => this.#failed(error, socket))
  }

  begin(socket: Socket, peer: Peer, acceptedAt: number): void {
    if (socket.destroyed) return
    const { clock, connectTimeoutMs } = this.#context
    const left = acceptedAt + connectTimeoutMs - clock.now()
    const stopTimer = clock.after(Math.max(1, left), () => this.#late(socket))
    const onClose = (): void => {
      this.#conclude(socket)
    }
    const pending: Pending = {
      peer,
      acceptedAt,
      leave: undefined,
      forget: () => {
        pending.leave?.()
        stopTimer()
        socket.off('close', onClose)
      },
    }
    socket.once('close', onClose)
    this.#pending.set(socket, pending)
    const drop = (error: MqttError): void => this.#drop(socket, error)
    pending.leave = this.#context.count({ remoteAddress: peer.remoteAddress, drop })
    if (pending.leave === undefined) return
    // Node documents that an HTTP server takes connections by this event; this one never listens itself.
    this.#server.emit('connection', socket)
    socket.resume()
  }

  /** Drops all. */
  close(): void {
    for (const [socket, { forget }] of this.#pending) {
      forget()
      socket.destroy()
    }
    this.#pending.clear()
  }

  #late(socket: Socket): void {
    this.#drop(socket, new MqttError('GNATMQ_CONNECT_TIMEOUT', 'no WebSocket was asked for within connectTimeout'))
  }

  #drop(socket: Socket, error: MqttError): void {
    const pending = this.#conclude(socket)
    socket.destroy()
    if (pending !== undefined) this.#context.refuse(error, pending.peer)
  }

  #failed(cause: Error & { code?: string }, socket: Duplex): void {
    const pending = this.#conclude(socket)
    if (pending === undefined || !socket.writable || !isUnreadable(cause.code)) {
      socket.destroy()
      return
    }
    const message = `the request is no HTTP (${cause.message}): MQTT without WebSocket goes to a tcp() or tls() listener`
    answerAndClose(this.#context.clock, socket, '400 Bad Request', message)
    this.#context.refuse(new MqttError('GNATMQ_PROTOCOL_ERROR', message, { cause }), pending.peer)
  }

  #conclude(socket: Duplex): Pending | undefined {
    const pending = this.#pending.get(socket)
    this.#pending.delete(socket)
    pending?.forget()
    return pending
  }
}

/** Of Node's parser, unless the peer has only gone. */
const isUnreadable = (code = ''): boolean => code.startsWith('HPE_') && code !== 'HPE_INVALID_EOF_STATE'
