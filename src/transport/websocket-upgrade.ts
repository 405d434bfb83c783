import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ServerOptions, WebSocketServer } from 'ws'
import type { Clock } from '../ports/clock'
import { disregard } from '../ports/given-values'
import type { ListenerContext, Peer } from '../ports/listener'
import { isLoopback } from '../ports/loopback'
import { MqttError, protocolError } from '../protocol/mqtt-error'
import { forwardedPeer } from './forwarded-address'
import { WebSocketChannel } from './websocket-channel'

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

/** How long a peer may take to answer a Close frame, or to fetch a refusal. */
const FAREWELL_MS = 2000
/** Frames that one message may be split into: a list of small ones takes up much more than what is in them. */
const FRAGMENTS = 1024
/** Reads of the socket that a frame may arrive in, for the same reason. */
const CHUNKS = 32 * 1024

/** Older than MQTT 3.1.1, and still asked for by clients of that time. */
const formerSubprotocol = 'mqttv3.1'

/** Turns upgrade requests into channels, or refuses them. */
export class Upgrades {
  readonly #context: ListenerContext
  readonly #rules: UpgradeRules
  readonly #server: WebSocketServer

  constructor(context: ListenerContext, rules: UpgradeRules) {
    this.#context = context
    this.#rules = rules
    const options: ServerOptions & { closeTimeout: number; maxFragments: number; maxBufferedChunks: number } = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: rules.maximumFrameSize,
      maxFragments: FRAGMENTS,
      maxBufferedChunks: CHUNKS,
      closeTimeout: FAREWELL_MS,
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : formerSubprotocol),
    }
    this.#server = new WebSocketServer(options)
    this.#server.on('wsClientError', (error, socket, request) => {
      const { remoteAddress, remotePort } = request.socket
      this.#refuse(badRequest(error.message), socket, { remoteAddress, remotePort, path: pathOf(request) })
    })
  }

  /** `head` is what has already been read behind the request. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, sender: Peer, acceptedAt: number): void {
    const peer = forwardedPeer(sender, request, this.#rules.trustedProxies)
    const refusal = this.#judge(request)
    if (refusal !== undefined) {
      this.#refuse(refusal, socket, peer)
      return
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) =>
      this.#context.accept(new WebSocketChannel(webSocket, socket, peer, acceptedAt, this.#context.incoming)),
    )
  }

  #judge(request: IncomingMessage): Refusal | undefined {
    const { headers } = request
    const { path } = this.#rules
    if (pathOf(request) !== path) return { status: '404 Not Found', error: protocolError(`the path is not ${path}`) }
    if (this.#isForeign(request)) {
      const message = `a page of ${headers.origin ?? 'an unknown origin'} may not connect: see origins`
      return { status: '403 Forbidden', error: new MqttError('GNATMQ_NOT_AUTHORIZED', message) }
    }
    if (headers.upgrade?.toLowerCase() !== 'websocket') return badRequest('the upgrade asked for is not to WebSocket')
    if (headers['sec-websocket-version'] !== '13') {
      const error = protocolError('the version of the WebSocket protocol is not 13')
      return { status: '426 Upgrade Required', error, headers: 'Sec-WebSocket-Version: 13\r\n' }
    }
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
    if (offered.includes('mqtt') || offered.includes(formerSubprotocol)) return undefined
    return badRequest('the client does not offer the subprotocol mqtt [MQTT-6.0.0-3]')
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
