import { describe, expect, it } from 'vitest'
import { decodePacket } from '../../src/protocol/codec'
import type { ProtocolVersion } from '../../src/protocol/packet'
import { isReasonCodeOf } from '../../src/protocol/reason-code-table'
import {
  binary,
  block,
  bytes,
  decode,
  packet,
  refusal,
  refusalOf,
  string,
  u16,
  u32,
  userProperty,
} from './packet-bytes'

const none = block()
const versions: ProtocolVersion[] = [3, 4, 5]
const plainRequest = { noLocal: false, retainAsPublished: false, retainHandling: 0 }

describe('a SUBSCRIBE', () => {
  it.each([3, 4] as const)('of protocol level %i is decoded', (version) => {
    expect(decode(packet(0x82, u16(258), string('a/+'), 1, string('__proto__'), 2), version)).toEqual({
      type: 8,
      packetIdentifier: 258,
      subscriptions: [
        { filter: 'a/+', qos: 1, ...plainRequest },
        { filter: '__proto__', qos: 2, ...plainRequest },
      ],
    })
  })

  it('of MQTT 5.0 is decoded with its options and properties', () => {
    const properties = block(bytes(11, 0xff, 0xff, 0xff, 0x7f), userProperty('b', ''), userProperty('b', '1'))
    const whole = packet(0x82, u16(65_535), properties, string('a'), 0x2e, string('b'), 0x10, string('$share/g/c'), 1)
    expect(decode(whole, 5)).toEqual({
      type: 8,
      packetIdentifier: 65_535,
      subscriptions: [
        { filter: 'a', qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
        { filter: 'b', qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 1 },
        { filter: '$share/g/c', qos: 1, ...plainRequest },
      ],
      subscriptionIdentifier: 268_435_455,
      userProperties: [
        ['b', ''],
        ['b', '1'],
      ],
    })
  })

  it.each([
    ['a#', 0x81],
    ['$share/g', 0x82],
  ])('of the malformed filter %s is refused', (filter, code) => {
    expect(refusalOf(() => decode(packet(0x82, u16(1), none, string(filter), 0), 5))).toBe(code)
  })

  it('keeps a filter of many levels for the broker to answer', () => {
    const filter = '/'.repeat(500)
    expect(decode(packet(0x82, u16(1), none, string(filter), 0), 5)).toMatchObject({ subscriptions: [{ filter }] })
  })

  it('of MQTT 3.1 may be repeated with DUP, and its unused bits may be anything', () => {
    expect(decode(packet(0x8b, u16(1), string('a'), 0xfd), 3)).toEqual({
      type: 8,
      packetIdentifier: 1,
      subscriptions: [{ filter: 'a', qos: 1, ...plainRequest }],
    })
  })

  it.each([
    [
      'Packet Identifier 0',
      0x81,
      0x82,
      packet(0x82, u16(0), string('a'), 0),
      packet(0x82, u16(0), none, string('a'), 0),
    ],
    ['no filter', 0x81, 0x82, packet(0x82, u16(1)), packet(0x82, u16(1), none)],
    ['an empty filter', 0x81, 0x81, packet(0x82, u16(1), string(''), 0), packet(0x82, u16(1), none, string(''), 0)],
    ['QoS 3', 0x81, 0x82, packet(0x82, u16(1), string('a'), 3), packet(0x82, u16(1), none, string('a'), 3)],
    ['reserved bits', 0x81, 0x81, packet(0x82, u16(1), string('a'), 4), packet(0x82, u16(1), none, string('a'), 0x40)],
    ['no body', 0x81, 0x81, packet(0x82), packet(0x82)],
    ['no options', 0x81, 0x81, packet(0x82, u16(1), string('a')), packet(0x82, u16(1), none, string('a'))],
    ['flags 0', 0x81, 0x81, packet(0x80, u16(1), string('a'), 0), packet(0x80, u16(1), none, string('a'), 0)],
    ['DUP', 0x81, 0x81, packet(0x8a, u16(1), string('a'), 0), packet(0x8a, u16(1), none, string('a'), 0)],
    [
      'broken UTF-8',
      0x81,
      0x81,
      packet(0x82, u16(1), binary(bytes(0xff)), 0),
      packet(0x82, u16(1), none, binary(bytes(0xff)), 0),
    ],
    ['half a filter', 0x81, 0x81, packet(0x82, u16(1), u16(2), 0x61), packet(0x82, u16(1), none, u16(2), 0x61)],
    [
      'one byte after',
      0x81,
      0x81,
      packet(0x82, u16(1), string('a'), 0, 0),
      packet(0x82, u16(1), none, string('a'), 0, 0),
    ],
  ])('is refused for %s', (_name, code4, code5, whole4, whole5) => {
    expect(refusal(whole4, 4)).toBe(code4)
    expect(refusal(whole5, 5)).toBe(code5)
  })

  it.each([
    ['Retain Handling 3', 0x82, none, bytes(string('a'), 0x30)],
    ['No Local on a Shared Subscription', 0x82, none, bytes(string('$share/g/a'), 0x04)],
    ['Subscription Identifier 0', 0x82, block(bytes(11, 0)), bytes(string('a'), 0)],
    ['Subscription Identifier twice', 0x82, block(bytes(11, 1, 11, 2)), bytes(string('a'), 0)],
    ['Subscription Identifier of five bytes', 0x81, block(bytes(11, 0xff, 0xff, 0xff, 0xff, 1)), bytes(string('a'), 0)],
    ['Reason String', 0x81, block(bytes(31, string('x'))), bytes(string('a'), 0)],
    ['no Property Length', 0x81, bytes(), bytes()],
  ])('of MQTT 5.0 is refused for %s: %i', (_name, code, properties, payload) => {
    expect(refusal(packet(0x82, u16(1), properties, payload), 5)).toBe(code)
  })

  it('of MQTT 3.1 is refused for QoS 3 and for another QoS of its own than 1', () => {
    expect(refusal(packet(0x82, u16(1), string('a'), 3), 3)).toBe(0x81)
    expect(refusal(packet(0x80, u16(1), string('a'), 1), 3)).toBe(0x81)
  })
})

describe('an UNSUBSCRIBE', () => {
  it.each([3, 4] as const)('of protocol level %i is decoded', (version) => {
    const whole = packet(0xa2, u16(9), string('a'), string('toString'))
    expect(decode(whole, version)).toEqual({ type: 10, packetIdentifier: 9, filters: ['a', 'toString'] })
  })

  it('of MQTT 5.0 is decoded with its User Properties', () => {
    expect(decode(packet(0xa2, u16(9), block(userProperty('n', 'v')), string('a')), 5)).toEqual({
      type: 10,
      packetIdentifier: 9,
      filters: ['a'],
      userProperties: [['n', 'v']],
    })
  })

  it('of MQTT 3.1 may be repeated with DUP', () => {
    expect(decode(packet(0xaa, u16(9), string('a')), 3)).toMatchObject({ filters: ['a'] })
  })

  it.each([
    ['Packet Identifier 0', 0x81, 0x82, packet(0xa2, u16(0), string('a')), packet(0xa2, u16(0), none, string('a'))],
    ['no filter', 0x81, 0x82, packet(0xa2, u16(1)), packet(0xa2, u16(1), none)],
    ['an empty filter', 0x81, 0x81, packet(0xa2, u16(1), string('')), packet(0xa2, u16(1), none, string(''))],
    ['flags 0', 0x81, 0x81, packet(0xa0, u16(1), string('a')), packet(0xa0, u16(1), none, string('a'))],
    ['U+0000', 0x81, 0x81, packet(0xa2, u16(1), string('\0')), packet(0xa2, u16(1), none, string('\0'))],
    ['half a length', 0x81, 0x81, packet(0xa2, u16(1), string('a'), 0), packet(0xa2, u16(1), none, string('a'), 0)],
    ['no body', 0x81, 0x81, packet(0xa2), packet(0xa2)],
  ])('is refused for %s', (_name, code4, code5, whole4, whole5) => {
    expect(refusal(whole4, 4)).toBe(code4)
    expect(refusal(whole5, 5)).toBe(code5)
  })

  it('of MQTT 5.0 is refused for a Subscription Identifier', () => {
    expect(refusal(packet(0xa2, u16(1), block(bytes(11, 1)), string('a')), 5)).toBe(0x81)
  })
})

describe('a PINGREQ', () => {
  it.each(versions)('of protocol level %i is decoded', (version) => {
    expect(decode(bytes(0xc0, 0), version)).toEqual({ type: 12 })
  })

  it.each(versions)('of protocol level %i is refused with a body', (version) => {
    expect(refusal(bytes(0xc0, 1, 0), version)).toBe(0x81)
  })

  it('is refused for its flags, which MQTT 3.1 does not use', () => {
    expect(refusal(bytes(0xc1, 0), 4)).toBe(0x81)
    expect(refusal(bytes(0xc8, 0), 5)).toBe(0x81)
    expect(refusal(bytes(0xc8, 0), 3)).toBe('accepted')
  })
})

describe('a DISCONNECT', () => {
  it.each(versions)('of protocol level %i without a body is a normal one', (version) => {
    expect(decode(bytes(0xe0, 0), version)).toEqual({ type: 14, reasonCode: 0 })
  })

  it('of MQTT 5.0 may end after its Reason Code', () => {
    expect(decode(bytes(0xe0, 1, 4), 5)).toEqual({ type: 14, reasonCode: 4 })
    expect(decode(bytes(0xe0, 2, 0, 0), 5)).toEqual({ type: 14, reasonCode: 0 })
  })

  it('of MQTT 5.0 is decoded with its properties', () => {
    const properties = block(
      bytes(17, u32(0)),
      bytes(31, string('bye')),
      userProperty('z', '1'),
      userProperty('a', '2'),
    )
    expect(decode(packet(0xe0, 0x98, properties), 5)).toEqual({
      type: 14,
      reasonCode: 0x98,
      sessionExpiryInterval: 0,
      reasonString: 'bye',
      userProperties: [
        ['z', '1'],
        ['a', '2'],
      ],
    })
  })

  it.each([
    ['a body in MQTT 3.1.1', 4, 0x81, bytes(0xe0, 1, 0)],
    ['flags in MQTT 3.1.1', 4, 0x81, bytes(0xe2, 0)],
    ['flags', 5, 0x81, bytes(0xe1, 0)],
    ["a server's Reason Code", 5, 0x82, bytes(0xe0, 1, 0x8b)],
    ['an unknown Reason Code', 5, 0x82, bytes(0xe0, 2, 1, 0)],
    ['Server Reference', 5, 0x82, packet(0xe0, 0, block(bytes(28, string('x'))))],
    ['Receive Maximum', 5, 0x81, packet(0xe0, 0, block(bytes(33, u16(1))))],
    ['Reason String twice', 5, 0x82, packet(0xe0, 0, block(bytes(31, string('x'), 31, string('x'))))],
    ['trailing bytes', 5, 0x81, packet(0xe0, 0, none, 0)],
    ['properties beyond its end', 5, 0x81, packet(0xe0, 0, 1)],
  ] as const)('is refused for %s', (_name, version, code, whole) => {
    expect(refusal(whole, version)).toBe(code)
  })
})

describe('an AUTH', () => {
  it.each([0x18, 0x19])('with Reason Code %i is decoded', (reasonCode) => {
    const properties = block(
      bytes(21, string('m'), 22, binary(bytes(0))),
      bytes(31, string('why')),
      userProperty('n', ''),
    )
    expect(decode(packet(0xf0, reasonCode, properties), 5)).toEqual({
      type: 15,
      reasonCode,
      authenticationMethod: 'm',
      authenticationData: bytes(0),
      reasonString: 'why',
      userProperties: [['n', '']],
    })
  })

  const method = bytes(21, string('m'))
  it.each([
    ['nothing in it, which is a Success', 5, 0x82, bytes(0xf0, 0)],
    ['Success, which only a server sends', 5, 0x82, packet(0xf0, 0, block(method))],
    ['an unknown Reason Code', 5, 0x82, packet(0xf0, 0x1a, block(method))],
    ['no Property Length', 5, 0x81, packet(0xf0, 0x18)],
    ['no Authentication Method', 5, 0x82, packet(0xf0, 0x18, none)],
    ['Authentication Data without Method', 5, 0x82, packet(0xf0, 0x18, block(bytes(22, binary(bytes(1)))))],
    ['Authentication Method twice', 5, 0x82, packet(0xf0, 0x18, block(method, method))],
    ['Session Expiry Interval', 5, 0x81, packet(0xf0, 0x18, block(method, bytes(17, u32(1))))],
    ['flags', 5, 0x81, packet(0xf1, 0x18, block(method))],
    ['trailing bytes', 5, 0x81, packet(0xf0, 0x18, block(method), 0)],
    ['MQTT 3.1.1', 4, 0x81, packet(0xf0, 0x18, block(method))],
    ['MQTT 3.1', 3, 0x81, bytes(0xf0, 0)],
  ] as const)('is refused for %s', (_name, version, code, whole) => {
    expect(refusal(whole, version)).toBe(code)
  })
})

describe('what a client does not send', () => {
  it.each(versions)('is refused at protocol level %i', (version) => {
    expect(refusal(bytes(0x00, 0), version)).toBe(0x81)
    expect(refusal(bytes(0x20, 2, 0, 0), version)).toBe(0x82)
    expect(refusal(bytes(0x90, 3, 0, 1, 0), version)).toBe(0x82)
    expect(refusal(bytes(0xb0, 2, 0, 1), version)).toBe(0x82)
    expect(refusal(bytes(0xd0, 0), version)).toBe(0x82)
  })

  it('is not confused with what is read in place', () => {
    expect(refusalOf(() => decodePacket(bytes(0x30, 3, 0, 1, 0x61), 0, 2, 5, 5))).toBe(0x82)
  })
})

describe('the Reason Codes of a client', () => {
  const codesOf = (type: number) =>
    Array.from({ length: 256 }, (_, code) => code).filter((code) => isReasonCodeOf(type, code, true))

  it('are those of the specification', () => {
    const acknowledgement = [0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
    expect(codesOf(4)).toEqual(acknowledgement)
    expect(codesOf(5)).toEqual(acknowledgement)
    expect(codesOf(6)).toEqual([0x00, 0x92])
    expect(codesOf(7)).toEqual([0x00, 0x92])
    const disconnect = [0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
    expect(codesOf(14)).toEqual(disconnect)
    expect(codesOf(15)).toEqual([0x18, 0x19])
  })

  it.each([0, 1, 2, 3, 8, 9, 10, 11, 12, 13])('are none in packet type %i', (type) => {
    expect(codesOf(type)).toEqual([])
  })
})
