import { Duplex } from 'node:stream'
import { givenInteger, givenString, invalidValue, readFields } from '../ports/given-values'
import type { Channel, Listener, ListenerAddress, ListenerContext, Peer } from '../ports/listener'
import { MqttError } from '../protocol/mqtt-error'
import { readRemains } from './read-remains'

/** Bytes that one direction holds before its writer has to wait. */
const CAPACITY = 64 * 1024

type Done = (error?: Error | null) => void

/** A listener without a network: clients of the same process, and streams that something else has accepted. */
export interface InProcessListener extends Listener {
  /**
   * Opens a connection to the running broker and gives the client's end of it, as MQTT.js takes it:
   * `new mqtt.MqttClient(() => listener.connect(), options)`. Nothing is copied on the way: don't change bytes that you
   * have written or read. While no broker listens, the stream is destroyed with GNATMQ_NOT_RUNNING, as a refused
   * connection is. `peer` is the address that the broker sees.
   */
  connect(peer?: Partial<Peer>): Duplex
  /**
   * Hands any byte stream to the broker, which reads, writes, ends and destroys it from now on. Throws
   * GNATMQ_NOT_RUNNING while no broker listens, and GNATMQ_CONNECTION_LOST for a stream that is already closed; the
   * stream then stays yours.
   */
  handle(stream: Duplex, peer?: Partial<Peer>): void
}

/** Connections inside this process, and any Duplex that you bring. Give each broker its own. */
export function inProcess(): InProcessListener {
  return new InProcess()
}

class InProcess implements InProcessListener {
  readonly exposure = 'local'
  readonly host = undefined
  #context: ListenerContext | undefined

  async listen(context: ListenerContext): Promise<ListenerAddress> {
    if (this.#context !== undefined) {
      throw new MqttError(
        'GNATMQ_LISTEN_FAILED',
        'this listener already listens: give every broker its own inProcess()',
      )
    }
    this.#context = context
    return { protocol: 'in-process', host: '', port: 0 }
  }

  async close(): Promise<void> {
    this.#context = undefined
  }

  connect(given: Partial<Peer> = {}): Duplex {
    const peer = asPeer(given)
    // like a socket of node:net, the client's end ends when the broker does
    const client = new PairEnd(false)
    const context = this.#context
    if (context === undefined) return client.destroy(notListening('connect()'))
    const broker = new PairEnd(true)
    client.other = broker
    broker.other = client
    context.accept(new DuplexChannel(broker, peer, context.clock.now()))
    return client
  }

  handle(stream: Duplex, given: Partial<Peer> = {}): void {
    if (!isDuplex(stream)) throw invalidValue('the stream', 'a Duplex', stream)
    const peer = asPeer(given)
    const context = this.#context
    if (context === undefined) throw notListening('handle()')
    if (stream.destroyed || !stream.readable || !stream.writable) {
      throw new MqttError(
        'GNATMQ_CONNECTION_LOST',
        'the stream is closed, or half of it is: hand over one that is open',
      )
    }
    context.accept(new DuplexChannel(stream, peer, context.clock.now()))
  }
}

function notListening(operation: string): MqttError {
  return new MqttError('GNATMQ_NOT_RUNNING', `${operation} of a listener whose broker does not run: start() it first`)
}

const peerNames = ['remoteAddress', 'remotePort', 'servername', 'certificate', 'tlsVersion', 'path'] as const

function isDuplex(value: unknown): value is Duplex {
  const { on, write, pause } = (value ?? {}) as Partial<Duplex>
  return typeof on === 'function' && typeof write === 'function' && typeof pause === 'function'
}

function asPeer(peer: Partial<Peer>): Peer {
  const given = readFields('peer', peer, peerNames)
  const { path, remoteAddress, remotePort, servername, tlsVersion } = given
  for (const [name, value] of Object.entries({ remoteAddress, servername, tlsVersion, path }))
    if (value !== undefined) givenString(`peer.${name}`, value)
  if (remotePort !== undefined) givenInteger('peer.remotePort', remotePort, 0, 65_535)
  return { remoteAddress: undefined, remotePort: undefined, ...(given as Partial<Peer>) }
}

class DuplexChannel implements Channel {
  /** What is written may lie in the other end's buffer until it is read. */
  readonly releasesWrites = false

  constructor(
    readonly stream: Duplex,
    readonly peer: Peer,
    readonly acceptedAt: number,
  ) {}

  read(onBytes: (bytes: Buffer, length: number) => void): void {
    const receive = (chunk: Uint8Array | string): void => {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array)
      onBytes(bytes, bytes.length)
    }
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

/** One of two streams that read what the other writes. */
class PairEnd extends Duplex {
  other: PairEnd | undefined = undefined
  /** Lets the other end go on writing, once this one has room again. */
  #whenRead: Done | undefined = undefined
  /** Ends the other's write that is under way, should this end close before it is taken. */
  #writing: Done | undefined = undefined

  constructor(allowHalfOpen: boolean) {
    super({ allowHalfOpen, highWaterMark: CAPACITY })
  }

  override _read(): void {
    const done = this.#whenRead
    this.#whenRead = undefined
    done?.()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#hand([{ chunk }], done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#hand(chunks, done)
  }

  /** A tick later, as over a socket: what the reader throws or writes does not run within the writer's call. */
  #hand(chunks: readonly { chunk: Buffer }[], done: Done): void {
    this.#writing = done
    process.nextTick(() => {
      if (this.destroyed) return
      const taken = (): void => {
        this.#writing = undefined
        done()
      }
      if (this.other!.#take(chunks)) taken()
      else this.other!.#whenRead = taken
    })
  }

  /** False while the writer has to wait. */
  #take(chunks: readonly { chunk: Buffer }[]): boolean {
    if (this.destroyed) return false
    let room = true
    for (const { chunk } of chunks) room = this.push(chunk)
    return room
  }

  override _final(done: Done): void {
    process.nextTick(() => {
      const { other } = this
      if (other !== undefined && !other.destroyed) other.push(null)
      done()
    })
  }

  /** Closes the other end too, unless both halves have ended: the other may then still read what was written. */
  override _destroy(error: Error | null, done: Done): void {
    const writing = this.#writing
    this.#writing = undefined
    if (!this.readableEnded || !this.writableFinished) process.nextTick(() => this.other?.destroy())
    done(error)
    writing?.(error ?? new MqttError('GNATMQ_CONNECTION_LOST', 'the connection was closed before the write was done'))
  }
}
