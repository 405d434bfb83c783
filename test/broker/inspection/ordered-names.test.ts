import fc from 'fast-check'
import { expect, it } from 'vitest'
import { OrderedNames } from '../../../src/broker/inspection/ordered-names'

function ordered(names: readonly string[], limit = Number.POSITIVE_INFINITY): string[] {
  const all = new OrderedNames(limit)
  for (const name of names) all.add(name)
  return [...all.inOrder()]
}

const expected = (names: readonly string[]): string[] => [...new Set(names)].sort()

it('names come in their order, each once', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 3 }), { maxLength: 300 }), (names) => {
      expect(ordered(names)).toEqual(expected(names))
    }),
    { numRuns: 50 },
  )
})

it('more names than are sorted at a time come in their order too', () => {
  const names = Array.from({ length: 5000 }, (_, i) => String((i * 7919) % 5003))
  expect(ordered([...names, ...names.slice(0, 900)])).toEqual(expected(names))
})

it.each([1, 10, 1024, 1025])('with a limit of %d at least so many come, and the first', (limit) => {
  const names = Array.from({ length: 5000 }, (_, i) => String((i * 7919) % 5003))
  expect(ordered(names, limit).slice(0, limit)).toEqual(expected(names).slice(0, limit))
})
