import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Frame, FrameStatus, readFrame } from '../../src/protocol/frame'
import { bytes, variable } from './packet-bytes'

const { Whole, Partial, Malformed, TooLarge } = FrameStatus
const unlimited = 0xfffffff + 5
const frame = new Frame()

function read(whole: Uint8Array, maximumPacketSize = unlimited, minimalLength = true): number {
  return readFrame(frame, whole, 0, whole.length, maximumPacketSize, minimalLength)
}

describe('readFrame', () => {
  it.each([
    ['nothing', [], Partial],
    ['a first byte alone', [0x30], Partial],
    ['a length of one byte, unfinished', [0x30, 0x80], Partial],
    ['a length of three bytes, unfinished', [0x30, 0xff, 0xff, 0xff], Partial],
    ['a body that is missing', [0x30, 2], Partial],
    ['a body that is cut short', [0x30, 2, 0], Partial],
    ['a packet without a body', [0xc0, 0], Whole],
    ['a packet with a body', [0x40, 2, 0, 1], Whole],
    ['a packet with another behind it', [0x40, 2, 0, 1, 0xc0, 0], Whole],
    ['a length of five bytes', [0x30, 0xff, 0xff, 0xff, 0xff, 0x01], Malformed],
    ['a length of five bytes, before the fifth is there', [0x30, 0xff, 0xff, 0xff, 0xff], Malformed],
    ['a length padded to two bytes', [0x30, 0x82, 0x00, 0, 0], Malformed],
    ['a length padded to four bytes', [0x30, 0x80, 0x80, 0x80, 0x00], Malformed],
  ])('finds %s', (_, packet, status) => {
    expect(read(Buffer.from(packet))).toBe(status)
  })

  it('takes a padded length where the shortest is not asked for', () => {
    expect(read(bytes(0x40, 0x82, 0x00, 0, 1), unlimited, false)).toBe(Whole)
    expect(frame).toMatchObject({ first: 0x40, start: 0, body: 3, end: 5 })
  })

  it.each([0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])(
    'says where a packet of %i bytes will end',
    (length) => {
      const header = bytes(0x30, variable(length))
      expect(read(header)).toBe(length === 0 ? Whole : Partial)
      expect(frame).toMatchObject({ first: 0x30, start: 0, body: header.length, end: header.length + length })
    },
  )

  it('refuses a large packet by its header alone, and takes one of just the size', () => {
    const header = bytes(0x30, variable(1000))
    expect(read(header, 1002)).toBe(TooLarge)
    expect(read(header, 1003)).toBe(Partial)
    expect(read(bytes(header, Buffer.alloc(1000)), 1003)).toBe(Whole)
    expect(read(bytes(header, Buffer.alloc(1000)), 1002)).toBe(TooLarge)
  })

  it('does not say an end while the length is unfinished', () => {
    read(bytes(0x40, 2, 0, 1))
    expect(read(bytes(0x30, 0xff))).toBe(Partial)
    expect(frame.end).toBe(0)
  })

  it('finds packets one behind the other, wherever the bytes begin and end', () => {
    const packets = fc.array(
      fc.record({ first: fc.integer({ min: 0, max: 255 }), body: fc.uint8Array({ maxLength: 300 }) }),
      { maxLength: 6 },
    )
    fc.assert(
      fc.property(packets, fc.nat(5), fc.nat(), (list, lead, cut) => {
        const whole = bytes(
          Buffer.alloc(lead, 0xff),
          ...list.flatMap(({ first, body }) => [first, variable(body.length), body]),
        )
        const limit = lead + (cut % (whole.length - lead + 1))
        let at = lead
        let found = 0
        while (readFrame(frame, whole, at, limit, unlimited, true) === Whole) {
          expect(frame.first).toBe(list[found]!.first)
          expect(frame.start).toBe(at)
          expect([...whole.subarray(frame.body, frame.end)]).toEqual([...list[found]!.body])
          at = frame.end
          found++
        }
        const ends = list.map(
          (_, n) =>
            lead +
            list.slice(0, n + 1).reduce((sum, { body }) => sum + 1 + variable(body.length).length + body.length, 0),
        )
        expect(found).toBe(ends.filter((end) => end <= limit).length)
      }),
    )
  })
})
