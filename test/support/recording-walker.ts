import { Frame, FrameStatus, readFrame } from '../../src/protocol/frame'

const frame = new Frame()

/** Walks packets as a connection does and keeps a copy of each. */
export class RecordingWalker {
  readonly packets: string[] = []
  parked = false
  closing = false
  /** Whether the bytes of each packet were said to lie still. */
  readonly stable: boolean[] = []
  /** Bytes that were walked more than once would show up here as calls. */
  walks = 0
  private readonly onPacket: (walker: RecordingWalker) => void
  private readonly maximumPacketSize: number

  constructor(onPacket: (walker: RecordingWalker) => void = () => undefined, maximumPacketSize = 0xfffffff + 5) {
    this.onPacket = onPacket
    this.maximumPacketSize = maximumPacketSize
  }

  get waits(): boolean {
    return this.parked
  }

  walk(bytes: Buffer, at: number, limit: number, stable: boolean): number {
    this.walks++
    while (at < limit && !this.parked && !this.closing) {
      const status = readFrame(frame, bytes, at, limit, this.maximumPacketSize, true)
      if (status === FrameStatus.Partial) break
      if (status !== FrameStatus.Whole) {
        this.closing = true
        break
      }
      this.packets.push(bytes.toString('hex', at, frame.end))
      this.stable.push(stable)
      at = frame.end
      this.onPacket(this)
    }
    return at
  }

  packetLength(bytes: Buffer, at: number, limit: number): number {
    const status = readFrame(frame, bytes, at, limit, this.maximumPacketSize, true)
    if (status === FrameStatus.Whole || status === FrameStatus.Partial) return frame.end === 0 ? 0 : frame.end - at
    this.closing = true
    return -1
  }

  fail(): void {
    this.closing = true
  }
}
