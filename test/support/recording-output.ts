import { type Packet, parser } from 'mqtt-packet'
import { Output } from '../../src/protocol/output'
import type { ProtocolVersion } from '../../src/protocol/packet'
import { PublishEnvelopes } from '../../src/protocol/publish-envelope'

/** An Output that keeps what is written to it. */
export class RecordingOutput extends Output {
  /** Pieces that were attached, not copied. */
  readonly attached: Uint8Array[] = []
  dropped = 0
  /** Whether there is room for a large packet. */
  room = true
  /** How often the bytes were asked to be sent. */
  marks = 0
  private readonly chunks: Uint8Array[] = []

  constructor(version: ProtocolVersion = 4, dialect = version === 5 ? 1 : 0) {
    super(new PublishEnvelopes(), [0, 0, 0])
    this.version = version
    this.dialect = dialect
    this.bytes = Buffer.alloc(8)
  }

  override admits(): boolean {
    return this.room
  }

  /** All that was written so far. */
  get all(): Buffer {
    return Buffer.concat([...this.chunks, this.bytes.subarray(0, this.length)])
  }

  /** What was written since the last call, as mqtt-packet reads it. */
  packets(): Packet[] {
    const packets = parsePackets(this.all, this.version)
    this.forget()
    return packets
  }

  /** What was written since the last call, in short: `publish 1 a/b`, `pubrel 1`. */
  brief(): string[] {
    return this.packets().map((packet) => {
      if (packet.cmd !== 'publish') return `${packet.cmd} ${packet.messageId}`
      const identifier = packet.qos === 0 ? '' : ` ${packet.messageId}`
      return `${packet.dup ? 'dup ' : ''}publish${identifier} ${packet.topic}`
    })
  }

  private forget(): void {
    this.chunks.length = 0
    this.length = 0
  }

  override attach(bytes: Uint8Array): void {
    this.attached.push(bytes)
    this.chunks.push(Buffer.from(this.bytes.subarray(0, this.length)), bytes)
    this.length = 0
  }

  override drop(messages: number): void {
    this.dropped += messages
  }

  override run(start: number, end: number): void {
    throw new Error(`there is no chunk here whose bytes ${start} to ${end} could be forwarded`)
  }

  override settleRun(): void {
    this.runEnd = -1
  }

  protected override grow(n: number): void {
    const larger = Buffer.alloc((this.length + n) * 2)
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  protected override mark(): void {
    this.dirty = true
    this.marks++
  }
}

/** The packets in a piece of bytes, which must be whole. */
export function parsePackets(bytes: Buffer, version: ProtocolVersion): Packet[] {
  const packets: Packet[] = []
  const reader = parser({ protocolVersion: version })
  reader.on('packet', (packet: Packet) => packets.push(packet))
  reader.on('error', (error: Error) => {
    throw error
  })
  if (reader.parse(bytes) !== 0) throw new Error('bytes are left over behind the last packet')
  return packets
}
