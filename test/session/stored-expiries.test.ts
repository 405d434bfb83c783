import fc from 'fast-check'
import { expect, it } from 'vitest'
import { StoredExpiries } from '../../src/session/stored-expiries'

it('behaves as a map from positions to deadlines does', () => {
  const step = fc.record({
    act: fc.constantFrom('add', 'add', 'add', 'remove', 'through', 'expire'),
    value: fc.integer({ min: 1, max: 4000 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.nat(3), (steps, burst) => {
      const expiries = new StoredExpiries()
      const model = new Map<number, number>()
      let position = 0
      for (const { act, value } of steps) {
        if (act === 'add')
          for (let n = 0; n <= burst * 20; n++) {
            expiries.add(++position, value + n, value)
            model.set(position, value + n)
          }
        else if (act === 'remove') {
          expiries.remove(value % (position + 1))
          model.delete(value % (position + 1))
        } else if (act === 'through') {
          expiries.removeThrough(value % 50)
          for (const known of model.keys()) if (known <= value % 50) model.delete(known)
        } else {
          const earliest = Math.min(Number.POSITIVE_INFINITY, ...model.values())
          const expired = expiries.takeExpired(value)
          expect(expired === undefined).toBe(earliest > value)
          if (expired !== undefined) {
            expect(model.get(expired.position)).toBe(earliest)
            model.delete(expired.position)
          }
        }
        expect(expiries.count).toBe(model.size)
        expect(expiries.earliest).toBe(Math.min(Number.POSITIVE_INFINITY, ...model.values()))
        expect(expiries.deadlineOf(value)).toBe(model.get(value))
      }
    }),
    { numRuns: 100 },
  )
})

it('takes over what came later than what was found', () => {
  const found = new StoredExpiries()
  found.add(3, 100, 7)
  const later = new StoredExpiries()
  later.add(5, 50, 9)
  later.add(8, 60, 9)
  later.remove(5)
  found.append(later)
  expect([found.count, found.takeExpired(60), found.takeExpired(60), found.takeExpired(100)]).toEqual([
    2,
    { position: 8, bytes: 9 },
    undefined,
    { position: 3, bytes: 7 },
  ])
})

it('keeps no more places than twice what is in it', () => {
  const expiries = new StoredExpiries()
  expiries.add(1, 1e9, 1)
  for (let position = 2; position < 100_000; position++) {
    expiries.add(position, position, 1)
    expiries.takeExpired(position)
  }
  const arrays = Object.values(expiries).filter((value) => Array.isArray(value))
  expect(arrays).toHaveLength(3)
  for (const array of arrays) expect(array.length).toBeLessThan(1100)
  expect(expiries.earliest).toBe(1e9)
})
