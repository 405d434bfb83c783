import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Channel, Peer } from '../ports/listener'
import { readRemains } from './read-remains'
import { type HandleOwner, isReadable, stopReading, type TcpHandle, unsentBytesOf } from './tcp-handle'

type OnBytes = (bytes: Buffer, length: number) => void

interface HandleSocketOptions extends SocketConstructorOpts {
  handle: TcpHandle
  onread: OnReadOpts
  /** Leaves reading to `read`. */
  manualStart: true
}

/** A socket on the handle of an accepted one, which reads into a buffer that it shares. */
class OnReadSocket extends Socket {
  onBytes: OnBytes | undefined = undefined
  /** Why nothing more can be written, while what the peer sent before is still read. */
  #writeError: Error | undefined = undefined

  constructor(handle: TcpHandle, { onread }: ReadBuffer) {
    const options: HandleSocketOptions = { handle, manualStart: true, readable: true, writable: true, onread }
    super(options)
  }

  /**
   * A peer that has closed answers a write with a reset. What it sent before that still lies in the system while the
   * socket is paused: it is read first.
   */
  override destroy(error?: Error): this {
    if (this.#writeError === undefined && isWriteError(error) && !this.readableEnded && this.onBytes !== undefined) {
      this.#writeError = error
      this.resume()
      return this
    }
    return super.destroy(error ?? this.#writeError)
  }

  override push(chunk: unknown): boolean {
    if (chunk !== null || this.#writeError === undefined) return super.push(chunk)
    super.destroy(this.#writeError)
    return false
  }
}

/** Node's errors of system calls name the call. */
const isWriteError = (error: (Error & { syscall?: string }) | undefined): error is Error => error?.syscall === 'write'

/** One buffer for the reads of all connections of a listener: the kernel fills it, the broker empties it before the next read. */
export class ReadBuffer {
  readonly onread: OnReadOpts

  constructor() {
    const buffer = Buffer.allocUnsafeSlow(64 * 1024)
    this.onread = {
      buffer,
      callback(this: OnReadSocket, length: number): boolean {
        this.onBytes?.(buffer, length)
        return true
      },
    }
  }
}

/** The channel of an accepted TCP socket that has not begun to read (`pauseOnConnect`), or has nothing left of what it has read. */
export function tcpChannel(socket: Socket, acceptedAt: number, buffer: ReadBuffer): Channel {
  const owner = socket as HandleOwner
  const handle = owner._handle
  const peer = addressOf(socket)
  if (!handle || !isReadable(handle) || socket.readableLength > 0) return new StreamChannel(socket, peer, acceptedAt)
  stopReading(handle)
  owner._handle = null
  return handleChannel(handle, peer, acceptedAt, buffer)
}

/** The same where there is no more than a handle yet, one that `isReadable`. */
export function handleChannel(handle: TcpHandle, peer: Peer, acceptedAt: number, buffer: ReadBuffer): Channel {
  return new OnReadChannel(new OnReadSocket(handle, buffer), peer, acceptedAt)
}

export function addressOf(socket: Socket): Peer {
  return { remoteAddress: socket.remoteAddress, remotePort: socket.remotePort }
}

/** Small, as there is one for every idle connection. */
class OnReadChannel implements Channel {
  readonly stream: OnReadSocket
  /** Kept, as the socket would ask the system for it a second time. */
  readonly peer: Peer
  readonly acceptedAt: number

  constructor(stream: OnReadSocket, peer: Peer, acceptedAt: number) {
    this.stream = stream
    this.peer = peer
    this.acceptedAt = acceptedAt
  }

  get releasesWrites(): boolean {
    return true
  }

  get unsentBytes(): number | undefined {
    return unsentBytesOf(this.stream)
  }

  read(onBytes: OnBytes): void {
    this.stream.onBytes = onBytes
    this.stream.read(0)
  }

  pause(): void {
    this.stream.pause()
  }

  resume(): void {
    this.stream.resume()
  }
}

/** A channel that reads by 'data' events: TLS, and TCP where Node's handles are other than known. */
export class StreamChannel implements Channel {
  readonly releasesWrites = true

  constructor(
    readonly stream: Duplex,
    readonly peer: Peer,
    readonly acceptedAt: number,
  ) {}

  get unsentBytes(): number | undefined {
    return unsentBytesOf(this.stream)
  }

  read(onBytes: OnBytes): void {
    const receive = (chunk: Buffer): void => onBytes(chunk, chunk.length)
    this.stream.on('data', receive)
    readRemains(this.stream, receive)
    this.stream.resume()
  }

  pause(): void {
    this.stream.pause()
  }

  resume(): void {
    this.stream.resume()
  }
}
