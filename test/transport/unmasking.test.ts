import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rotated, Unmasking } from '../../src/transport/unmasking'

const bytes = (length: number): Buffer => Buffer.from(Uint8Array.from({ length }, (_, i) => i * 7 + 3))

/** The mask of RFC 6455 as the number that `move` takes. */
const numberOf = (mask: readonly number[]): number => Buffer.from(mask).readInt32LE(0)

describe('rotated', () => {
  it.each([
    [0, 0x04030201],
    [1, 0x01040302],
    [2, 0x02010403],
    [3, 0x03020104],
    [4, 0x04030201],
    [65_537, 0x01040302],
  ])('gives the mask after %i bytes', (count, expected) => {
    expect(rotated(0x04030201, count)).toBe(expected)
  })
})

describe('a payload without its mask', () => {
  it('is the one of RFC 6455 section 5.7', () => {
    const chunk = Buffer.from('7f9f4d5158', 'hex')
    new Unmasking().move(chunk, 0, 5, 0, numberOf([0x37, 0xfa, 0x21, 0x3d]))
    expect(chunk.toString()).toBe('Hello')
  })

  it.each([0, 1, 3, 4, 15, 16, 17, 511, 512, 513, 70_000])(
    'of %i bytes is right wherever it lies and goes',
    (length) => {
      const unmasking = new Unmasking()
      for (const mask of [
        [1, 2, 3, 4],
        [255, 254, 129, 128],
        [0, 0, 0, 9],
        [0, 0, 0, 0],
      ])
        for (let offset = 0; offset < 4; offset++)
          for (let from = 0; from < 9; from++)
            for (const at of new Set([0, 1, 2, 3, from - 4, from - 1, from].filter((n) => n >= 0 && n <= from))) {
              const chunk = bytes(offset + from + length + 5).subarray(offset)
              const expected = Buffer.from(chunk)
              const payload = expected.subarray(from, from + length).map((byte, i) => byte ^ mask[i % 4]!)
              unmasking.move(chunk, from, from + length, at, numberOf(mask))
              expect(chunk.subarray(at, at + length).equals(payload)).toBe(true)
              // nothing in front of it, nothing behind it
              expect(chunk.subarray(0, at).equals(expected.subarray(0, at))).toBe(true)
              expect(chunk.subarray(from + length).equals(expected.subarray(from + length))).toBe(true)
            }
    },
  )

  it('is right in any order of buffers and lengths', () => {
    const unmasking = new Unmasking()
    const buffers = [bytes(3000), bytes(1000), bytes(40)]
    fc.assert(
      fc.property(fc.nat(2), fc.nat(2000), fc.nat(2000), fc.nat(2000), fc.integer(), (which, a, b, c, mask) => {
        const source = buffers[which]!
        const [at, from, to] = [a, b, c].map((n) => n % source.length).sort((x, y) => x - y) as [number, number, number]
        const masks = Buffer.alloc(4)
        masks.writeInt32LE(mask)
        const expected = source.subarray(from, to).map((byte, i) => byte ^ masks[i % 4]!)
        unmasking.move(source, from, to, at, mask)
        expect(source.subarray(at, at + to - from).equals(expected)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })
})
