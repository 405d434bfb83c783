import { malformed } from './mqtt-error'
import { isWellFormedUtf8 } from './utf8'
import { incomplete, readVariableByteInteger, variableByteIntegerLength } from './variable-byte-integer'

/** Walks the fields of one packet. Every method moves past a field, or throws 0x81 when it is cut short or not valid. */
export class Cursor {
  constructor(
    readonly bytes: Buffer,
    public offset: number,
    readonly end: number,
  ) {}

  get done(): boolean {
    return this.offset >= this.end
  }

  byte(field: string): number {
    this.need(1, field)
    return this.bytes[this.offset++]!
  }

  uint16(field: string): number {
    this.need(2, field)
    const value = (this.bytes[this.offset]! << 8) | this.bytes[this.offset + 1]!
    this.offset += 2
    return value
  }

  uint32(field: string): number {
    this.need(4, field)
    const value = this.bytes.readUInt32BE(this.offset)
    this.offset += 4
    return value
  }

  variableByteInteger(field: string): number {
    const value = readVariableByteInteger(this.bytes, this.offset, this.end)
    if (value === incomplete) throw cutShort(field)
    if (value < 0) throw malformed(`${field} is not a Variable Byte Integer of one to four bytes, as short as possible`)
    this.offset += variableByteIntegerLength(value)
    return value
  }

  /** Moves past Binary Data; returns its length in bytes, which then ends at `offset`. */
  binary(field: string): number {
    const length = this.uint16(field)
    this.need(length, field)
    this.offset += length
    return length
  }

  /** Moves past a UTF-8 string; returns its length in bytes, which then ends at `offset`. */
  string(field: string): number {
    const length = this.binary(field)
    if (!isWellFormedUtf8(this.bytes, this.offset - length, this.offset)) {
      throw malformed(`${field} is not well-formed UTF-8, or holds U+0000: send it as UTF-8 [MQTT-1.5.4-1]`)
    }
    return length
  }

  /** Moves past a UTF-8 string and returns it. */
  text(field: string): string {
    const length = this.string(field)
    return this.bytes.toString('utf8', this.offset - length, this.offset)
  }

  /** Moves past Binary Data and returns a copy of its own, so that a few bytes of a long-lived session pin no pool. */
  binaryCopy(field: string): Buffer {
    const length = this.binary(field)
    return this.copy(this.offset - length, this.offset)
  }

  copy(start: number, end: number): Buffer {
    const copy = Buffer.allocUnsafeSlow(end - start)
    this.bytes.copy(copy, 0, start, end)
    return copy
  }

  /** Throws 0x81 unless everything has been read. */
  finish(packet: string): void {
    if (this.offset !== this.end) throw malformed(`${packet} goes on after its last field: Remaining Length is wrong`)
  }

  private need(length: number, field: string): void {
    if (this.offset + length > this.end) throw cutShort(field)
  }
}

const cutShort = (field: string) => malformed(`${field} is cut short: it goes beyond the end of its packet or block`)
