import * as zlib from 'node:zlib'

const table = new Uint32Array(256).map((_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

function computed(bytes: Uint8Array, before = 0, from = 0): number {
  let value = before ^ 0xffffffff
  for (let i = from; i < bytes.length; i++) value = table[(value ^ bytes[i]!) & 0xff]! ^ (value >>> 8)
  return (value ^ 0xffffffff) >>> 0
}

/**
 * CRC-32 as in zlib: Node's own from 20.15 and 22.2 on, and the same in JavaScript before that. `before` is the checksum
 * of the bytes that come first.
 */
export const crc32: (bytes: Uint8Array, before?: number) => number =
  typeof zlib.crc32 === 'function' ? (bytes, before = 0) => zlib.crc32(bytes, before) : computed

export { computed as crc32WithoutZlib }
