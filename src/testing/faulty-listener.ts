import { Duplex } from 'node:stream'
import type { Clock } from '../ports/clock'
import type { Channel, Listener, ListenerAddress, ListenerContext, Peer } from '../ports/listener'
import type { TlsOptions } from '../ports/tls'
import { decodePacket } from '../protocol/codec'
import { PacketType } from '../protocol/packet'
import { readVariableByteInteger, variableByteIntegerLength } from '../protocol/variable-byte-integer'
import { type Link, type LinkedConnection, type Links, Wire } from './faults'
import { PacketCutter } from './packet-stream'

/** A listener whose connections have the faults of their clients' links. */
export class FaultyListener implements Listener {
  readonly updateTls?: (options: TlsOptions) => void
  private readonly inner: Listener
  private readonly links: Links

  constructor(inner: Listener, links: Links) {
    this.inner = inner
    this.links = links
    if (inner.updateTls !== undefined) this.updateTls = (options) => inner.updateTls!(options)
  }

  get exposure(): Listener['exposure'] {
    return this.inner.exposure
  }

  get host(): string | undefined {
    return this.inner.host
  }

  listen(context: ListenerContext): Promise<ListenerAddress> {
    const accept = (channel: Channel): void => context.accept(new FaultyChannel(channel, this.links, context.clock))
    return this.inner.listen({ ...context, accept })
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

/** The broker's end of a connection whose packets pass a link. */
class FaultyChannel implements Channel, LinkedConnection {
  readonly stream: Duplex
  readonly releasesWrites = true
  private link: Link | undefined
  private readonly toBroker: Wire
  private readonly toClient: Wire
  private readonly fromClient = new PacketCutter()
  private readonly fromBroker = new PacketCutter()
  private readonly inner: Channel
  private readonly links: Links

  constructor(inner: Channel, links: Links, clock: Clock) {
    this.inner = inner
    this.links = links
    const isHeld = (): boolean => this.link?.isPartitioned === true
    this.toBroker = new Wire(clock, isHeld)
    this.toClient = new Wire(clock, isHeld)
    this.stream = this.brokersEnd()
    inner.stream.on('error', () => undefined)
    inner.stream.on('end', () => this.end(this.toBroker, () => this.stream.push(null)))
    inner.stream.on('close', () => this.end(this.toBroker, () => this.stream.destroy()))
  }

  get peer(): Peer {
    return this.inner.peer
  }

  get acceptedAt(): number {
    return this.inner.acceptedAt
  }

  read(onBytes: (bytes: Buffer, length: number, isLasting?: boolean) => void): void {
    this.stream.on('data', (bytes: Buffer) => onBytes(bytes, bytes.length, true))
    this.inner.read((bytes, length) => this.received(Buffer.from(bytes.subarray(0, length))))
  }

  pause(): void {
    this.stream.pause()
    this.inner.pause()
  }

  resume(): void {
    this.stream.resume()
    this.inner.resume()
  }

  healed(): void {
    this.toBroker.go()
    this.toClient.go()
  }

  cut(): void {
    this.toBroker.clear()
    this.toClient.clear()
    this.inner.stream.destroy()
    this.stream.destroy()
  }

  private brokersEnd(): Duplex {
    return new Duplex({
      allowHalfOpen: true,
      read: () => undefined,
      write: (bytes: Buffer, _encoding, done) => this.sent(Buffer.from(bytes), done),
      final: (done) => {
        this.end(this.toClient, () => this.inner.stream.end())
        done()
      },
      destroy: (error, done) => {
        this.end(this.toClient, () => {
          this.link?.leave(this)
          this.inner.stream.destroy()
        })
        done(error)
      },
    })
  }

  private received(bytes: Buffer): void {
    for (const packet of this.fromClient.cut(bytes)) {
      this.meet(packet)
      this.pass(packet, 'toBroker', () => undefined)
    }
  }

  /** `done` once the client's end has taken it: a reader that is slow, or away, is slow for the broker too. */
  private sent(bytes: Buffer, done: () => void): void {
    const packets = this.fromBroker.cut(bytes)
    if (packets.length === 0) done()
    packets.forEach((packet, at) => {
      this.pass(packet, 'toClient', at === packets.length - 1 ? done : () => undefined)
    })
  }

  private pass(packet: Buffer, direction: 'toBroker' | 'toClient', passed: () => void): void {
    const { pieces, delayMs } = this.link?.pass(packet, direction) ?? { pieces: [packet], delayMs: 0 }
    const wire = direction === 'toBroker' ? this.toBroker : this.toClient
    if (pieces.length === 0) wire.add(delayMs, (done) => done())
    pieces.forEach((piece, at) => {
      const isLast = at === pieces.length - 1
      wire.add(delayMs, (done) => {
        const next = isLast ? done : (): void => void setImmediate(done)
        if (direction === 'toBroker') this.deliver(piece, next)
        else this.inner.stream.write(piece, () => isLast && passed())
        if (direction === 'toClient') next()
      })
    })
    if (pieces.length === 0) passed()
  }

  private deliver(piece: Uint8Array, next: () => void): void {
    if (!this.stream.destroyed && !this.stream.readableEnded) this.stream.push(piece)
    next()
  }

  /** A connection belongs to the link of the client that its CONNECT names. */
  private meet(packet: Buffer): void {
    if (this.link !== undefined || packet[0]! >> 4 !== PacketType.Connect) return
    const clientId = clientIdOf(packet)
    if (clientId === undefined) return
    this.link = this.links.get(clientId)
    this.link.join(this)
  }

  /** After what is on its way. */
  private end(wire: Wire, run: () => void): void {
    const remains = (wire === this.toBroker ? this.fromClient : this.fromBroker).remains()
    wire.add(0, (done) => {
      if (remains.length > 0) {
        if (wire === this.toBroker) this.deliver(remains, () => undefined)
        else if (!this.inner.stream.destroyed) this.inner.stream.write(remains)
      }
      run()
      done()
    })
  }
}

/** undefined for a CONNECT that the broker will refuse. */
function clientIdOf(packet: Buffer): string | undefined {
  const remaining = readVariableByteInteger(packet, 1, packet.length)
  try {
    const connect = decodePacket(packet, 0, 1 + variableByteIntegerLength(remaining), packet.length, 4)
    return connect.type === PacketType.Connect ? connect.clientId : undefined
  } catch {
    return undefined
  }
}
