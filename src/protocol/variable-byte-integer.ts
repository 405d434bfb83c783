import { MqttError } from './mqtt-error'

/** The largest Variable Byte Integer: 256 MB less one byte (MQTT 5.0 section 1.5.5). */
export const maximumVariableByteInteger = 268_435_455

/** `readVariableByteInteger`: the bytes end before the integer does. */
export const incomplete = -1
/** `readVariableByteInteger`: five bytes, or more bytes than the value needs [MQTT-1.5.5-1]. */
export const invalid = -2

/** Bytes that a value takes: 1 to 4. */
export function variableByteIntegerLength(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  return value < 0x200000 ? 3 : 4
}

/**
 * The value at `start`, or `incomplete`, or `invalid`. Only the shortest form is accepted, so that
 * `variableByteIntegerLength(value)` says how many bytes were read.
 */
export function readVariableByteInteger(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return incomplete
  let value = bytes[start]!
  if (value < 0x80) return value
  value &= 0x7f
  let shift = 7
  for (let offset = start + 1; offset < start + 4; offset += 1) {
    if (offset >= end) return incomplete
    const byte = bytes[offset]!
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return byte === 0 ? invalid : value
    shift += 7
  }
  return invalid
}

/** Writes `value` at `offset`; returns the offset after it. Throws MqttError above the maximum. */
export function writeVariableByteInteger(bytes: Uint8Array, offset: number, value: number): number {
  if (value > maximumVariableByteInteger) {
    throw new MqttError('GNATMQ_PACKET_TOO_LARGE', `${value} bytes are more than an MQTT packet can hold: send less`)
  }
  let rest = value
  let next = offset
  while (rest > 0x7f) {
    bytes[next++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[next++] = rest
  return next
}
