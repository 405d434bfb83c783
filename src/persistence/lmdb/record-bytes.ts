import { SEAL_BYTES } from './record-seal'

/** A record that is shorter than what was written. */
class ShortRecordError extends Error {
  override readonly name = 'ShortRecordError'
}

/** Writes one record: room for its checksum, and then its fields one behind the other, little-endian. */
export class RecordWriter {
  private bytes: Buffer
  private length = SEAL_BYTES

  /** @param expected Bytes that the record will probably need; it grows when they are not enough. */
  constructor(expected: number) {
    this.bytes = Buffer.allocUnsafe(expected + SEAL_BYTES)
  }

  uint8(value: number): this {
    this.bytes[this.claim(1)] = value
    return this
  }

  uint16(value: number): this {
    const at = this.claim(2)
    this.bytes.writeUInt16LE(value, at)
    return this
  }

  uint32(value: number): this {
    const at = this.claim(4)
    this.bytes.writeUInt32LE(value, at)
    return this
  }

  /** Any number, whole or not. */
  number(value: number): this {
    const at = this.claim(8)
    this.bytes.writeDoubleLE(value, at)
    return this
  }

  block(value: Uint8Array): this {
    this.uint32(value.length)
    const at = this.claim(value.length)
    this.bytes.set(value, at)
    return this
  }

  text(value: string): this {
    const byteLength = Buffer.byteLength(value)
    this.uint32(byteLength)
    const at = this.claim(byteLength)
    this.bytes.write(value, at)
    return this
  }

  /** The record, not sealed yet. */
  finish(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  private claim(size: number): number {
    const at = this.length
    this.length += size
    if (this.length > this.bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.length, this.bytes.length * 2))
      this.bytes.copy(grown, 0, 0, at)
      this.bytes = grown
    }
    return at
  }
}

/** Reads what a RecordWriter wrote, behind its checksum. Throws ShortRecordError when it is something else. */
export class RecordReader {
  private readonly bytes: Buffer
  private position = SEAL_BYTES

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  uint8(): number {
    return this.bytes[this.claim(1)]!
  }

  uint16(): number {
    return this.bytes.readUInt16LE(this.claim(2))
  }

  uint32(): number {
    return this.bytes.readUInt32LE(this.claim(4))
  }

  number(): number {
    return this.bytes.readDoubleLE(this.claim(8))
  }

  /** Lies in the record's own memory. */
  block(): Buffer {
    const length = this.uint32()
    const at = this.claim(length)
    return this.bytes.subarray(at, at + length)
  }

  text(): string {
    const length = this.uint32()
    const at = this.claim(length)
    return this.bytes.toString('utf8', at, at + length)
  }

  private claim(size: number): number {
    const at = this.position
    this.position += size
    if (this.position > this.bytes.length) throw new ShortRecordError('a record is shorter than its fields')
    return at
  }
}
