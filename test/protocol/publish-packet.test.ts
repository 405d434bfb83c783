import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Frame, FrameStatus, readFrame } from '../../src/protocol/frame'
import { decodeMessageProperties } from '../../src/protocol/message-properties'
import type { ProtocolVersion } from '../../src/protocol/packet'
import { keepForwardedProperties, PublishPacket, readPublish } from '../../src/protocol/publish-packet'
import { block, bytes, packet as raw, refusalOf, string, u16, u32, userProperty, variable } from './packet-bytes'
import { randomPublish } from './random-publish'

const frame = new Frame()
const lead = 3

/** Reads a packet that lies between other bytes into an object that earlier packets have filled. */
function read(packet: PublishPacket, whole: Uint8Array, version: ProtocolVersion): Buffer {
  const around = bytes(Buffer.alloc(lead, 0xff), whole, Buffer.alloc(9, 0xff))
  const status = readFrame(frame, around, lead, lead + whole.length, 0xfffffff + 5, true)
  if (status !== FrameStatus.Whole) throw new Error(`the frame is not whole: ${status}`)
  readPublish(packet, around, frame, version, false)
  return around
}

const reused = new PublishPacket()
const expiry = bytes(2, u32(7))
const alias = bytes(35, u16(9))

function payloadOf({ bytes: from, payloadStart, payloadEnd }: PublishPacket): string {
  return from.toString('latin1', payloadStart, payloadEnd)
}

describe('readPublish', () => {
  it('reads what mqtt-packet has written', () => {
    fc.assert(
      fc.property(randomPublish, ({ version, packet, bytes: whole }) => {
        const around = read(reused, whole, version)
        const { topicAlias, messageExpiryInterval, ...kept } = packet.properties ?? {}
        expect(reused).toMatchObject({
          qos: packet.qos,
          retain: packet.retain,
          dup: packet.dup,
          packetIdentifier: packet.messageId ?? 0,
        })
        expect([reused.start, reused.end]).toEqual([lead, lead + whole.length])
        expect(around.toString('utf8', reused.topicStart, reused.topicEnd)).toBe(packet.topic)
        expect(around.subarray(reused.payloadStart, reused.payloadEnd)).toEqual(packet.payload)
        if (packet.qos > 0) expect(around.readUInt16BE(reused.identifierAt)).toBe(packet.messageId)
        expect(reused.verbatim).toBe(topicAlias === undefined && messageExpiryInterval === undefined)
        if (version === 5) {
          expect(reused.found.topicAlias).toBe(topicAlias ?? 0)
          expect(reused.found.messageExpiryInterval).toBe(messageExpiryInterval ?? -1)
          expect(reused.found.payloadFormatIndicator).toBe(
            kept.payloadFormatIndicator === undefined ? -1 : Number(kept.payloadFormatIndicator),
          )
        } else expect(reused.propertiesStart).toBe(reused.propertiesEnd)
        keepForwardedProperties(reused)
        const properties = decodeMessageProperties(around, reused.propertiesStart, reused.propertiesEnd)
        const { payloadFormatIndicator, userProperties, ...others } = kept
        const wanted: Record<string, unknown> = { ...others }
        if (payloadFormatIndicator !== undefined) wanted['payloadFormatIndicator'] = Number(payloadFormatIndicator)
        if (userProperties !== undefined)
          wanted['userProperties'] = Object.entries(userProperties).flatMap(([name, value]) =>
            [value].flat().map((one) => [name, one]),
          )
        expect(properties).toEqual(wanted)
      }),
      { numRuns: 500 },
    )
  })

  it.each<[string, number | string, ProtocolVersion, Buffer]>([
    ['QoS 3', 0x81, 4, raw(0x36, string('a'), u16(1))],
    ['QoS 0 with DUP', 0x81, 4, raw(0x38, string('a'))],
    ['Packet Identifier 0', 0x82, 4, raw(0x32, string('a'), u16(0))],
    ['no variable header', 0x81, 4, raw(0x30)],
    ['half a topic length', 0x81, 4, raw(0x30, 0)],
    ['a topic beyond the end', 0x81, 4, raw(0x30, u16(3), 0x61, 0x61)],
    ['no Packet Identifier', 0x81, 4, raw(0x32, string('a'))],
    ['half a Packet Identifier', 0x81, 4, raw(0x34, string('a'), 1)],
    ['no property length', 0x81, 5, raw(0x30, string('a'))],
    ['properties beyond the end', 0x81, 5, raw(0x30, string('a'), 4, 1, 0)],
    ['a property length of five bytes', 0x81, 5, raw(0x30, string('a'), 0x80, 0x80, 0x80, 0x80, 1)],
    ['a property length that ends the packet', 0x81, 5, raw(0x30, string('a'), 0x80)],
    ['a padded property length', 0x81, 5, raw(0x30, string('a'), 0x80, 0)],
    ['a Subscription Identifier', 0x82, 5, raw(0x30, string('a'), block(11, 1))],
    ['Topic Alias 0', 0x94, 5, raw(0x30, string('a'), block(35, u16(0)))],
    ['an empty topic, which the route refuses', 'accepted', 4, raw(0x30, u16(0))],
    ['nothing but a topic', 'accepted', 3, raw(0x30, string('a'))],
    ['properties of 128 bytes', 'accepted', 5, raw(0x30, string('a'), block(userProperty('a', 'b'.repeat(122))))],
  ])('answers to %s with %s', (_, answer, version, whole) => {
    expect(refusalOf(() => read(new PublishPacket(), whole, version))).toBe(answer)
  })

  it('never reads beyond the packet, whatever the bytes are', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom(0x30, 0x32, 0x3d, 0x31),
        fc.constantFrom<ProtocolVersion>(4, 5),
        (body, first, version) => {
          const whole = raw(first, body)
          const answer = refusalOf(() => read(reused, whole, version))
          if (answer !== 'accepted') return
          const { topicStart, topicEnd, propertiesStart, propertiesEnd, payloadStart, payloadEnd } = reused
          const offsets = [lead, topicStart, topicEnd, propertiesStart, propertiesEnd, payloadStart, payloadEnd]
          expect(offsets).toEqual([...offsets].sort((a, b) => a - b))
          expect(payloadEnd).toBe(lead + whole.length)
        },
      ),
      { numRuns: 1000 },
    )
  })
})

describe('keepForwardedProperties', () => {
  const kept = bytes(userProperty('a', 'b'), 3, string('text'))

  it.each([
    ['an alias before what is kept', bytes(alias, kept), kept],
    ['an expiry behind what is kept', bytes(kept, expiry), kept],
    ['both around what is kept', bytes(expiry, kept, alias), kept],
    ['nothing else', bytes(expiry, alias), bytes()],
    ['nothing at all', bytes(), bytes()],
  ])('drops what belongs to the connection: %s', (_, content, left) => {
    const packet = new PublishPacket()
    read(packet, raw(0x32, string('a/b'), u16(5), variable(content.length), content, Buffer.from('payload')), 5)
    keepForwardedProperties(packet)
    expect(packet.bytes.subarray(packet.propertiesStart, packet.propertiesEnd)).toEqual(left)
    expect(packet.propertiesEnd).toBe(packet.payloadStart)
    expect(payloadOf(packet)).toBe('payload')
    expect(packet.bytes.toString('utf8', packet.topicStart, packet.topicEnd)).toBe('a/b')
    expect(packet.packetIdentifier).toBe(5)
  })

  it('touches no byte outside the property block', () => {
    const packet = new PublishPacket()
    const content = bytes(expiry, kept, alias)
    const whole = raw(0x30, string('a'), block(content), Buffer.from('payload'))
    const around = read(packet, whole, 5)
    const before = Buffer.from(around)
    const start = packet.propertiesStart
    keepForwardedProperties(packet)
    expect(around.subarray(0, start)).toEqual(before.subarray(0, start))
    expect(around.subarray(start + content.length)).toEqual(before.subarray(start + content.length))
  })
})
