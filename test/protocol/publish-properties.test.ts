import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeMessageProperties, encodeMessageProperties } from '../../src/protocol/message-properties'
import type { MessageProperties } from '../../src/protocol/packet'
import {
  checkAckProperties,
  copyForwardedProperties,
  PublishProperties,
  scanPublishProperties,
} from '../../src/protocol/publish-properties'
import { binary, bytes, refusalOf, string, u16, u32, userProperty } from './packet-bytes'

const contentType = bytes(3, string('text/plain'))
const responseTopic = bytes(8, string('answer'))
const correlationData = bytes(9, binary(bytes(1, 2)))
const alias = bytes(35, u16(513))
const expiry = bytes(2, u32(0xfffffffe))
const used = new PublishProperties()

/** Scans content that lies between other bytes, into an object that an earlier scan has filled. */
function scan(content: Uint8Array): PublishProperties {
  const around = bytes(0xff, content, 0xff, 0xff)
  scanPublishProperties(around, 1, 1 + content.length, used)
  return used
}

describe('the properties of a PUBLISH', () => {
  it('may be none', () => {
    expect({ ...scan(bytes()) }).toEqual({ ...new PublishProperties() })
    expect(used.plain).toBe(true)
  })

  it('are found in place', () => {
    const content = bytes(
      userProperty('a', 'b'),
      1,
      1,
      contentType,
      responseTopic,
      correlationData,
      userProperty('', ''),
    )
    const found = scan(content)
    expect(found).toMatchObject({ plain: true, payloadFormatIndicator: 1, userPropertyCount: 2, topicAlias: 0 })
    const around = bytes(0xff, content)
    expect(around.toString('utf8', found.contentTypeStart, found.contentTypeEnd)).toBe('text/plain')
    expect(around.toString('utf8', found.responseTopicStart, found.responseTopicEnd)).toBe('answer')
    expect([...around.subarray(found.correlationDataStart, found.correlationDataEnd)]).toEqual([1, 2])
  })

  it('are not plain with an alias or an expiry', () => {
    expect(scan(alias)).toMatchObject({ plain: false, topicAlias: 513, messageExpiryInterval: -1 })
    expect(scan(expiry)).toMatchObject({ plain: false, topicAlias: 0, messageExpiryInterval: 0xfffffffe })
    expect(scan(bytes(2, u32(0)))).toMatchObject({ plain: false, messageExpiryInterval: 0 })
  })

  it('of the packet before are forgotten', () => {
    scan(bytes(1, 0, contentType, responseTopic, correlationData, alias, expiry, userProperty('a', 'b')))
    expect({ ...scan(bytes()) }).toEqual({ ...new PublishProperties() })
  })

  it.each([
    ['Topic Alias 0', 0x94, bytes(35, u16(0))],
    ['Topic Alias twice', 0x82, bytes(alias, alias)],
    ['Message Expiry Interval twice', 0x82, bytes(2, u32(0), 2, u32(0))],
    ['Payload Format Indicator 2', 0x82, bytes(1, 2)],
    ['Payload Format Indicator twice', 0x82, bytes(1, 0, 1, 0)],
    ['Content Type twice', 0x82, bytes(3, string(''), 3, string(''))],
    ['Response Topic twice', 0x82, bytes(responseTopic, responseTopic)],
    ['Response Topic with +', 0x81, bytes(8, string('a/+'))],
    ['Response Topic with #', 0x81, bytes(8, string('#'))],
    ['an empty Response Topic', 0x81, bytes(8, string(''))],
    ['Correlation Data twice', 0x82, bytes(correlationData, correlationData)],
    ['Subscription Identifier', 0x82, bytes(11, 1)],
    ['property 0', 0x81, bytes(0)],
    ['an unknown property', 0x81, bytes(0x7f)],
    ['an identifier of two bytes', 0x81, bytes(0xa6, 0x00, string('a'), string('b'))],
    ['Session Expiry Interval', 0x81, bytes(17, u32(0))],
    ['Reason String', 0x81, bytes(31, string('r'))],
    ['a Content Type with U+0000', 0x81, bytes(3, string('\0'))],
    ['a Response Topic of broken UTF-8', 0x81, bytes(8, binary(bytes(0xc3)))],
    ['a User Property of broken UTF-8', 0x81, bytes(38, string('a'), binary(bytes(0xed, 0xa0, 0x80)))],
  ])('are refused for %s: %i', (_name, code, content) => {
    expect(refusalOf(() => scan(content))).toBe(code)
  })

  const whole = [bytes(1, 1), contentType, responseTopic, correlationData, alias, expiry, userProperty('ab', 'cd')]
  it.each(whole.map((property) => [property[0], property] as const))(
    'are refused where %i is cut short',
    (_id, property) => {
      for (let length = 1; length < property.length; length += 1) {
        expect(refusalOf(() => scan(property.subarray(0, length)))).toBe(0x81)
      }
      expect(refusalOf(() => scan(property))).toBe('accepted')
    },
  )
})

describe('what is forwarded of the properties of a PUBLISH', () => {
  it('is everything but alias, expiry and Subscription Identifiers, in order', () => {
    const kept = [
      userProperty('b', '1'),
      contentType,
      userProperty('a', '2'),
      bytes(1, 0),
      correlationData,
      responseTopic,
    ]
    const identifier = bytes(11, 0xff, 0x7f)
    const content = bytes(
      alias,
      kept[0]!,
      kept[1]!,
      expiry,
      kept[2]!,
      kept[3]!,
      identifier,
      kept[4]!,
      kept[5]!,
      identifier,
    )
    const around = bytes(0xff, content, 0xff)
    const copy = copyForwardedProperties(around, 1, 1 + content.length)
    around.fill(0)
    expect(copy.toString('hex')).toBe(bytes(...kept).toString('hex'))
  })

  it('may be nothing', () => {
    expect(copyForwardedProperties(alias, 0, alias.length)).toHaveLength(0)
  })
})

describe('the properties of an acknowledgement', () => {
  const check = (content: Uint8Array) =>
    refusalOf(() => checkAckProperties(bytes(0xff, content, 0xff), 1, 1 + content.length, 4))

  it.each([
    ['nothing', 'accepted', bytes()],
    [
      'Reason String and User Properties',
      'accepted',
      bytes(userProperty('a', ''), 31, string('r'), userProperty('a', '')),
    ],
    ['Reason String twice', 0x82, bytes(31, string('r'), 31, string('r'))],
    ['Content Type', 0x81, contentType],
    ['an unknown property', 0x81, bytes(77)],
    ['a Reason String cut short', 0x81, bytes(31, u16(2), 0x61)],
    ['a Reason String of broken UTF-8', 0x81, bytes(31, binary(bytes(0x80)))],
  ])('with %s: %s', (_name, expected, content) => {
    expect(check(content)).toBe(expected)
  })
})

describe('the properties of a message', () => {
  const everything: MessageProperties = {
    payloadFormatIndicator: 1,
    messageExpiryInterval: 9,
    contentType: 'text/é',
    responseTopic: 'r',
    correlationData: Buffer.of(0, 1),
    userProperties: [
      ['b', ''],
      ['__proto__', 'x'],
      ['b', '2'],
    ],
  }

  it('are written in the order of their interface, without the expiry', () => {
    const expected = bytes(
      bytes(1, 1, 3, string('text/é'), 8, string('r'), 9, binary(bytes(0, 1))),
      bytes(userProperty('b', ''), userProperty('__proto__', 'x'), userProperty('b', '2')),
    )
    expect(Buffer.from(encodeMessageProperties(everything)).toString('hex')).toBe(expected.toString('hex'))
    expect(encodeMessageProperties({})).toHaveLength(0)
  })

  it('are read back, with the expiry and without what belongs to a connection', () => {
    const content = bytes(0xff, alias, expiry, encodeMessageProperties(everything), 11, 0xff, 0x01, 0xff)
    const decoded = decodeMessageProperties(new Uint8Array(content), 1, content.length - 1)
    content.fill(0)
    expect(decoded).toEqual({ ...everything, messageExpiryInterval: 0xfffffffe })
  })

  it('come back as they went', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((given) => !given.includes('\0'))
    const properties = fc.record(
      {
        payloadFormatIndicator: fc.constantFrom(0 as const, 1 as const),
        contentType: text,
        responseTopic: text,
        correlationData: fc.uint8Array({ maxLength: 300 }).map((data) => Buffer.from(data)),
        userProperties: fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 5 }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(properties, (given) => {
        const content = encodeMessageProperties(given)
        expect(decodeMessageProperties(content, 0, content.length)).toEqual(given)
      }),
    )
  })

  it('that MQTT cannot carry are refused', () => {
    expect(refusalOf(() => encodeMessageProperties({ contentType: 'a\0' }))).toBe('GNATMQ_OPTION_INVALID')
    expect(refusalOf(() => encodeMessageProperties({ userProperties: [['\ud800', '']] }))).toBe('GNATMQ_OPTION_INVALID')
  })

  it('of a damaged block are refused', () => {
    expect(refusalOf(() => decodeMessageProperties(contentType, 0, contentType.length - 1))).toBe(0x81)
    expect(refusalOf(() => decodeMessageProperties(contentType, 0, contentType.length + 9))).toBe('accepted')
    expect(refusalOf(() => decodeMessageProperties(bytes(5), 0, 1))).toBe(0x81)
  })
})
