import { isUtf8 } from 'node:buffer'

/**
 * Whether bytes are an MQTT UTF-8 string: no overlong form, no surrogate, nothing above U+10FFFF, nothing cut short
 * [MQTT-1.5.3-1], and no U+0000 [MQTT-1.5.3-2] (MQTT 5.0 section 1.5.4). Control characters and non-characters pass:
 * the specification leaves them to the receiver.
 */
export function isWellFormedUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let offset = start
  while (offset < end) {
    const byte = bytes[offset]!
    if (byte < 0x80) {
      if (byte === 0) return false
      offset += 1
    } else {
      const length = sequenceLength(bytes, offset, end)
      if (length === 0) return false
      offset += length
    }
  }
  return true
}

/** Whether a payload is the UTF-8 text that Payload Format Indicator 1 promises. U+0000 is text there. */
export function isUtf8Payload(bytes: Uint8Array, start: number, end: number): boolean {
  return isUtf8(bytes.subarray(start, end))
}

/** Whether a string can be sent as an MQTT UTF-8 string: no U+0000 and no lone surrogate. */
export function isEncodableString(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit === 0) return false
    if (unit >= 0xd800 && unit <= 0xdfff) {
      const next = text.charCodeAt(index + 1)
      if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return false
      index += 1
    }
  }
  return true
}

/** Bytes of the well-formed sequence of two to four bytes at `offset`, or 0 (Unicode, table 3-7). */
function sequenceLength(bytes: Uint8Array, offset: number, end: number): number {
  const lead = bytes[offset]!
  if (lead < 0xc2) return 0
  if (lead < 0xe0) return offset + 2 <= end && isContinuation(bytes[offset + 1]!) ? 2 : 0
  if (lead < 0xf0) {
    if (offset + 3 > end || !isContinuation(bytes[offset + 1]!) || !isContinuation(bytes[offset + 2]!)) return 0
    if (lead === 0xe0 && bytes[offset + 1]! < 0xa0) return 0
    return lead === 0xed && bytes[offset + 1]! > 0x9f ? 0 : 3
  }
  if (lead > 0xf4 || offset + 4 > end) return 0
  for (let next = offset + 1; next < offset + 4; next += 1) if (!isContinuation(bytes[next]!)) return 0
  if (lead === 0xf0 && bytes[offset + 1]! < 0x90) return 0
  return lead === 0xf4 && bytes[offset + 1]! > 0x8f ? 0 : 4
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80
