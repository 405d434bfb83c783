import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IdentifierSet } from '../../src/session/identifier-set'

describe('IdentifierSet', () => {
  it('does not hold 0, which is no Packet Identifier', () => {
    const set = new IdentifierSet()
    set.add(16)
    expect([...set]).toEqual([16])
  })

  it('holds all 65,535 and loses them again', () => {
    const set = new IdentifierSet()
    for (let identifier = 65_535; identifier > 0; identifier--) set.add(identifier)
    expect([set.size, [...set].length, set.has(1), set.has(65_535)]).toEqual([65_535, 65_535, true, true])
    for (let identifier = 1; identifier <= 65_535; identifier++) set.delete(identifier)
    expect([set.size, [...set].length, set.has(1)]).toEqual([0, 0, false])
  })

  it('takes no longer for identifiers that lie side by side than for others', () => {
    const fastest = (identifiers: readonly number[]): number =>
      Math.min(
        ...[1, 2, 3].map(() => {
          const set = new IdentifierSet()
          for (const identifier of identifiers) set.add(identifier)
          const begun = performance.now()
          for (const identifier of identifiers) set.delete(identifier)
          return performance.now() - begun
        }),
      )
    const dense = Array.from({ length: 16_384 }, (_, i) => i + 1)
    const sparse = Array.from({ length: 16_384 }, (_, i) => 1 + ((i * 40_503) & 0xffff)).filter((i) => i <= 65_535)
    // a step that looks through all neighbours takes a hundred times as long
    expect(fastest(dense) / fastest(sparse)).toBeLessThan(10)
  })

  it('behaves as a Set does, also where identifiers share a place', () => {
    // few low bits, so that they crowd
    const identifier = fc.oneof(
      fc.integer({ min: 1, max: 65_535 }),
      fc.integer({ min: 0, max: 4000 }).map((n) => n * 16 + 15),
      fc.integer({ min: 1, max: 20 }),
    )
    const step = fc.record({ add: fc.boolean(), identifier })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const set = new IdentifierSet()
        const model = new Set<number>()
        for (const { add, identifier } of steps) {
          if (add) {
            expect(set.add(identifier)).toBe(!model.has(identifier))
            model.add(identifier)
          } else expect(set.delete(identifier)).toBe(model.delete(identifier))
          expect(set.size).toBe(model.size)
        }
        expect([...set].sort((a, b) => a - b)).toEqual([...model].sort((a, b) => a - b))
        for (const { identifier } of steps) expect(set.has(identifier)).toBe(model.has(identifier))
      }),
      { numRuns: 500 },
    )
  })
})
