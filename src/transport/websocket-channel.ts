import { Duplex } from 'node:stream'
import type { Clock } from '../ports/clock'
import type { Channel, Peer } from '../ports/listener'
import { MqttError } from '../protocol/mqtt-error'
import type { FrameDecoder, FrameEnd } from './frame-decoder'
import { frameHead, Opcode, Status, statusBytes, wholeFrame } from './websocket-frame'

type OnBytes = (bytes: Buffer, length: number) => void
type Done = (error?: Error | null) => void

/** How long a peer may take to close its connection once the Close frame is on its way. */
const FAREWELL_MS = 2000
/** Frames of one peer before others have their turn: those without a payload would cost time that nothing counts. */
const FRAMES_A_TURN = 4096
/** Several writes share a frame up to this length: many clients read a frame as a whole, and some bound it. */
const SHARED_FRAME = 64 * 1024

/** The channel of a WebSocket behind its handshake. `source` has the bytes of its frames, `head` those that have come already. */
export class WebSocketChannel implements Channel {
  readonly stream: WebSocketStream
  readonly releasesWrites: boolean

  constructor(
    private readonly source: Channel,
    readonly peer: Peer,
    readonly acceptedAt: number,
    decoder: FrameDecoder,
    head: Buffer,
    clock: Clock,
  ) {
    this.stream = new WebSocketStream(source, decoder, head, clock)
    this.releasesWrites = source.releasesWrites
  }

  get unsentBytes(): number | undefined {
    return this.source.unsentBytes
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
 * Writes binary frames. What comes goes to `start`'s callback, past the readable side, which has nothing but its end: the bytes are
 * looked at where they lie.
 */
class WebSocketStream extends Duplex {
  readonly #source: Channel
  readonly #decoder: FrameDecoder
  readonly #clock: Clock
  /** What came with the upgrade request, until it is read. */
  #head: Buffer | undefined
  #onBytes: OnBytes | undefined = undefined
  #held = true
  /** True while it is the turn of others. */
  #yielding = false
  /** Nothing more comes: the peer has sent its Close frame, has broken the rules or has ended its half. */
  #over = false
  /** The Close frame is sent: nothing is written behind it. */
  #closeSent = false
  /** That Close frame is the last that the peer is told, and waits for its end: to destroy the socket would overtake it. */
  #lingers = false
  /** A Pong is on its way, and the last Ping that came meanwhile. */
  #ponging = false
  #nextPong: Buffer | null = null
  #gone = false
  #stopTimer: (() => void) | undefined = undefined
  #whenGone: (() => void) | undefined = undefined

  constructor(source: Channel, decoder: FrameDecoder, head: Buffer, clock: Clock) {
    // unless the broker decides otherwise, the end of the peer's half is answered
    super({ allowHalfOpen: false })
    this.#source = source
    this.#decoder = decoder
    this.#clock = clock
    this.#head = head.length > 0 ? head : undefined
    source.stream.allowHalfOpen = true
    source.read((bytes, length) => this.#received(bytes, length))
    source.pause()
    source.stream.on('end', () => this.#ended())
    source.stream.on('error', (error) => this.#broke(error))
    source.stream.on('close', () => this.#closed())
  }

  start(onBytes: OnBytes): void {
    this.#onBytes = onBytes
    const head = this.#head
    if (head === undefined) {
      this.release()
      return
    }
    // not within the call that asks for them
    process.nextTick(() => {
      this.#head = undefined
      this.#received(head, head.length)
      this.#flow()
    })
    this.#held = false
  }

  hold(): void {
    this.#held = true
    this.#flow()
  }

  release(): void {
    this.#held = false
    if (this.#over) this.#endReading()
    else this.#flow()
  }

  /** Behind the last of either side, the end of the connection is read in any case. */
  #flow(): void {
    if (this.#over || this.#closeSent || !(this.#held || this.#yielding || this.#head !== undefined))
      this.#source.resume()
    else this.#source.pause()
  }

  #received(bytes: Buffer, length: number): void {
    if (this.#over || this.destroyed) return
    const decoder = this.#decoder
    const count = decoder.decode(bytes, length)
    if (count > 0) this.#onBytes?.(bytes, count)
    if (this.destroyed) return
    if (decoder.ping !== null) this.#pong(decoder.ping)
    decoder.ping = null
    if (decoder.end !== null) this.#conclude(decoder.end)
    else if (decoder.frames >= FRAMES_A_TURN) this.#yield()
  }

  #yield(): void {
    this.#decoder.frames = 0
    this.#yielding = true
    this.#flow()
    setImmediate(() => {
      this.#yielding = false
      this.#flow()
    })
  }

  /** One Pong at a time, and the last Ping that came is the next that is answered: a peer that does not read gets no more. */
  #pong(payload: Buffer): void {
    if (this.#closeSent) return
    if (this.#ponging) {
      this.#nextPong = payload
      return
    }
    this.#ponging = true
    this.#source.stream.write(wholeFrame(Opcode.Pong, payload), () => {
      this.#ponging = false
      const next = this.#nextPong
      this.#nextPong = null
      if (next !== null) this.#pong(next)
    })
  }

  #conclude({ status, fault }: FrameEnd): void {
    this.#over = true
    this.#linger(status)
    if (fault === undefined) {
      if (!this.#held) this.#endReading()
      return
    }
    const code = status === Status.TooBig ? 'GNATMQ_PACKET_TOO_LARGE' : 'GNATMQ_PROTOCOL_ERROR'
    this.destroy(new MqttError(code, `the WebSocket failed: ${fault}`))
  }

  /** Answers with the Close frame, and waits a little for the peer to close, as RFC 6455 has it in section 7.1.1. */
  #linger(status: number | undefined): void {
    this.#sendClose(status)
    this.#source.stream.end()
    this.#flow()
    if (this.#gone) return
    this.#lingers = true
    this.#stopTimer = this.#clock.after(FAREWELL_MS, () => this.#source.stream.destroy())
  }

  #sendClose(status: number | undefined): void {
    if (this.#closeSent) return
    this.#closeSent = true
    const payload = status === undefined ? Buffer.alloc(0) : statusBytes(status)
    this.#source.stream.write(wholeFrame(Opcode.Close, payload))
  }

  /** The peer has ended its half without a Close frame, and may still wait for answers. */
  #ended(): void {
    if (this.#over) return
    this.#over = true
    if (!this.#held) this.#endReading()
  }

  /** Behind the Close frame, no way to close is an error. */
  #broke(error: Error): void {
    if (!this.#lingers) this.destroy(error)
  }

  #endReading(): void {
    if (this.destroyed || this.readableEnded) return
    if (this.#gone) {
      this.destroy()
      return
    }
    this.push(null)
    this.resume()
  }

  /**
   * Packets and the Close frame behind them may come in one read. While the broker holds the peer, for a hook or the
   * store, these packets wait: the end waits for them, as that of a paused socket does.
   */
  #closed(): void {
    this.#gone = true
    this.#stopTimer?.()
    if (this.destroyed) this.#whenGone?.()
    else if (!(this.#lingers && this.#held)) this.destroy()
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send([{ chunk }], done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#send(chunks, done)
  }

  #send(chunks: readonly { chunk: Buffer }[], done: Done): void {
    // nothing is read between the Close frame and the end
    if (this.#closeSent) {
      done()
      return
    }
    const { stream } = this.#source
    let isDone = false
    // an error is told by the socket itself, behind what the peer has sent before it
    const settle = (): void => {
      if (isDone) return
      isDone = true
      done()
    }
    stream.cork()
    for (let at = 0; at < chunks.length; ) {
      const end = frameEnd(chunks, at)
      stream.write(frameHead(Opcode.Binary, bytesOf(chunks, at, end)))
      for (; at < end; at++) stream.write(chunks[at]!.chunk, at === chunks.length - 1 ? settle : undefined)
    }
    stream.uncork()
    // taken by the system at once: no need to wait for the callback, which comes a tick later
    if (stream.writableLength === 0) settle()
  }

  override _final(done: Done): void {
    this.#sendClose(Status.Normal)
    this.#source.stream.end(() => done())
    this.#flow()
  }

  override _destroy(error: Error | null, done: Done): void {
    if (this.#gone) {
      done(error)
      return
    }
    this.#whenGone = () => done(error)
    if (!this.#lingers) this.#source.stream.destroy()
  }
}

/** The end of the chunks that share a frame with the one at `start`. */
function frameEnd(chunks: readonly { chunk: Buffer }[], start: number): number {
  let end = start + 1
  for (let length = chunks[start]!.chunk.length; end < chunks.length; end++) {
    length += chunks[end]!.chunk.length
    if (length > SHARED_FRAME) break
  }
  return end
}

function bytesOf(chunks: readonly { chunk: Buffer }[], start: number, end: number): number {
  let length = 0
  for (let at = start; at < end; at++) length += chunks[at]!.chunk.length
  return length
}
