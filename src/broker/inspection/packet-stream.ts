import { Frame, FrameStatus, readFrame } from '../../protocol/frame'

/** Bytes of a packet that are kept. */
export const KEPT_BYTES = 4096

/** Called with the first bytes of each packet, up to `KEPT_BYTES`, and its length. */
export type PacketListener = (head: Buffer, size: number) => void

/** Finds the packets in the bytes that the broker itself has written to one client, in whatever pieces they come. */
export class PacketStream {
  private readonly frame = new Frame()
  /** What has come of a packet that is not whole, as far as it is kept. */
  private head: Buffer = nothing
  /** Bytes of it that have come, and that are still to come; 0 where its length is not known. */
  private size = 0
  private missing = 0

  push(bytes: Uint8Array, listener: PacketListener): void {
    let chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    if (this.missing > 0) {
      const taken = Math.min(this.missing, chunk.length)
      this.keep(chunk.subarray(0, taken))
      this.missing -= taken
      if (this.missing > 0) return
      const { head, size } = this
      this.reset()
      listener(head, size)
      chunk = chunk.subarray(taken)
    } else if (this.size > 0) {
      chunk = Buffer.concat([this.head, chunk])
      this.reset()
    }
    this.walk(chunk, listener)
  }

  private walk(chunk: Buffer, listener: PacketListener): void {
    const { frame } = this
    for (let at = 0; at < chunk.length; at = frame.end) {
      const status = readFrame(frame, chunk, at, chunk.length, Number.POSITIVE_INFINITY, false)
      if (status === FrameStatus.Whole) {
        listener(Buffer.from(chunk.subarray(at, Math.min(frame.end, at + KEPT_BYTES))), frame.end - at)
        continue
      }
      this.keep(chunk.subarray(at))
      if (frame.end > 0) this.missing = frame.end - chunk.length
      return
    }
  }

  private keep(bytes: Buffer): void {
    const room = KEPT_BYTES - this.head.length
    if (room > 0) this.head = Buffer.concat([this.head, bytes.subarray(0, room)])
    this.size += bytes.length
  }

  private reset(): void {
    this.head = nothing
    this.size = this.missing = 0
  }
}

const nothing = Buffer.alloc(0)
