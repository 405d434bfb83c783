import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  incomplete,
  invalid,
  maximumVariableByteInteger,
  readVariableByteInteger,
  variableByteIntegerLength,
  writeVariableByteInteger,
} from '../../src/protocol/variable-byte-integer'
import { refusalOf } from './packet-bytes'

describe('a Variable Byte Integer', () => {
  it.each([
    [0, [0x00]],
    [127, [0x7f]],
    [128, [0x80, 0x01]],
    [16_383, [0xff, 0x7f]],
    [16_384, [0x80, 0x80, 0x01]],
    [2_097_151, [0xff, 0xff, 0x7f]],
    [2_097_152, [0x80, 0x80, 0x80, 0x01]],
    [maximumVariableByteInteger, [0xff, 0xff, 0xff, 0x7f]],
  ])('of %i is written and read as the specification shows it', (value, expected) => {
    const target = new Uint8Array(6)
    const end = writeVariableByteInteger(target, 1, value)
    expect([...target.subarray(1, end)]).toEqual(expected)
    expect(variableByteIntegerLength(value)).toBe(expected.length)
    expect(readVariableByteInteger(Uint8Array.from(expected), 0, expected.length)).toBe(value)
  })

  it.each([
    ['nothing', [], incomplete],
    ['one byte that wants another', [0x80], incomplete],
    ['three bytes that want another', [0xff, 0xff, 0xff], incomplete],
    ['five bytes', [0x80, 0x80, 0x80, 0x80, 0x01], invalid],
    ['four bytes that want another', [0xff, 0xff, 0xff, 0xff], invalid],
    ['a zero in two bytes', [0x80, 0x00], invalid],
    ['one in four bytes', [0x81, 0x80, 0x80, 0x00], invalid],
  ])('is not read from %s', (_name, given, expected) => {
    expect(readVariableByteInteger(Uint8Array.from(given), 0, given.length)).toBe(expected)
  })

  it('does not look past the end that it is given', () => {
    expect(readVariableByteInteger(Uint8Array.of(0x80, 0x01), 0, 1)).toBe(incomplete)
  })

  it('above the maximum is refused', () => {
    expect(refusalOf(() => writeVariableByteInteger(new Uint8Array(8), 0, maximumVariableByteInteger + 1))).toBe(0x95)
  })

  it('comes back as it went', () => {
    fc.assert(
      fc.property(fc.nat(maximumVariableByteInteger), (value) => {
        const target = new Uint8Array(4)
        const end = writeVariableByteInteger(target, 0, value)
        expect(end).toBe(variableByteIntegerLength(value))
        expect(readVariableByteInteger(target, 0, end)).toBe(value)
      }),
    )
  })
})
