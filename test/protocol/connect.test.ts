import { describe, expect, it } from 'vitest'
import { connackVersion } from '../../src/protocol/codec'
import { MqttError } from '../../src/protocol/mqtt-error'
import type { ConnectPacket } from '../../src/protocol/packet'
import { binary, block, bytes, decode, packet, refusal, string, u16, u32, userProperty } from './packet-bytes'

const keepAlive = u16(60)

/** CONNECT of MQTT 5.0: flags, properties, then the payload from the Client Identifier on. */
const connect5 = (flags: number, properties: Uint8Array, ...payload: Uint8Array[]) =>
  packet(0x10, string('MQTT'), 5, flags, keepAlive, properties, ...payload)
const connect4 = (flags: number, ...payload: Uint8Array[]) =>
  packet(0x10, string('MQTT'), 4, flags, keepAlive, ...payload)
const connect3 = (flags: number, ...payload: Uint8Array[]) =>
  packet(0x10, string('MQIsdp'), 3, flags, keepAlive, ...payload)

const none = block()
const id = string('c1')
const decodeConnect = (whole: Uint8Array) => decode(whole, 4) as ConnectPacket

describe('a CONNECT', () => {
  it('of MQTT 3.1.1 is decoded', () => {
    const whole = connect4(0xf6, id, string('will/t'), binary(Buffer.from('gone')), string('u'), binary(bytes(0, 255)))
    expect(decodeConnect(whole)).toEqual({
      type: 1,
      protocolName: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepAlive: 60,
      clientId: 'c1',
      username: 'u',
      password: bytes(0, 255),
      will: {
        topic: 'will/t',
        payload: Buffer.from('gone'),
        qos: 2,
        retain: true,
        willDelayInterval: 0,
        properties: {},
      },
      properties: {},
    })
  })

  it('of MQTT 3.1 is decoded', () => {
    const decoded = decodeConnect(connect3(0x02, id))
    expect(decoded).toMatchObject({ protocolName: 'MQIsdp', protocolVersion: 3, clientId: 'c1', clean: true })
    expect(decoded).not.toHaveProperty('username')
    expect(decoded).not.toHaveProperty('will')
  })

  it('of MQTT 5.0 is decoded with every property', () => {
    const properties = block(
      bytes(17, u32(0xffffffff)),
      bytes(33, u16(10)),
      bytes(39, u32(4096)),
      bytes(34, u16(0)),
      bytes(25, 1),
      bytes(23, 0),
      userProperty('__proto__', 'x'),
      userProperty('b', ''),
      userProperty('b', '2'),
      userProperty('a', '1'),
      userProperty('b', ''),
      bytes(21, string('SCRAM')),
      bytes(22, binary(bytes(1, 2, 3))),
    )
    const will = block(
      bytes(24, u32(30)),
      bytes(1, 1),
      bytes(2, u32(60)),
      bytes(3, string('text/plain')),
      bytes(8, string('answer/here')),
      bytes(9, binary(bytes(9, 8))),
      userProperty('constructor', 'c'),
      userProperty('10', 'ten'),
      userProperty('2', 'two'),
    )
    const whole = connect5(0xcc, properties, id, will, string('w'), binary(bytes()), string(''), binary(bytes()))
    expect(decodeConnect(whole)).toEqual({
      type: 1,
      protocolName: 'MQTT',
      protocolVersion: 5,
      clean: false,
      keepAlive: 60,
      clientId: 'c1',
      username: '',
      password: Buffer.alloc(0),
      will: {
        topic: 'w',
        payload: Buffer.alloc(0),
        qos: 1,
        retain: false,
        willDelayInterval: 30,
        properties: {
          payloadFormatIndicator: 1,
          messageExpiryInterval: 60,
          contentType: 'text/plain',
          responseTopic: 'answer/here',
          correlationData: bytes(9, 8),
          userProperties: [
            ['constructor', 'c'],
            ['10', 'ten'],
            ['2', 'two'],
          ],
        },
      },
      properties: {
        sessionExpiryInterval: 0xffffffff,
        receiveMaximum: 10,
        maximumPacketSize: 4096,
        topicAliasMaximum: 0,
        requestResponseInformation: true,
        requestProblemInformation: false,
        userProperties: [
          ['__proto__', 'x'],
          ['b', ''],
          ['b', '2'],
          ['a', '1'],
          ['b', ''],
        ],
        authenticationMethod: 'SCRAM',
        authenticationData: bytes(1, 2, 3),
      },
    })
  })

  it('keeps names of every object as they are', () => {
    const decoded = decodeConnect(connect4(0x82, string('__proto__'), string('constructor')))
    expect(decoded.clientId).toBe('__proto__')
    expect(decoded.username).toBe('constructor')
  })

  it('keeps a byte order mark [MQTT-1.5.4-3]', () => {
    expect(decodeConnect(connect4(2, string('\ufeffc'))).clientId).toBe('\ufeffc')
  })

  it('of MQTT 5.0 may have a password without a user name', () => {
    const decoded = decodeConnect(connect5(0x42, none, id, binary(bytes(7))))
    expect(decoded.password).toEqual(bytes(7))
    expect(decoded).not.toHaveProperty('username')
  })

  it('may have an empty Client Identifier: the handshake decides', () => {
    expect(decodeConnect(connect4(0, string(''))).clientId).toBe('')
  })

  it('has bytes of its own that share no pool', () => {
    const decoded = decodeConnect(connect4(0xc2, id, string('u'), binary(bytes(1, 2))))
    expect(decoded.password?.buffer.byteLength).toBe(2)
  })

  it('is decoded after another was refused', () => {
    expect(refusal(connect4(2, binary(bytes(0xff))), 4)).toBe(0x81)
    expect(decodeConnect(connect4(2, id)).clientId).toBe('c1')
  })
})

describe('what MQTT 3.1 allows in a CONNECT', () => {
  it('is a User Name flag without a User Name: Remaining Length takes precedence', () => {
    const decoded = decodeConnect(connect3(0xc2, id))
    expect(decoded).not.toHaveProperty('username')
    expect(decoded).not.toHaveProperty('password')
    const withName = decodeConnect(connect3(0xc2, id, string('u')))
    expect(withName.username).toBe('u')
    expect(withName).not.toHaveProperty('password')
  })

  it('is any value of the bits that it does not use', () => {
    const whole = connect3(0x03, id)
    whole[0] = 0x1f
    expect(decodeConnect(whole).clientId).toBe('c1')
  })
})

describe('a CONNECT is refused', () => {
  it.each([
    ['the name MQTT at level 3', packet(0x10, string('MQTT'), 3)],
    ['the name MQTT at level 6', packet(0x10, string('MQTT'), 6)],
    ['the bridge level of MQTT 3.1.1', packet(0x10, string('MQTT'), 0x84, 2, keepAlive, id)],
    ['the name MQIsdp at level 4', packet(0x10, string('MQIsdp'), 4)],
    ['an unknown name', packet(0x10, string('mqtt'), 4, 2, keepAlive, id)],
    ['an empty name', packet(0x10, string(''), 4)],
    ['a name that is no UTF-8', packet(0x10, binary(bytes(0xff, 0xfe)), 4)],
    ['an unknown level with reserved flags', packet(0x13, string('MQTT'), 9, 0xff)],
  ])('with GNATMQ_PROTOCOL_VERSION for %s, whatever follows', (_name, whole) => {
    try {
      decode(whole, 4)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(MqttError)
      expect((error as MqttError).code).toBe('GNATMQ_PROTOCOL_VERSION')
      expect((error as MqttError).reasonCode).toBe(0x84)
    }
  })

  const long = (text: string) => bytes(u16(text.length + 1), Buffer.from(text))
  it.each([
    ['no body', packet(0x10)],
    ['a name cut short', packet(0x10, 0)],
    ['a name beyond the packet', packet(0x10, u16(4), Buffer.from('MQT'))],
    ['no level', packet(0x10, string('MQTT'))],
    ['no flags', packet(0x10, string('MQTT'), 4)],
    ['no Keep Alive', packet(0x10, string('MQTT'), 4, 2, 0)],
    ['no Client Identifier', connect4(2)],
    ['a Client Identifier beyond the packet', connect4(2, long('c'))],
    ['a Client Identifier of broken UTF-8', connect4(2, binary(bytes(0xc3)))],
    ['a Client Identifier with U+0000', connect4(2, string('a\0'))],
    ['reserved flags of the fixed header', bytes(0x11, connect4(2, id).subarray(1))],
    ['the reserved Connect Flag', connect4(0x03, id)],
    ['Will QoS 3', connect4(0x1e, id, string('w'), binary(bytes()))],
    ['Will QoS 3 without a Will', connect4(0x1a, id)],
    ['Will QoS without a Will', connect4(0x0a, id)],
    ['Will Retain without a Will', connect4(0x22, id)],
    ['no Will Topic', connect4(0x06, id)],
    ['an empty Will Topic', connect4(0x06, id, string(''), binary(bytes()))],
    ['a Will Topic with a wildcard', connect4(0x06, id, string('a/+'), binary(bytes()))],
    ['a Will Topic of broken UTF-8', connect4(0x06, id, binary(bytes(0xed, 0xa0, 0x80)), binary(bytes()))],
    ['no Will Payload', connect4(0x06, id, string('w'))],
    ['a Will Payload beyond the packet', connect4(0x06, id, string('w'), long('p'))],
    ['no User Name', connect4(0x82, id)],
    ['a User Name with U+0000', connect4(0x82, id, string('\0'))],
    ['no Password', connect4(0xc2, id, string('u'))],
    ['a Password beyond the packet', connect4(0xc2, id, string('u'), long('p'))],
    ['a Password without a User Name', connect4(0x42, id, binary(bytes(1)))],
    ['trailing bytes', connect4(2, id, bytes(0))],
  ])('of MQTT 3.1.1 as malformed for %s', (_name, whole) => {
    expect(refusal(whole, 4)).toBe(0x81)
  })

  it.each([
    ['the reserved Connect Flag', 0x81, connect5(0x03, none, id)],
    ['Will QoS 3', 0x81, connect5(0x1e, none, id, none, string('w'), binary(bytes()))],
    ['Will Retain without a Will', 0x81, connect5(0x22, none, id)],
    ['an empty Will Topic', 0x81, connect5(0x06, none, id, none, string(''), binary(bytes()))],
    ['a Will Topic with a wildcard', 0x81, connect5(0x06, none, id, none, string('#'), binary(bytes()))],
    ['no Property Length', 0x81, packet(0x10, string('MQTT'), 5, 2, keepAlive)],
    ['a Property Length beyond the packet', 0x81, connect5(2, bytes(0x7f), id)],
    ['a Property Length of five bytes', 0x81, connect5(2, bytes(0x80, 0x80, 0x80, 0x80, 1), id)],
    ['a Property Length longer than it needs', 0x81, connect5(2, bytes(0x80, 0), id)],
    ['a Property Length inside a property', 0x81, connect5(2, bytes(3, 17, 0, 0), id)],
    ['trailing bytes', 0x81, connect5(2, none, id, bytes(0))],
    ['Will properties cut short', 0x81, connect5(0x06, none, id, bytes(2, 24))],
  ])('of MQTT 5.0 for %s: %i', (_name, code, whole) => {
    expect(refusal(whole, 5)).toBe(code)
  })

  it.each([
    ['property 0', 0x81, bytes(0)],
    ['an unknown property', 0x81, bytes(99, 1)],
    ['an identifier of two bytes', 0x81, bytes(0x91, 0x01, u32(0))],
    ['Topic Alias', 0x81, bytes(35, u16(1))],
    ['Reason String', 0x81, bytes(31, string('x'))],
    ['Will Delay Interval', 0x81, bytes(24, u32(1))],
    ['Receive Maximum 0', 0x82, bytes(33, u16(0))],
    ['Maximum Packet Size 0', 0x82, bytes(39, u32(0))],
    ['Request Response Information 2', 0x82, bytes(25, 2)],
    ['Request Problem Information 2', 0x82, bytes(23, 2)],
    ['Authentication Data without Method', 0x82, bytes(22, binary(bytes(1)))],
    ['Session Expiry Interval twice', 0x82, bytes(17, u32(1), 17, u32(1))],
    ['Receive Maximum twice', 0x82, bytes(33, u16(1), 33, u16(1))],
    ['Topic Alias Maximum twice', 0x82, bytes(34, u16(0), 34, u16(0))],
    ['Maximum Packet Size twice', 0x82, bytes(39, u32(9), 39, u32(9))],
    ['Authentication Method twice', 0x82, bytes(21, string('a'), 21, string('a'))],
    ['a User Property without a value', 0x81, bytes(38, string('n'))],
    ['a User Property of broken UTF-8', 0x81, bytes(38, binary(bytes(0xff)), string('v'))],
    ['an Authentication Method with U+0000', 0x81, bytes(21, string('\0'))],
  ])('of MQTT 5.0 for the property %s: %i', (_name, code, properties) => {
    expect(refusal(connect5(2, block(properties), id), 5)).toBe(code)
  })

  it.each([
    ['Session Expiry Interval', 0x81, bytes(17, u32(1))],
    ['Topic Alias', 0x81, bytes(35, u16(1))],
    ['Subscription Identifier', 0x81, bytes(11, 1)],
    ['Payload Format Indicator 2', 0x82, bytes(1, 2)],
    ['Will Delay Interval twice', 0x82, bytes(24, u32(1), 24, u32(1))],
    ['Content Type twice', 0x82, bytes(3, string('a'), 3, string('a'))],
    ['Response Topic with a wildcard', 0x81, bytes(8, string('a/#'))],
    ['an empty Response Topic', 0x81, bytes(8, string(''))],
    ['Response Topic of broken UTF-8', 0x81, bytes(8, binary(bytes(0xff)))],
    ['Correlation Data cut short', 0x81, bytes(9, u16(5), 1)],
  ])('of MQTT 5.0 for the Will property %s: %i', (_name, code, properties) => {
    expect(refusal(connect5(6, none, id, block(properties), string('w'), binary(bytes())), 5)).toBe(code)
  })

  it('of MQTT 3.1 for a Password without a User Name', () => {
    expect(refusal(connect3(0x42, id, binary(bytes(1))), 3)).toBe(0x81)
  })
})

describe('the CONNACK of a CONNECT that cannot be decoded', () => {
  it.each([
    ['MQTT at level 5', packet(0x10, string('MQTT'), 5), 5],
    ['MQTT at level 6', packet(0x10, string('MQTT'), 6), 5],
    ['MQTT at level 4', packet(0x10, string('MQTT'), 4), 4],
    ['MQTT at level 3', packet(0x10, string('MQTT'), 3), 4],
    ['a bridge', packet(0x10, string('MQTT'), 0x84), 4],
    ['MQIsdp', packet(0x10, string('MQIsdp'), 3), 3],
    ['an unknown name', packet(0x10, string('HTTP'), 5), 4],
    ['nothing', packet(0x10), 4],
  ])('is written for %s', (_name, whole, version) => {
    expect(connackVersion(whole, 2, whole.length)).toBe(version)
  })
})
