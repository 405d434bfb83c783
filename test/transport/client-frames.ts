import { randomBytes } from 'node:crypto'

/** The beginning of a frame that says how long its payload is, in as few bytes as that takes. */
export function lengthBytes(length: number): Buffer {
  if (length < 126) return Buffer.of(length)
  const bytes = Buffer.alloc(length < 65_536 ? 3 : 9)
  bytes[0] = bytes.length === 3 ? 126 : 127
  if (bytes.length === 3) bytes.writeUInt16BE(length, 1)
  else bytes.writeBigUInt64BE(BigInt(length), 1)
  return bytes
}

/** The head of a masked frame. */
export function maskedHead(first: number, length: number, mask: Uint8Array = Buffer.alloc(4)): Buffer {
  const size = lengthBytes(length)
  size[0]! |= 0x80
  return Buffer.concat([Buffer.of(first), size, mask])
}

/** A frame as a client sends it; `first` has its opcode and the bits above. */
export function maskedFrame(first: number, payload: Uint8Array | string, mask: Uint8Array = randomBytes(4)): Buffer {
  const bytes = Buffer.from(payload as string)
  return Buffer.concat([maskedHead(first, bytes.length, mask), bytes.map((byte, i) => byte ^ mask[i % 4]!)])
}
