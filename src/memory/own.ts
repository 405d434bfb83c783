import { HEAP_BYTES } from './cost'

/** Up to so many characters the engine copies what is cut out of a string. */
const COPIED_TEXT = 12

/** Room for bytes that are kept for longer than a turn. A small Buffer of Node's lies in a slab, and would keep all of it alive. */
export function ownBuffer(length: number): Buffer {
  return length <= HEAP_BYTES ? Buffer.alloc(length) : Buffer.allocUnsafeSlow(length)
}

/** A copy of bytes that is kept for longer than a turn. */
export function ownBytes(bytes: Uint8Array): Buffer {
  const own = ownBuffer(bytes.length)
  own.set(bytes)
  return own
}

/** The bytes of a text that are kept for longer than a turn. */
export function ownTextBytes(text: string): Buffer {
  const own = ownBuffer(Buffer.byteLength(text))
  own.write(text)
  return own
}

/** A copy of a text that was cut out of a longer one: as it is, it would keep the longer one alive. */
export function ownText(text: string): string {
  return text.length <= COPIED_TEXT ? text : Buffer.from(text).toString()
}
