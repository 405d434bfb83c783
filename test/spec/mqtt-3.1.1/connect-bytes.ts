import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'

/** Connect Flags (section 3.1.2.3). */
export const Flag = {
  reserved: 0x01,
  cleanSession: 0x02,
  will: 0x04,
  willQoS1: 0x08,
  willQoS2: 0x10,
  willRetain: 0x20,
  password: 0x40,
  userName: 0x80,
} as const

/** A CONNECT written out by its parts, so that a test can leave one out or put one in. */
export function connectBytes(
  options: { name?: Uint8Array; level?: number; flags?: number; payload?: readonly Uint8Array[] } = {},
): Buffer {
  const { name = string('MQTT'), level = 4, flags = Flag.cleanSession, payload = [string('written-out')] } = options
  return packet(0x10, name, level, flags, u16(0), bytes(...payload))
}

/** Strings that are no UTF-8, with their length in front. */
export const illFormed: readonly (readonly [why: string, field: Buffer])[] = [
  ['a stray continuation byte', Buffer.from('000361ff62', 'hex')],
  ['a truncated sequence', Buffer.from('000261c3', 'hex')],
  ['an overlong sequence', Buffer.from('0002c080', 'hex')],
  ['a surrogate', Buffer.from('0003eda080', 'hex')],
  ['a code point above U+10FFFF', Buffer.from('0004f4908080', 'hex')],
]

/** A string with U+0000 in it. */
export const nullCharacter = Buffer.from('0003610062', 'hex')
