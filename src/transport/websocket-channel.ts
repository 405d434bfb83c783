import { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Channel, IncomingBytes, Peer } from '../ports/listener'
import { MqttError, protocolError } from '../protocol/mqtt-error'
import { unsentBytesOf } from './tcp-handle'

type OnBytes = (bytes: Buffer, length: number, isLasting: boolean) => void
type Done = (error?: Error | null) => void

/** Status codes of a Close frame, RFC 6455 section 7.4.1. */
const normal = 1000
const unsupportedData = 1003
const lostWithoutClose = 1006
const tooBig = 1009

/**
 * Bytes without a whole message among them that a peer may send before CONNACK: a CONNECT of 64 KiB, and what one read of the socket may hold
 * beside it. `maxPayload` alone would let each peer fill it.
 */
const BEFORE_CONNACK = 130 * 1024
/** What a peer may have of a message whatever all others have. */
const SHARE = 64 * 1024
/** The type of CONNACK, in the first byte of a packet (section 2.1.2). */
const CONNACK = 2

/** The channel of a WebSocket that has just been opened on this socket. */
export class WebSocketChannel implements Channel {
  readonly stream: WebSocketStream
  /** The server's frames are not masked: the bytes go to the socket as they lie, and it calls back when they are gone. */
  readonly releasesWrites = true

  constructor(
    webSocket: WebSocket,
    private readonly socket: Duplex,
    readonly peer: Peer,
    readonly acceptedAt: number,
    incoming: IncomingBytes,
  ) {
    this.stream = new WebSocketStream(webSocket, socket, incoming)
  }

  get unsentBytes(): number | undefined {
    return unsentBytesOf(this.socket)
  }

  read(onBytes: OnBytes): void {
    this.stream.start(onBytes)
  }

  pause(): void {
    this.stream.hold()
  }

  resume(): void {
    this.stream.release()
  }
}

/**
 * Writes binary frames. What comes goes to `start`'s callback, past the readable side, which stays empty: the bytes are
 * looked at where they lie. Closes once the WebSocket has.
 */
class WebSocketStream extends Duplex {
  readonly #webSocket: WebSocket
  readonly #socket: Duplex
  #onBytes: OnBytes | undefined = undefined
  #held = true
  /** The peer sent its Close frame while the channel was held: its last packets still wait. */
  #over = false
  /** The Close frame that tells why is on its way: destroying the socket would overtake it. */
  #closing = false
  /** Bytes since the last whole message, without those behind it in its last read. */
  #partial = 0
  /** Whether the broker has sent CONNACK. */
  #accepted = false
  readonly #incoming: IncomingBytes
  readonly #count = (chunk: Buffer): void => this.#counted(chunk.length)

  constructor(webSocket: WebSocket, socket: Duplex, incoming: IncomingBytes) {
    super()
    this.#webSocket = webSocket
    this.#socket = socket
    this.#incoming = incoming
    webSocket.pause()
    webSocket.on('message', (bytes, isBinary) => this.#received(bytes as Buffer, isBinary))
    webSocket.on('error', (cause) => this.#violated(cause))
    webSocket.once('close', (status) => this.#closed(status))
    // before the WebSocket looks at the bytes: whole messages take off what they end
    socket.prependListener('data', this.#count)
  }

  start(onBytes: OnBytes): void {
    this.#onBytes = onBytes
    this.release()
  }

  hold(): void {
    this.#held = true
    this.#webSocket.pause()
  }

  release(): void {
    this.#held = false
    if (this.#over) this.destroy()
    else this.#webSocket.resume()
  }

  #received(bytes: Buffer, isBinary: boolean): void {
    this.#settle()
    if (this.destroyed) return
    if (isBinary) {
      if (bytes.length > 0) this.#onBytes?.(bytes, bytes.length, true)
    } else this.#refuse(unsupportedData, protocolError('a text frame: MQTT comes in binary frames [MQTT-6.0.0-1]'))
  }

  #counted(length: number): void {
    this.#partial += length
    this.#incoming.add(length)
    if (this.#partial <= SHARE) return
    if (!this.#accepted && this.#partial > BEFORE_CONNACK)
      this.#overfill(
        'the first frames of a connection hold no more than a CONNECT of 64 KiB',
        'GNATMQ_PACKET_TOO_LARGE',
      )
    else if (!this.#incoming.isWithin)
      this.#overfill('too much of messages that have not arrived whole', 'GNATMQ_QUOTA_EXCEEDED')
  }

  #overfill(text: string, code: 'GNATMQ_PACKET_TOO_LARGE' | 'GNATMQ_QUOTA_EXCEEDED'): void {
    if (this.destroyed) this.#webSocket.terminate()
    else this.#refuse(tooBig, new MqttError(code, text))
  }

  #settle(): void {
    this.#incoming.add(-this.#partial)
    this.#partial = 0
  }

  /** The peer does not keep to RFC 6455, or a frame is too large. The WebSocket has sent the Close frame. */
  #violated(cause: Error & { code?: string }): void {
    const message = `the WebSocket failed: ${cause.message}`
    const isTooLarge = cause.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
    this.#refuse(
      tooBig,
      isTooLarge ? tooLarge(message, cause) : new MqttError('GNATMQ_PROTOCOL_ERROR', message, { cause }),
    )
  }

  #refuse(status: number, error: MqttError): void {
    if (this.destroyed) return
    this.#closing = true
    this.#close(status)
    // as RFC 6455 has it in section 7.1.7: a peer that broke the rules is not waited for
    this.#socket.end()
    this.destroy(error)
  }

  #close(status: number): void {
    this.#webSocket.close(status)
    // the peer's Close frame is to be read
    this.#webSocket.resume()
  }

  /**
   * Packets and the Close frame behind them may come in one read. While the broker holds the peer, for a hook or the
   * store, these packets wait: the end waits for them, as that of a paused socket does.
   */
  #closed(status: number): void {
    this.#socket.off('data', this.#count)
    this.#settle()
    if (this.#held && status !== lostWithoutClose) this.#over = true
    else this.destroy()
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send([{ chunk }], done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#send(chunks, done)
  }

  #send(chunks: readonly { chunk: Buffer }[], done: Done): void {
    const webSocket = this.#webSocket
    // nothing is read between the Close frame and the end
    if (webSocket.readyState !== webSocket.OPEN) {
      done()
      return
    }
    // before it only AUTH is sent, which admits no client
    if (!this.#accepted) this.#accepted = chunks[0]!.chunk[0]! >> 4 === CONNACK
    let settled = false
    const settle: Done = (error) => {
      if (settled) return
      settled = true
      done(error)
    }
    const last = chunks.length - 1
    this.#socket.cork()
    for (let i = 0; i < last; i++) webSocket.send(chunks[i]!.chunk)
    webSocket.send(chunks[last]!.chunk, settle)
    this.#socket.uncork()
    // taken by the system at once: no need to wait for the callback, which comes a tick later
    if (webSocket.bufferedAmount === 0) settle()
  }

  override _final(done: Done): void {
    this.#close(normal)
    done()
  }

  override _destroy(error: Error | null, done: Done): void {
    const webSocket = this.#webSocket
    if (webSocket.readyState === webSocket.CLOSED) {
      done(error)
      return
    }
    webSocket.once('close', () => done(error))
    if (!this.#closing) webSocket.terminate()
  }
}

const tooLarge = (message: string, cause?: unknown): MqttError =>
  new MqttError('GNATMQ_PACKET_TOO_LARGE', message, { cause })
