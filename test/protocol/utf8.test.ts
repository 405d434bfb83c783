import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isEncodableString, isUtf8Payload, isWellFormedUtf8 } from '../../src/protocol/utf8'

const decodes = (bytes: Uint8Array): boolean => {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}

const check = (bytes: number[]) => isWellFormedUtf8(Uint8Array.from(bytes), 0, bytes.length)

describe('an MQTT UTF-8 string', () => {
  it.each([
    ['nothing', []],
    ['ASCII', [0x61, 0x7e]],
    ['control characters', [0x01, 0x1f, 0x7f, 0xc2, 0x80]],
    ['a byte order mark', [0xef, 0xbb, 0xbf]],
    ['non-characters', [0xef, 0xbf, 0xbf, 0xef, 0xb7, 0x90]],
    ['U+D7FF and U+E000', [0xed, 0x9f, 0xbf, 0xee, 0x80, 0x80]],
    ['U+10FFFF', [0xf4, 0x8f, 0xbf, 0xbf]],
  ])('may hold %s', (_name, bytes) => {
    expect(check(bytes)).toBe(true)
  })

  it.each([
    ['U+0000', [0x61, 0x00, 0x62]],
    ['U+0000 in two bytes', [0xc0, 0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an overlong three-byte form', [0xe0, 0x9f, 0xbf]],
    ['an overlong four-byte form', [0xf0, 0x8f, 0xbf, 0xbf]],
    ['a high surrogate', [0xed, 0xa0, 0x80]],
    ['a low surrogate', [0xed, 0xbf, 0xbf]],
    ['U+110000', [0xf4, 0x90, 0x80, 0x80]],
    ['a lead byte of five', [0xf8, 0x88, 0x80, 0x80, 0x80]],
    ['a continuation alone', [0x80]],
    ['two bytes cut short', [0xc3]],
    ['three bytes cut short', [0xe2, 0x82]],
    ['four bytes cut short', [0xf0, 0x9f, 0x98]],
    ['a lead byte before ASCII', [0xc3, 0x41]],
    ['0xFF', [0xff]],
  ])('may not hold %s', (_name, bytes) => {
    expect(check(bytes)).toBe(false)
  })

  it('ends where it is said to end', () => {
    const bytes = Uint8Array.of(0xff, 0x61, 0xc3, 0xa9, 0xff)
    expect(isWellFormedUtf8(bytes, 1, 4)).toBe(true)
    expect(isWellFormedUtf8(bytes, 1, 3)).toBe(false)
    expect(isWellFormedUtf8(bytes, 2, 2)).toBe(true)
  })

  it('is what a strict decoder accepts, less U+0000', () => {
    const bytesNear = fc.array(
      fc.oneof(fc.nat(255), fc.constantFrom(0x7f, 0x80, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0x8f, 0x9f)),
      { maxLength: 8 },
    )
    fc.assert(
      fc.property(bytesNear, (bytes) => {
        expect(check(bytes)).toBe(decodes(Uint8Array.from(bytes)) && !bytes.includes(0))
      }),
      { numRuns: 20_000 },
    )
  })

  it('is what a strict decoder accepts, for every sequence of two bytes and every lead of three and four', () => {
    for (let first = 1; first < 256; first += 1) {
      for (let second = 1; second < 256; second += 1) {
        for (const tail of [[], [0x80], [0xbf, 0x80]]) {
          const bytes = [first, second, ...tail]
          if (check(bytes) !== decodes(Uint8Array.from(bytes))) expect.fail(`wrong about ${bytes}`)
        }
      }
    }
  })

  it('is what a string encodes to when the string can be encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(isEncodableString(text)).toBe(!text.includes('\0'))
        const bytes = Buffer.from(text)
        expect(isWellFormedUtf8(bytes, 0, bytes.length)).toBe(!text.includes('\0'))
      }),
    )
  })

  it.each(['\ud800', 'a\udc00', '\udc00\ud800', '\ud83dx'])('is not made from a lone surrogate', (text) => {
    expect(isEncodableString(text)).toBe(false)
  })
})

describe('a payload of UTF-8 text', () => {
  it('may hold U+0000', () => {
    expect(isUtf8Payload(Uint8Array.of(0x61, 0x00, 0xc3, 0xa9), 0, 4)).toBe(true)
  })

  it('is what a strict decoder accepts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        expect(isUtf8Payload(bytes, 0, bytes.length)).toBe(decodes(bytes))
      }),
    )
  })

  it('ends where it is said to end', () => {
    expect(isUtf8Payload(Uint8Array.of(0xff, 0x61, 0xff), 1, 2)).toBe(true)
    expect(isUtf8Payload(Uint8Array.of(0xff, 0x61, 0xff), 1, 3)).toBe(false)
  })
})
