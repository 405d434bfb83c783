import { decodePacket } from '../../src/protocol/codec'
import { MqttError } from '../../src/protocol/mqtt-error'
import type { ClientPacket, ProtocolVersion } from '../../src/protocol/packet'
import { readVariableByteInteger, variableByteIntegerLength } from '../../src/protocol/variable-byte-integer'

// Packets written out by their parts.

type Part = number | Uint8Array

export function bytes(...parts: Part[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : part)))
}

export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff])
export const u32 = (value: number): Buffer => bytes(u16(value >>> 16), u16(value & 0xffff))
export const binary = (content: Uint8Array): Buffer => bytes(u16(content.length), content)
export const string = (text: string): Buffer => binary(Buffer.from(text))

/** A Variable Byte Integer, written apart from the code that is tested. */
export function variable(value: number): Buffer {
  const out: number[] = []
  let rest = value
  do {
    const digit = rest % 128
    rest = Math.floor(rest / 128)
    out.push(rest > 0 ? digit + 128 : digit)
  } while (rest > 0)
  return Buffer.from(out)
}

/** A property block with its length. */
export function block(...properties: Part[]): Buffer {
  const content = bytes(...properties)
  return bytes(variable(content.length), content)
}

export function packet(first: number, ...parts: Part[]): Buffer {
  const body = bytes(...parts)
  return bytes(first, variable(body.length), body)
}

export const userProperty = (name: string, value: string): Buffer => bytes(38, string(name), string(value))

/** Decodes a packet that lies between other bytes, which are overwritten afterwards. */
export function decode(whole: Uint8Array, version: ProtocolVersion): ClientPacket {
  const around = bytes(Buffer.alloc(3, 0xff), whole, Buffer.alloc(5, 0x26))
  const start = 3
  const remaining = readVariableByteInteger(around, start + 1, start + whole.length)
  const bodyStart = start + 1 + variableByteIntegerLength(remaining)
  try {
    return decodePacket(around, start, bodyStart, start + whole.length, version)
  } finally {
    around.fill(0xee)
  }
}

/** The Reason Code with which a call is refused, or `accepted`. Any error but MqttError is thrown on. */
export function refusalOf(call: () => unknown): number | string {
  try {
    call()
  } catch (error) {
    if (!(error instanceof MqttError)) throw error
    return error.reasonCode ?? error.code
  }
  return 'accepted'
}

export const refusal = (whole: Uint8Array, version: ProtocolVersion): number | string =>
  refusalOf(() => decode(whole, version))
