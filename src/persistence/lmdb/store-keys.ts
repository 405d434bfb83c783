import { createHash } from 'node:crypto'

/** Up to here a text is its own key. LMDB takes keys of up to 1978 bytes; MQTT strings may have 65,535. */
const LONGEST_PLAIN_TEXT = 480

const PLAIN = 0
const HASHED = 1

/** A key for any string: its bytes, or the SHA-256 of them when it is long. Records hold the string itself. */
export function textKey(text: string, ...prefix: readonly Buffer[]): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length <= LONGEST_PLAIN_TEXT) return Buffer.concat([...prefix, Buffer.of(PLAIN), bytes])
  return Buffer.concat([...prefix, Buffer.of(HASHED), createHash('sha256').update(bytes).digest()])
}

/** Eight bytes, big-endian, so that keys sort as their numbers do. */
export function numberKey(value: number): Buffer {
  const key = Buffer.allocUnsafe(8)
  writeNumber(key, value, 0)
  return key
}

/** A number within the range of another: a position in a session's queue. */
export function pairKey(first: number, second: number): Buffer {
  const key = Buffer.allocUnsafe(16)
  writeNumber(key, first, 0)
  writeNumber(key, second, 8)
  return key
}

/** The number that begins at `offset`. */
export function numberOfKey(key: Uint8Array, offset = 0): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength)
  return view.getUint32(offset) * 0x1_0000_0000 + view.getUint32(offset + 4)
}

/** Where the keys that begin with a number start and end. */
export function keysWithin(value: number): { start: Buffer; end: Buffer } {
  return { start: numberKey(value), end: numberKey(value + 1) }
}

function writeNumber(key: Buffer, value: number, offset: number): void {
  key.writeUInt32BE(Math.floor(value / 0x1_0000_0000), offset)
  key.writeUInt32BE(value >>> 0, offset + 4)
}
