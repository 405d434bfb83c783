import { binary, block, bytes, packet, string, u16, u32, variable } from '../protocol/packet-bytes'

/** Who carries properties in a packet of a client (MQTT 5.0 section 2.2.2.2). */
export const carriers = [
  'CONNECT',
  'Will',
  'PUBLISH',
  'PUBACK',
  'PUBREC',
  'PUBREL',
  'PUBCOMP',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'DISCONNECT',
  'AUTH',
] as const
export type Carrier = (typeof carriers)[number]

export interface Property {
  readonly name: string
  readonly identifier: number
  /** A value that is right. */
  readonly value: Buffer
  readonly carriers: readonly Carrier[]
  /** Values that are of the right type and yet wrong. */
  readonly wrong?: readonly Buffer[]
  readonly codes?: readonly number[]
  /** What must stand before it. */
  readonly with?: Buffer
}

/** The Authentication Method of CONNECT and AUTH. */
export const method = bytes(21, string('m'))

const connect = ['CONNECT'] as const
const authentication = ['CONNECT', 'AUTH'] as const
const message = ['PUBLISH', 'Will'] as const
const reasons = ['PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'DISCONNECT', 'AUTH'] as const
const byte = (value: number): Buffer => Buffer.from([value])
const P = [0x82]
const badText = [binary(Buffer.from([0xff])), binary(Buffer.from([0x61, 0])), binary(Buffer.from([0xed, 0xa0, 0x80]))]

export const properties: readonly Property[] = [
  {
    name: 'Payload Format Indicator',
    identifier: 1,
    value: byte(1),
    carriers: message,
    wrong: [byte(2), byte(255)],
    codes: [0x81, 0x82],
  },
  { name: 'Message Expiry Interval', identifier: 2, value: u32(60), carriers: message },
  { name: 'Content Type', identifier: 3, value: string('text'), carriers: message, wrong: badText, codes: [0x81] },
  {
    name: 'Response Topic',
    identifier: 8,
    value: string('answers'),
    carriers: message,
    wrong: [...badText, string(''), string('a/#'), string('+')],
    codes: [0x81],
  },
  { name: 'Correlation Data', identifier: 9, value: binary(Buffer.from([0, 255])), carriers: message },
  {
    name: 'Subscription Identifier',
    identifier: 11,
    value: variable(300),
    carriers: ['SUBSCRIBE'],
    wrong: [byte(0)],
    codes: P,
  },
  { name: 'Session Expiry Interval', identifier: 17, value: u32(0), carriers: ['CONNECT', 'DISCONNECT'] },
  { name: 'Assigned Client Identifier', identifier: 18, value: string('c'), carriers: [] },
  { name: 'Server Keep Alive', identifier: 19, value: u16(10), carriers: [] },
  { name: 'Authentication Method', identifier: 21, value: string('m'), carriers: authentication },
  {
    name: 'Authentication Data',
    identifier: 22,
    value: binary(Buffer.from([0])),
    carriers: authentication,
    with: method,
  },
  {
    name: 'Request Problem Information',
    identifier: 23,
    value: byte(1),
    carriers: connect,
    wrong: [byte(2)],
    codes: P,
  },
  { name: 'Will Delay Interval', identifier: 24, value: u32(1), carriers: ['Will'] },
  {
    name: 'Request Response Information',
    identifier: 25,
    value: byte(1),
    carriers: connect,
    wrong: [byte(2)],
    codes: P,
  },
  { name: 'Response Information', identifier: 26, value: string('r'), carriers: [] },
  { name: 'Server Reference', identifier: 28, value: string('s'), carriers: [] },
  { name: 'Reason String', identifier: 31, value: string('why'), carriers: reasons, wrong: badText, codes: [0x81] },
  { name: 'Receive Maximum', identifier: 33, value: u16(5), carriers: connect, wrong: [u16(0)], codes: P },
  { name: 'Topic Alias Maximum', identifier: 34, value: u16(5), carriers: connect },
  {
    name: 'Topic Alias',
    identifier: 35,
    value: u16(5),
    carriers: ['PUBLISH'],
    wrong: [u16(0), u16(101)],
    codes: [0x94],
  },
  { name: 'Maximum QoS', identifier: 36, value: byte(1), carriers: [] },
  { name: 'Retain Available', identifier: 37, value: byte(1), carriers: [] },
  { name: 'Maximum Packet Size', identifier: 39, value: u32(1000), carriers: connect, wrong: [u32(0)], codes: P },
  { name: 'Wildcard Subscription Available', identifier: 40, value: byte(1), carriers: [] },
  { name: 'Subscription Identifier Available', identifier: 41, value: byte(1), carriers: [] },
  { name: 'Shared Subscription Available', identifier: 42, value: byte(1), carriers: [] },
]

/** Identifiers that MQTT 5.0 does not have. */
export const unknownIdentifiers = [0, 4, 5, 6, 7, 10, 12, 16, 20, 27, 29, 30, 32, 43, 100, 127, 200, 255, 16_384]

/** A packet of a client with these properties, right in everything else. */
export function carry(carrier: Carrier, ...content: Uint8Array[]): Buffer {
  const given = block(...content)
  switch (carrier) {
    case 'CONNECT':
      return packet(0x10, string('MQTT'), 5, 2, u16(0), given, string('carrier'))
    case 'Will':
      return packet(0x10, string('MQTT'), 5, 6, u16(0), block(), string('carrier'), given, string('will'), string('x'))
    case 'PUBLISH':
      return packet(0x30, string('a'), given, 0x61)
    case 'PUBACK':
      return packet(0x40, u16(1), 0, given)
    case 'PUBREC':
      return packet(0x50, u16(1), 0, given)
    case 'PUBREL':
      return packet(0x62, u16(1), 0, given)
    case 'PUBCOMP':
      return packet(0x70, u16(1), 0, given)
    case 'SUBSCRIBE':
      return packet(0x82, u16(1), given, string('a'), 0)
    case 'UNSUBSCRIBE':
      return packet(0xa2, u16(1), given, string('a'))
    case 'DISCONNECT':
      return packet(0xe0, 0, given)
    case 'AUTH':
      // its own property may be wrong, so it stands for the method that would else be added
      return packet(0xf0, 0x19, content.some(([identifier]) => identifier === 21) ? given : block(method, ...content))
  }
}

export const property = (identifier: number, value: Uint8Array): Buffer => bytes(variable(identifier), value)
