import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../ports/clock'
import { shown } from '../ports/given-values'
import type { ListenerContext, Peer, WaitingPeer } from '../ports/listener'
import { MqttError } from '../protocol/mqtt-error'
import { addressOf } from './socket-channel'
import {
  isClosed,
  keepAliveSeconds,
  nobody,
  peerOfHandle,
  setInheritedOptions,
  setOptions,
  type TcpHandle,
  takeHandles,
} from './tcp-handle'

/** Where a TCP or TLS listener listens. */
export interface NetworkOptions {
  /** 0 lets the system choose. */
  port: number
  /** Undefined: all interfaces, IPv4 and IPv6. */
  host: string | undefined
  /** Connections that the kernel holds until they are accepted. */
  backlog: number
}

/** Gets every socket that is let in, which has not begun to read, and `clock.now()` of that moment. */
type OnSocket = (socket: Socket, acceptedAt: number) => void

/** The same for a listener that needs only the handle, where Node gives it. */
type OnHandle = (handle: TcpHandle, peer: Peer, acceptedAt: number) => void

/** What a listener does with its peers. */
export interface Reception {
  onSocket: OnSocket
  onHandle?: OnHandle
  /** Of the sockets; Node's own unless given. */
  highWaterMark?: number
}

const loopback4 = '127.0.0.1'
const loopback6 = '::1'
const noSuchAddress: readonly string[] = ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL']
/** How often another free port is tried when that of one loopback address is taken on the other. */
const portAttempts = 20

/** Milliseconds in which a peer is not asked a second time whether it is there. */
const FRESH_MS = 1
/** Milliseconds in which all that connected before the options of its server were set has been accepted. */
const YOUNG_MS = 1000

const socketOptions = Object.freeze({
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: keepAliveSeconds * 1000,
  pauseOnConnect: true,
})

/** The names of what every listener on a port is told. */
export const networkNames = ['port', 'host', 'backlog'] as const

/** Throws GNATMQ_OPTION_INVALID. */
export function networkOptions(
  name: string,
  options: { [name in (typeof networkNames)[number]]?: unknown },
  defaultPort: number,
): NetworkOptions {
  const { host } = options
  const { port = defaultPort, backlog = 4096 } = options
  if (!isWithin(port, 0, 65_535)) {
    throw new MqttError('GNATMQ_OPTION_INVALID', `${name}: port is ${shown(port)}, use 0 to 65535`)
  }
  if (host !== undefined && (typeof host !== 'string' || host === '' || host.includes('\0'))) {
    throw new MqttError('GNATMQ_OPTION_INVALID', `${name}: host is no name or address, leave it out or give one`)
  }
  if (!isWithin(backlog, 1, 0x7fffffff)) {
    throw new MqttError('GNATMQ_OPTION_INVALID', `${name}: backlog is ${shown(backlog)}, use 1 to 2147483647`)
  }
  return { port, host, backlog }
}

function isWithin(value: unknown, minimum: number, maximum: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum
}

/** The servers of one listener while it listens: one, or one for each loopback address. */
export class NetworkServers {
  readonly #servers: Server[] = []
  readonly #context: ListenerContext
  readonly #reception: Reception
  /** Peers that came before `listen` was done. */
  #early: { open: () => void; peer: Arrival }[] | undefined = []
  #closed = false
  /** `clock.now()` from which each handle has inherited its options. */
  #inheritsFrom = Number.NEGATIVE_INFINITY
  /** The time of the handle that a socket is being made for. */
  #enteredAt: number | undefined = undefined

  constructor(context: ListenerContext, reception: Reception) {
    this.#context = context
    this.#reception = reception
  }

  /** One host, or all interfaces. Rejects with MqttError; then nothing stays open. */
  async listen(options: NetworkOptions): Promise<AddressInfo> {
    return this.#opened(() => this.#open(options))
  }

  /** 127.0.0.1, and ::1 on the same port where there is IPv6. Rejects with MqttError; then nothing stays open. */
  async listenOnLoopback(options: NetworkOptions): Promise<AddressInfo> {
    return this.#opened(async () => {
      for (let attempt = 1; ; attempt++) {
        const address = await this.#open({ ...options, host: loopback4 })
        try {
          await this.#open({ ...options, host: loopback6, port: address.port })
          return address
        } catch (error) {
          if (noSuchAddress.includes(codeOf(error))) return address
          if (codeOf(error) !== 'EADDRINUSE' || options.port !== 0 || attempt === portAttempts) throw error
          this.#servers.pop()?.close()
        }
      }
    })
  }

  /** Stops to accept. Accepted sockets stay open. */
  close(): void {
    this.#closed = true
    // No callback: it would wait for the end of every connection.
    for (const server of this.#servers.splice(0)) server.close()
    this.#begin()
  }

  async #opened(open: () => Promise<AddressInfo>): Promise<AddressInfo> {
    try {
      const address = await open()
      if (this.#closed) throw new MqttError('GNATMQ_LISTEN_FAILED', 'the listener was closed while it began to listen')
      // After the promise's own continuations: the caller knows that it listens before the first peer comes.
      setImmediate(() => this.#begin())
      return address
    } catch (error) {
      this.close()
      throw error instanceof MqttError || !(error instanceof ListenError) ? error : error.toMqttError()
    }
  }

  #begin(): void {
    const early = this.#early ?? []
    this.#early = undefined
    for (const { open, peer } of early) this.#context.admit(open, peer)
  }

  #arrive(open: (acceptedAt: number) => void, arrival: Arrival): void {
    // its time begins when it is let in: that it had to wait is not its fault
    const enter = (): void => (this.#closed ? arrival.close() : open(this.#context.clock.now()))
    if (this.#early === undefined) this.#context.admit(enter, arrival)
    else this.#early.push({ open: enter, peer: arrival })
  }

  /** One of a handle that has been let in, or one that came without. */
  #acceptSocket(socket: Socket): void {
    const { onSocket } = this.#reception
    if (this.#enteredAt !== undefined) onSocket(socket, this.#enteredAt)
    else this.#arrive((acceptedAt) => onSocket(socket, acceptedAt), new SocketArrival(this.#context, socket))
  }

  #acceptHandle(handle: TcpHandle, makeSocket: () => void): void {
    const arrival = new HandleArrival(this.#context, handle)
    this.#arrive((acceptedAt) => this.#enter(arrival, makeSocket, acceptedAt), arrival)
  }

  #enter(arrival: HandleArrival, makeSocket: () => void, acceptedAt: number): void {
    const { onHandle } = this.#reception
    const peer = arrival.take()
    // one that was reset while it waited costs nothing more
    if (peer === undefined) arrival.close()
    else if (onHandle !== undefined) {
      if (acceptedAt < this.#inheritsFrom) setOptions(arrival.handle)
      onHandle(arrival.handle, peer, acceptedAt)
    } else {
      this.#enteredAt = acceptedAt
      makeSocket()
      this.#enteredAt = undefined
    }
  }

  #open(options: NetworkOptions): Promise<AddressInfo> {
    const { highWaterMark } = this.#reception
    const server = createServer({ ...socketOptions, highWaterMark }, (socket) => this.#acceptSocket(socket))
    this.#servers.push(server)
    const { port, host, backlog } = options
    return new Promise((resolve, reject) => {
      server.once('error', (cause) => {
        const at = this.#servers.indexOf(server)
        if (at >= 0) this.#servers.splice(at, 1)
        reject(new ListenError(options, cause))
      })
      server.once('close', () => reject(new ListenError(options, new Error('closed'))))
      server.listen(host === undefined ? { port, backlog } : { port, host, backlog }, () => {
        server.removeAllListeners('error')
        server.removeAllListeners('close')
        const isInherited = setInheritedOptions(server)
        const from = isInherited ? this.#context.clock.now() + YOUNG_MS : Number.POSITIVE_INFINITY
        this.#inheritsFrom = Math.max(this.#inheritsFrom, from)
        takeHandles(server, (handle, makeSocket) => this.#acceptHandle(handle, makeSocket))
        // A connection that the system cannot accept, for want of file descriptors, is no reason to end.
        server.on('error', (error) => this.#context.logger.warn({ error }, 'a connection could not be accepted'))
        resolve(server.address() as AddressInfo)
      })
    })
  }
}

/** A peer that the system has accepted, and that has not been let in. What it is asked is a system call each. */
abstract class Arrival implements WaitingPeer {
  readonly #context: ListenerContext

  constructor(context: ListenerContext) {
    this.#context = context
  }

  abstract readonly remoteAddress: string | undefined
  abstract readonly isGone: boolean
  abstract close(): void
  protected abstract readonly peer: Peer

  drop(error: MqttError): void {
    const { peer } = this
    this.close()
    this.#context.refuse(error, peer)
  }
}

class SocketArrival extends Arrival {
  readonly #socket: Socket

  constructor(context: ListenerContext, socket: Socket) {
    super(context)
    this.#socket = socket
  }

  protected get peer(): Peer {
    return addressOf(this.#socket)
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress
  }

  get isGone(): boolean {
    return isClosed(this.#socket)
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** One call tells the address of a handle, and whether its peer is still there. */
class HandleArrival extends Arrival {
  readonly handle: TcpHandle
  readonly #clock: Clock
  /** undefined as long as it was not asked for, and for a peer that has gone. */
  #known: Peer | undefined = undefined
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(context: ListenerContext, handle: TcpHandle) {
    super(context)
    this.handle = handle
    this.#clock = context.clock
  }

  protected get peer(): Peer {
    return this.#known ?? nobody
  }

  get remoteAddress(): string | undefined {
    this.#look()
    return this.#known?.remoteAddress
  }

  get isGone(): boolean {
    this.#look()
    return this.#known === undefined
  }

  /** The peer that is let in now; undefined if it has gone. */
  take(): Peer | undefined {
    this.#look()
    return this.#known
  }

  close(): void {
    this.handle.close?.()
  }

  #look(): void {
    const now = this.#clock.now()
    if (now - this.#lookedAt < FRESH_MS) return
    this.#lookedAt = now
    this.#known = peerOfHandle(this.handle)
  }
}

const codeOf = (error: unknown): string => (error instanceof ListenError ? error.code : '')

/** What a server says when it cannot listen. */
class ListenError extends Error {
  readonly code: string
  readonly options: NetworkOptions

  constructor(options: NetworkOptions, cause: Error) {
    super(cause.message, { cause })
    this.code = 'code' in cause ? String(cause.code) : ''
    this.options = options
  }

  toMqttError(): MqttError {
    const { port, host = 'all interfaces' } = this.options
    const { cause } = this
    if (this.code === 'EADDRINUSE') {
      const message = `port ${port} on ${host} is in use: end the process that listens there, or choose another port`
      return new MqttError('GNATMQ_PORT_IN_USE', message, { cause })
    }
    return new MqttError('GNATMQ_LISTEN_FAILED', `cannot listen on port ${port} of ${host}: ${this.#hint()}`, { cause })
  }

  #hint(): string {
    switch (this.code) {
      case 'EACCES':
        return 'the system does not allow it; ports below 1024 need special rights, choose a higher one'
      case 'EADDRNOTAVAIL':
        return 'this machine has no such address, choose one of its own or leave host out'
      case 'ENOTFOUND':
      case 'EAI_AGAIN':
        return 'the name is not known, give an address'
      default:
        return this.message
    }
  }
}
