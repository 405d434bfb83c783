import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { shown } from '../ports/given-values'
import type { ListenerContext, Peer, WaitingPeer } from '../ports/listener'
import { MqttError } from '../protocol/mqtt-error'
import { addressOf } from './socket-channel'
import { isClosed, isGone, keepAliveSeconds, peerOfHandle, setOptions, type TcpHandle, takeHandles } from './tcp-handle'

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
type OnHandle = (handle: TcpHandle, acceptedAt: number) => void

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
    if (this.#enteredAt !== undefined) {
      onSocket(socket, this.#enteredAt)
      return
    }
    this.#arrive(
      (acceptedAt) => onSocket(socket, acceptedAt),
      new Arrival(this.#context, {
        peer: () => addressOf(socket),
        isGone: () => isClosed(socket),
        close: () => socket.destroy(),
      }),
    )
  }

  #acceptHandle(handle: TcpHandle, makeSocket: () => void): void {
    this.#arrive(
      (acceptedAt) => this.#enter(handle, makeSocket, acceptedAt),
      new Arrival(this.#context, {
        peer: () => peerOfHandle(handle),
        isGone: () => isGone(handle),
        close: () => handle.close?.(),
      }),
    )
  }

  #enter(handle: TcpHandle, makeSocket: () => void, acceptedAt: number): void {
    const { onHandle } = this.#reception
    // one that was reset while it waited costs nothing more
    if (isGone(handle)) handle.close?.()
    else if (onHandle !== undefined) {
      setOptions(handle)
      onHandle(handle, acceptedAt)
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
        takeHandles(server, (...accepted) => this.#acceptHandle(...accepted))
        // A connection that the system cannot accept, for want of file descriptors, is no reason to end.
        server.on('error', (error) => this.#context.logger.warn({ error }, 'a connection could not be accepted'))
        resolve(server.address() as AddressInfo)
      })
    })
  }
}

/** What the system has accepted. */
interface Accepted {
  peer(): Peer
  isGone(): boolean
  close(): void
}

/** A peer that the system has accepted, and that has not been let in. */
class Arrival implements WaitingPeer {
  readonly #context: ListenerContext
  readonly #accepted: Accepted

  constructor(context: ListenerContext, accepted: Accepted) {
    this.#context = context
    this.#accepted = accepted
  }

  /** A system call: asked for only where the peer has to wait. */
  get remoteAddress(): string | undefined {
    return this.#accepted.peer().remoteAddress
  }

  /** A system call as well. */
  get isGone(): boolean {
    return this.#accepted.isGone()
  }

  close(): void {
    this.#accepted.close()
  }

  drop(error: MqttError): void {
    const peer = this.#accepted.peer()
    this.close()
    this.#context.refuse(error, peer)
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
