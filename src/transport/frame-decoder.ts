import { isUtf8 } from 'node:buffer'
import { rotated, type Unmasking } from './unmasking'
import { isStatus, Opcode, SHORT_PAYLOAD, Status } from './websocket-frame'

/** What the next byte is. */
const Stage = { First: 0, Length: 1, Length16: 2, Length64: 3, Mask: 4, Payload: 5 } as const
type Stage = (typeof Stage)[keyof typeof Stage]

const WHOLE_BINARY = 0x80 | Opcode.Binary
const MASKED = 0x80
/** Bytes of a head with its mask whose length is in its second byte, and of one that has its length in two more. */
const SHORT_HEAD = 6
const LONGER_HEAD = 8

/** Why nothing more is read: the peer's Close frame, or a fault of the peer. */
export interface FrameEnd {
  /** The status to answer with; undefined if the peer's Close frame has none. */
  readonly status: number | undefined
  /** What the peer did wrong, if it did. */
  readonly fault: string | undefined
}

/**
 * Reads the frames of a client as they come (RFC 6455 section 5), and keeps no more of them than the beginning of a head or of a control
 * frame. Payloads are put together where they lie: MQTT does not care where a frame ends [MQTT-6.0.0-2].
 */
export class FrameDecoder {
  /** The payload of the last Ping that came, until it is set to null. One answer does for all before it (section 5.5.3). */
  ping: Buffer | null = null
  end: FrameEnd | null = null
  /** Heads that were read, until it is set to 0. */
  frames = 0
  private stage: Stage = Stage.First
  private opcode = 0
  private final = false
  /** Whether the message goes on after this frame. */
  private fragmented = false
  /** Bytes of the payload. */
  private length = 0
  /** Bytes that the part of the head lacks, or the payload. */
  private left = 0
  /** Its lowest byte is for the next byte. */
  private mask = 0
  /** Bytes of the message, with those of this frame. */
  private message = 0
  /** What has come of a control frame. */
  private control: Buffer | null = null
  private readonly maximumMessage: number
  private readonly unmasking: Unmasking

  constructor(maximumMessage: number, unmasking: Unmasking) {
    this.maximumMessage = maximumMessage
    this.unmasking = unmasking
  }

  /**
   * Reads `bytes[0, length)`, and leaves what is for MQTT of it at the beginning of `bytes`. Returns how many bytes that is. Behind a Close frame
   * or a fault nothing is read.
   */
  decode(bytes: Buffer, length: number): number {
    let at = 0
    let out = 0
    while (at < length && this.end === null) {
      const start = this.stage === Stage.First ? this.readWhole(bytes, at, length) : 0
      if (start > 0) {
        at = start + this.length
        this.unmasking.move(bytes, start, at, out, this.mask)
        out += this.length
      } else if (this.stage !== Stage.Payload) at = this.readHead(bytes, at, length)
      else {
        const to = Math.min(length, at + this.left)
        if (this.opcode < Opcode.Close) {
          this.unmasking.move(bytes, at, to, out, this.mask)
          out += to - at
        } else this.readControl(bytes, at, to)
        this.mask = rotated(this.mask, to - at)
        this.left -= to - at
        at = to
        if (this.left === 0) this.finish()
      }
    }
    return out
  }

  /**
   * The usual case at once: a binary frame that is a whole message of less than 64 KiB, and lies here as a whole. Returns where its payload begins;
   * 0 for any other, of which nothing is read.
   */
  private readWhole(bytes: Buffer, at: number, limit: number): number {
    if (bytes[at] !== WHOLE_BINARY || limit - at < LONGER_HEAD || this.fragmented) return 0
    const second = bytes[at + 1]! - MASKED
    const isLonger = second === 126
    const length = isLonger ? (bytes[at + 2]! << 8) | bytes[at + 3]! : second
    const start = at + (isLonger ? LONGER_HEAD : SHORT_HEAD)
    if (second < 0 || second > 126 || (isLonger && length < 126)) return 0
    if (length > this.maximumMessage || start + length > limit) return 0
    this.frames++
    this.length = length
    this.mask = bytes[start - 4]! | (bytes[start - 3]! << 8) | (bytes[start - 2]! << 16) | (bytes[start - 1]! << 24)
    return start
  }

  /** Returns the offset behind what it has read. */
  private readHead(bytes: Buffer, from: number, limit: number): number {
    let at = from
    while (at < limit && this.end === null && this.stage !== Stage.Payload) {
      const byte = bytes[at++]!
      switch (this.stage) {
        case Stage.First:
          this.begin(byte)
          break
        case Stage.Length:
          this.beginLength(byte)
          break
        case Stage.Length16:
        case Stage.Length64:
          this.continueLength(byte)
          break
        default:
          this.mask = (this.mask >>> 8) | (byte << 24)
          if (--this.left === 0) this.beginPayload()
      }
    }
    return at
  }

  private begin(byte: number): void {
    const opcode = byte & 15
    const isControl = opcode >= Opcode.Close
    this.final = byte >= 0x80
    if ((byte & 0x70) !== 0) this.fail('a reserved bit is set')
    else if (opcode > Opcode.Pong || (opcode > Opcode.Binary && !isControl))
      this.fail(`the opcode ${opcode} is unknown`)
    else if (isControl && !this.final) this.fail('a control frame is split')
    else if (opcode === Opcode.Continuation && !this.fragmented) this.fail('a frame continues what has not begun')
    else if (opcode !== Opcode.Continuation && !isControl && this.fragmented)
      this.fail('a message begins within another')
    else if (opcode === Opcode.Text)
      this.fail('a text frame: MQTT comes in binary frames [MQTT-6.0.0-1]', Status.UnsupportedData)
    this.opcode = opcode
    this.stage = Stage.Length
  }

  private beginLength(byte: number): void {
    const length = byte & 0x7f
    if (byte < 0x80) this.fail('a frame has no mask')
    else if (this.opcode >= Opcode.Close && length > SHORT_PAYLOAD)
      this.fail('a control frame is longer than 125 bytes')
    else if (this.opcode === Opcode.Close && length === 1) this.fail('a Close frame has half a status')
    else if (length <= SHORT_PAYLOAD) this.settleLength(length)
    else {
      this.length = 0
      this.stage = length === 126 ? Stage.Length16 : Stage.Length64
      this.left = length === 126 ? 2 : 8
    }
  }

  private continueLength(byte: number): void {
    const isLong = this.stage === Stage.Length64
    if (isLong && this.left === 8 && byte >= 0x80) {
      this.fail('a length has its highest bit set')
      return
    }
    this.length = this.length * 256 + byte
    if (--this.left > 0) return
    if (this.length < (isLong ? 65_536 : 126)) this.fail('a length takes more bytes than it needs')
    else this.settleLength(this.length)
  }

  private settleLength(length: number): void {
    if (this.opcode < Opcode.Close) {
      this.message += length
      if (this.message > this.maximumMessage) {
        this.fail(`a message is longer than ${this.maximumMessage} bytes`, Status.TooBig)
        return
      }
    }
    this.length = length
    this.stage = Stage.Mask
    this.left = 4
  }

  private beginPayload(): void {
    this.frames++
    this.left = this.length
    this.stage = Stage.Payload
    if (this.left === 0) this.finish()
  }

  private readControl(bytes: Buffer, from: number, to: number): void {
    if (this.opcode === Opcode.Pong) return
    this.control ??= Buffer.alloc(this.length)
    let { mask } = this
    for (let at = this.length - this.left, i = from; i < to; i++) {
      this.control[at++] = bytes[i]! ^ mask
      mask = rotated(mask, 1)
    }
  }

  private finish(): void {
    this.stage = Stage.First
    const { control, opcode } = this
    if (opcode < Opcode.Close) {
      this.fragmented = !this.final
      if (this.final) this.message = 0
      return
    }
    this.control = null
    if (opcode === Opcode.Ping) this.ping = control ?? Buffer.alloc(0)
    else if (opcode === Opcode.Close) this.close(control)
  }

  private close(payload: Buffer | null): void {
    const status = payload?.readUInt16BE(0)
    if (status !== undefined && !isStatus(status)) this.fail(`no Close frame may have the status ${status}`)
    else if (payload !== null && !isUtf8(payload.subarray(2)))
      this.fail('the reason of a Close frame is not UTF-8', Status.InvalidPayload)
    else this.end = { status, fault: undefined }
  }

  private fail(fault: string, status: number = Status.ProtocolError): void {
    this.end ??= { status, fault }
  }
}
