import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../ports/clock'
import { disregard } from '../ports/given-values'
import type { Channel, ListenerContext, Peer } from '../ports/listener'
import { isLoopback } from '../ports/loopback'
import { MqttError, protocolError } from '../protocol/mqtt-error'
import { forwardedPeer } from './forwarded-address'
import { FrameDecoder } from './frame-decoder'
import { type ReadBuffer, StreamChannel, tcpChannel } from './socket-channel'
import { Unmasking } from './unmasking'
import { WebSocketChannel } from './websocket-channel'
import { isKey, offeredProtocols, switchingProtocols } from './websocket-handshake'

/** What an upgrade request must fulfil. */
export interface UpgradeRules {
  path: string
  origins: readonly string[] | ((origin: string | undefined, request: IncomingMessage) => boolean) | undefined
  maximumFrameSize: number
  /** Addresses as `plainAddress` gives them. */
  trustedProxies: readonly string[]
}

interface Refusal {
  status: string
  error: MqttError
  headers?: string
}

/** How long a peer may take to fetch a refusal. */
const FAREWELL_MS = 2000

/** The other one is older than MQTT 3.1.1, and still asked for by clients of that time. */
const subprotocols = ['mqtt', 'mqttv3.1'] as const

/** Turns upgrade requests into channels, or refuses them. */
export class Upgrades {
  readonly #context: ListenerContext
  readonly #rules: UpgradeRules
  readonly #buffer: ReadBuffer | undefined
  readonly #unmasking = new Unmasking()

  /** With a `buffer`, the sockets are the listener's own, and read into it from their upgrade on. */
  constructor(context: ListenerContext, rules: UpgradeRules, buffer?: ReadBuffer) {
    this.#context = context
    this.#rules = rules
    this.#buffer = buffer
  }

  /** `head` is what has already been read behind the request. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, sender: Peer, acceptedAt: number): void {
    const peer = forwardedPeer(sender, request, this.#rules.trustedProxies)
    const judgement = this.#judge(request)
    if (typeof judgement !== 'string') {
      this.#refuse(judgement, socket, peer)
      return
    }
    // it has gone
    if (!socket.readable || !socket.writable) {
      socket.destroy()
      return
    }
    const { clock } = this.#context
    const source = this.#sourceOf(socket, peer, acceptedAt)
    const decoder = new FrameDecoder(this.#rules.maximumFrameSize, this.#unmasking)
    const channel = new WebSocketChannel(source, peer, acceptedAt, decoder, head, clock)
    source.stream.write(switchingProtocols(request.headers['sec-websocket-key']!, judgement))
    this.#context.accept(channel)
  }

  /** Refuses a peer of another machine, where clients do not authenticate. */
  forbid(socket: Duplex, peer: Peer): void {
    const message =
      'a plain listener beyond the loopback interface would admit every client: give an authenticate hook, or allowAnonymous: true'
    this.#refuse({ status: '403 Forbidden', error: new MqttError('GNATMQ_ANONYMOUS_LISTENER', message) }, socket, peer)
  }

  #sourceOf(socket: Duplex, peer: Peer, acceptedAt: number): Channel {
    if (socket instanceof Socket) {
      socket.setTimeout(0)
      socket.setNoDelay(true)
      if (this.#buffer !== undefined) return tcpChannel(socket, acceptedAt, this.#buffer)
    }
    return new StreamChannel(socket, peer, acceptedAt)
  }

  /** The subprotocol for the peer, or why it is refused. */
  #judge(request: IncomingMessage): string | Refusal {
    const { headers } = request
    const { path } = this.#rules
    if (pathOf(request) !== path) return { status: '404 Not Found', error: protocolError(`the path is not ${path}`) }
    if (this.#isForeign(request)) {
      const message = `a page of ${headers.origin ?? 'an unknown origin'} may not connect: see origins`
      return { status: '403 Forbidden', error: new MqttError('GNATMQ_NOT_AUTHORIZED', message) }
    }
    if (request.method !== 'GET') return badRequest('the method of the request is not GET')
    if (headers.upgrade?.toLowerCase() !== 'websocket') return badRequest('the upgrade asked for is not to WebSocket')
    if (headers['sec-websocket-version'] !== '13') {
      const error = protocolError('the version of the WebSocket protocol is not 13')
      return { status: '426 Upgrade Required', error, headers: 'Sec-WebSocket-Version: 13\r\n' }
    }
    if (!isKey(headers['sec-websocket-key'])) return badRequest('Sec-WebSocket-Key is missing or invalid')
    const offered = offeredProtocols(headers['sec-websocket-protocol'])
    if (offered === undefined) return badRequest('Sec-WebSocket-Protocol is no list of names, each of them once')
    const chosen = subprotocols.find((name) => offered.includes(name))
    return chosen ?? badRequest('the client does not offer the subprotocol mqtt [MQTT-6.0.0-3]')
  }

  #isForeign(request: IncomingMessage): boolean {
    const { origins } = this.#rules
    const { origin } = request.headers
    // without authentication, any page in a browser could reach the broker through its user's machine
    if (origins === undefined) return this.#context.plainHost === 'loopback' && isOtherHost(request)
    if (typeof origins !== 'function') return origin !== undefined && !origins.includes(origin.toLowerCase())
    try {
      const answer: unknown = origins(origin, request)
      disregard(answer)
      return answer !== true
    } catch (error) {
      this.#context.logger.error({ err: error }, 'the origins function threw: the client is refused')
      return true
    }
  }

  #refuse({ status, error, headers }: Refusal, socket: Duplex, peer: Peer): void {
    answerAndClose(this.#context.clock, socket, status, error.message, headers)
    this.#context.refuse(error, peer)
  }
}

/** The last words to a peer that is no WebSocket. */
export function answerAndClose(clock: Clock, socket: Duplex, status: string, text: string, headers = ''): void {
  const stopWaiting = clock.after(FAREWELL_MS, () => socket.destroy())
  socket.on('error', () => undefined)
  socket.once('close', stopWaiting)
  socket.once('finish', () => socket.destroy())
  const fixed = `Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`
  socket.end(`HTTP/1.1 ${status}\r\n${headers}${fixed}\r\n${text}`)
}

/**
 * A request without Origin is none of a browser's page. On the loopback interface, the host of the page must be of that interface too: a page of
 * any name may let that name lead to 127.0.0.1 (DNS rebinding), and its Origin equals its Host then.
 */
function isOtherHost({ headers: { host, origin }, socket }: IncomingMessage): boolean {
  if (origin === undefined) return false
  if (!URL.canParse(origin)) return true
  const page = new URL(origin)
  if (page.host !== host?.toLowerCase()) return true
  return isLoopback(socket.localAddress ?? '') && !isLoopback(page.hostname)
}

export function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}

const badRequest = (message: string): Refusal => ({ status: '400 Bad Request', error: protocolError(message) })
