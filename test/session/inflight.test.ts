import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Inflight, InflightState } from '../../src/session/inflight'
import { delivery } from './session-under-test'

const { Free, Puback, Pubrec, Pubcomp } = InflightState

describe('Inflight', () => {
  it('assigns 1 first, and 1 again after 65,535', () => {
    const inflight = new Inflight()
    for (let n = 1; n <= 65_535; n++) {
      expect(inflight.add(Puback, null)).toBe(n)
      inflight.remove(n)
    }
    expect(inflight.add(Puback, null)).toBe(1)
  })

  it('holds all 65,535 at once', () => {
    const inflight = new Inflight()
    const seen = new Set<number>()
    for (let n = 0; n < 65_535; n++) seen.add(inflight.add(Pubrec, null))
    expect([seen.size, inflight.count, Math.min(...[...seen].slice(0, 9)), seen.has(0)]).toEqual([
      65_535,
      65_535,
      1,
      false,
    ])
    inflight.remove(30_000)
    expect(inflight.add(Puback, null)).toBe(30_000)
  })

  it.each([1, 15, 16, 17, 32_768, 65_535])(
    'is not blocked by one message that is never acknowledged, identifier %i',
    (stuck) => {
      const inflight = new Inflight()
      let identifier = inflight.add(Puback, null)
      while (identifier !== stuck) {
        inflight.remove(identifier)
        identifier = inflight.add(Puback, null)
      }
      for (let n = 0; n < 140_000; n++) {
        identifier = inflight.add(Pubrec, null)
        if (identifier === stuck || identifier === 0) throw new Error(`identifier ${identifier} was assigned`)
        inflight.remove(identifier)
      }
      expect([inflight.count, inflight.state(stuck)]).toEqual([1, Puback])
    },
  )

  it('knows nothing of identifiers that share a place with one', () => {
    const inflight = new Inflight()
    inflight.add(Puback, null)
    for (let other = 17; other <= 65_535; other += 16)
      if (inflight.state(other) !== Free) throw new Error(`${other} is in flight`)
    expect(inflight.state(0)).toBe(Free)
  })

  it('gives the deliveries in the order of their positions', () => {
    const inflight = new Inflight()
    const restored = [9, 3, 65_535, 4].map((identifier, n) => {
      const one = delivery(1, 'a')
      one.position = 10 - n
      inflight.restore(identifier, Puback, one)
      return one
    })
    inflight.add(Puback, null)
    expect(inflight.inOrder().map(({ delivery }) => delivery)).toEqual(restored.reverse())
  })

  it('restores identifiers that share a place, and goes on behind the highest', () => {
    const inflight = new Inflight()
    for (const identifier of [5, 21, 37, 5 + 4096]) inflight.restore(identifier, Pubcomp, delivery(2, 'a'))
    expect([5, 21, 37, 4101].map((identifier) => inflight.state(identifier))).toEqual([
      Pubcomp,
      Pubcomp,
      Pubcomp,
      Pubcomp,
    ])
    expect([inflight.count, inflight.add(Puback, null)]).toEqual([4, 4102])
  })

  it.each([5, 0, -1, 65_536, 65_541, 1.5, Number.NaN])(
    'restores no second message under 5, and none under %s',
    (identifier) => {
      const inflight = new Inflight()
      expect(inflight.restore(5, Puback, delivery(1, 'a'))).toBe(true)
      expect(inflight.restore(identifier, Pubrec, delivery(2, 'b'))).toBe(false)
      expect([inflight.count, inflight.state(5), inflight.add(Puback, null)]).toEqual([1, Puback, 6])
    },
  )

  it('behaves as a map does, whatever is added, advanced and removed', () => {
    const step = fc.record({
      act: fc.constantFrom('add', 'add', 'remove', 'advance', 'restore'),
      which: fc.nat(),
      identifier: fc.integer({ min: 1, max: 65_535 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), fc.integer({ min: 1, max: 65_535 }), (steps, start) => {
        const inflight = new Inflight()
        inflight.lastIdentifier = start
        const model = new Map<number, { state: number; one: object | null }>()
        for (const { act, which, identifier } of steps) {
          const known = [...model.keys()][which % Math.max(1, model.size)]
          if (act === 'add') {
            const one = which % 3 === 0 ? null : delivery(1, 'a')
            const added = inflight.add(Puback, one)
            expect(model.has(added)).toBe(false)
            expect(added).toBeGreaterThan(0)
            expect(added).toBeLessThan(65_536)
            model.set(added, { state: Puback, one })
          } else if (act === 'restore') {
            if (model.has(identifier)) continue
            const one = delivery(2, 'a')
            inflight.restore(identifier, Pubrec, one)
            model.set(identifier, { state: Pubrec, one })
          } else if (known === undefined) continue
          else if (act === 'remove') {
            inflight.remove(known)
            model.delete(known)
          } else {
            inflight.advance(known, Pubcomp)
            model.get(known)!.state = Pubcomp
          }
        }
        expect(inflight.count).toBe(model.size)
        for (const [identifier, { state, one }] of model) {
          expect(inflight.state(identifier)).toBe(state)
          expect(inflight.delivery(identifier)).toBe(one)
        }
        for (let identifier = 0; identifier <= 65_535; identifier += 7)
          if (!model.has(identifier) && inflight.state(identifier) !== Free)
            throw new Error(`${identifier} is in flight`)
      }),
      { numRuns: 200 },
    )
  })
})
