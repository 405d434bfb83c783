import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import {
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodeSuback,
  encodeUnsuback,
  pingresp,
} from '../../src/protocol/codec'
import type { AuthProperties, ConnackProperties, DisconnectProperties } from '../../src/protocol/packet'
import { binary, block, bytes, packet, refusalOf, string, u16, userProperty } from './packet-bytes'

/** mqtt-packet's bytes of the same packet. */
const reference = (given: Packet, protocolVersion: number) => generate(given, { protocolVersion })

const hex = (given: Uint8Array) => Buffer.from(given).toString('hex')

describe('a CONNACK', () => {
  it.each([
    [3, true, 0, '20020000'],
    [3, false, 2, '20020002'],
    [4, false, 0, '20020000'],
    [4, true, 0, '20020100'],
    [4, true, 5, '20020005'],
    [5, true, 0, '2003010000'],
    [5, true, 0x87, '2003008700'],
  ] as const)('of protocol level %i, session present %s, code %i', (version, sessionPresent, code, expected) => {
    expect(hex(encodeConnack(version, sessionPresent, code))).toBe(expected)
  })

  const everything = {
    sessionExpiryInterval: 0xffffffff,
    receiveMaximum: 100,
    maximumQoS: 1,
    retainAvailable: false,
    maximumPacketSize: 1 << 20,
    assignedClientIdentifier: 'assigned-é',
    topicAliasMaximum: 0,
    reasonString: 'why',
    userProperties: [
      ['a', '1'],
      ['b', '2'],
    ],
    wildcardSubscriptionAvailable: true,
    subscriptionIdentifiersAvailable: false,
    sharedSubscriptionAvailable: true,
    serverKeepAlive: 65_535,
    responseInformation: 'r/',
    serverReference: 'elsewhere',
    authenticationMethod: 'm',
    authenticationData: Buffer.of(0, 255),
  } satisfies ConnackProperties

  it('of MQTT 5.0 with every property is what mqtt-packet writes', () => {
    const properties = {
      ...everything,
      userProperties: { a: '1', b: '2' },
      authenticationData: Buffer.of(0, 255),
    }
    const expected = reference({ cmd: 'connack', sessionPresent: false, reasonCode: 0, properties }, 5)
    expect(hex(encodeConnack(5, false, 0, everything))).toBe(hex(expected))
  })

  it('of MQTT 5.0 with one property is what mqtt-packet writes', () => {
    for (const [key, value] of Object.entries(everything)) {
      if (key === 'userProperties') continue
      const expected = reference(
        { cmd: 'connack', sessionPresent: true, reasonCode: 0, properties: { [key]: value } },
        5,
      )
      expect(hex(encodeConnack(5, true, 0, { [key]: value }))).toBe(hex(expected))
    }
  })

  it('keeps User Properties in order, repeated and strange names too', () => {
    const userProperties = [
      ['b', '1'],
      ['10', ''],
      ['__proto__', 'p'],
      ['2', '2'],
      ['b', '3'],
    ] as const
    const content = userProperties.map(([name, value]) => userProperty(name, value))
    expect(hex(encodeConnack(5, false, 0, { userProperties }))).toBe(hex(packet(0x20, 0, 0, block(...content))))
  })

  it('leaves out what is undefined before MQTT 5.0', () => {
    expect(hex(encodeConnack(4, false, 0, { receiveMaximum: 3 }))).toBe('20020000')
  })

  it('may have a property block of more than 127 bytes', () => {
    const reasonString = 'x'.repeat(300)
    const expected = packet(0x20, 0, 0, block(bytes(31, string(reasonString))))
    expect(hex(encodeConnack(5, false, 0, { reasonString }))).toBe(hex(expected))
  })

  it.each([
    ['a string of more than 65,535 bytes', { reasonString: 'é'.repeat(32_768) }],
    ['a string with U+0000', { reasonString: 'a\0' }],
    ['a lone surrogate', { userProperties: [['n', '\ud800']] as [string, string][] }],
    ['a number that is too large', { receiveMaximum: 65_536 }],
    ['a negative number', { sessionExpiryInterval: -1 }],
    ['a fraction', { serverKeepAlive: 1.5 }],
    ['data of more than 65,535 bytes', { authenticationData: new Uint8Array(65_536) }],
  ])('is not written with %s', (_name, properties: ConnackProperties) => {
    expect(refusalOf(() => encodeConnack(5, false, 0, properties))).toBe('GNATMQ_OPTION_INVALID')
  })
})

describe('a SUBACK', () => {
  it.each([3, 4] as const)('of protocol level %i has return codes only', (version) => {
    expect(hex(encodeSuback(version, 258, [0, 1, 2, 0x80]))).toBe('9006010200010280')
    expect(hex(encodeSuback(version, 1, [0x8f, 0x87], { reasonString: 'no' }))).toBe('900400018080')
  })

  it('of MQTT 5.0 has Reason Codes and properties', () => {
    expect(hex(encodeSuback(5, 258, [2, 0x87]))).toBe('90050102000287')
    const userProperties = [['n', 'v']] as const
    const expected = reference(
      { cmd: 'suback', messageId: 7, granted: [1], properties: { reasonString: 'r', userProperties: { n: 'v' } } },
      5,
    )
    expect(hex(encodeSuback(5, 7, [1], { reasonString: 'r', userProperties }))).toBe(hex(expected))
  })

  it('may answer hundreds of filters', () => {
    const codes = Array.from({ length: 400 }, (_, index) => index % 3)
    const expected = reference({ cmd: 'suback', messageId: 65_535, granted: codes }, 4)
    expect(hex(encodeSuback(4, 65_535, codes))).toBe(hex(expected))
    expect(hex(encodeSuback(5, 65_535, codes))).toBe(hex(packet(0x90, u16(65_535), block(), Buffer.from(codes))))
  })
})

describe('an UNSUBACK', () => {
  it.each([3, 4] as const)('of protocol level %i has no codes', (version) => {
    expect(hex(encodeUnsuback(version, 258, [0, 0x11]))).toBe('b0020102')
  })

  it('of MQTT 5.0 has Reason Codes and properties', () => {
    expect(hex(encodeUnsuback(5, 258, [0, 0x11]))).toBe('b0050102000011')
    const expected = packet(0xb0, u16(1), block(bytes(31, string('r'))), 0x11)
    expect(hex(encodeUnsuback(5, 1, [0x11], { reasonString: 'r' }))).toBe(hex(expected))
  })
})

describe('a PINGRESP', () => {
  it('is two bytes', () => {
    expect(hex(pingresp)).toBe('d000')
  })
})

describe('a DISCONNECT', () => {
  it('has a Reason Code and its properties', () => {
    expect(hex(encodeDisconnect(0x8b))).toBe('e0028b00')
    const properties: DisconnectProperties = { reasonString: 'r', userProperties: [['n', 'v']], serverReference: 's' }
    const expected = reference(
      {
        cmd: 'disconnect',
        reasonCode: 0x9c,
        properties: { reasonString: 'r', userProperties: { n: 'v' }, serverReference: 's' },
      },
      5,
    )
    expect(hex(encodeDisconnect(0x9c, properties))).toBe(hex(expected))
  })
})

describe('an AUTH', () => {
  it('has a Reason Code and its properties', () => {
    const properties: AuthProperties = { authenticationMethod: 'm', authenticationData: Uint8Array.of(1) }
    const expected = packet(0xf0, 0x18, block(bytes(21, string('m')), bytes(22, binary(bytes(1)))))
    expect(hex(encodeAuth(0x18, properties))).toBe(hex(expected))
    expect(hex(encodeAuth(0))).toBe('f0020000')
  })
})
