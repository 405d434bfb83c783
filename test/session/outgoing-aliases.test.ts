import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Cost } from '../../src/memory/cost'
import { Budget } from '../../src/memory/memory-budget'
import { OutgoingAliases } from '../../src/session/outgoing-aliases'

const assign = (aliases: OutgoingAliases, topics: string): number[] => [...topics].map((topic) => aliases.assign(topic))

describe('OutgoingAliases', () => {
  it('has none for long topics, nor where the memory is used up, and gives back what it used', () => {
    const budget = new Budget(1000)
    const aliases = new OutgoingAliases(65_535, budget)
    expect([aliases.assign('x'.repeat(257)), budget.used]).toEqual([0, 0])
    expect(assign(aliases, 'abcdefghij')).toEqual([-1, -2, -3, -4, -5, -6, -7, -8, 0, 0])
    expect(budget.used).toBe(8 * (Cost.alias + Cost.text + 1))
    aliases.release()
    expect(budget.used).toBe(0)
  })

  it('introduces an alias once and uses it from then on', () => {
    expect(assign(new OutgoingAliases(10), 'aaba')).toEqual([-1, 1, -2, 1])
  })

  it('gives the alias used longest ago to a topic that comes again', () => {
    const aliases = new OutgoingAliases(2)
    expect(assign(aliases, 'abab')).toEqual([-1, -2, 1, 2])
    // c is new, then comes again; a was used before b
    expect(assign(aliases, 'cc')).toEqual([0, -1])
    expect(assign(aliases, 'b')).toEqual([2])
  })

  it('lets topics that never repeat push nobody out', () => {
    const aliases = new OutgoingAliases(2)
    assign(aliases, 'ab')
    for (let n = 0; n < 100; n++) expect(aliases.assign(`once/${n}`)).toBe(0)
    expect(assign(aliases, 'ab')).toEqual([1, 2])
  })

  it.each(['__proto__', 'constructor'])('takes %s as a topic like any other', (topic) => {
    const aliases = new OutgoingAliases(2)
    expect([aliases.assign(topic), aliases.assign(topic)]).toEqual([-1, 1])
  })

  it('never lets a client read another topic than the one that is meant', () => {
    const step = fc.record({ topic: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), sent: fc.boolean() })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 100 }), (maximum, steps) => {
        const aliases = new OutgoingAliases(maximum)
        const known = new Map<number, string>()
        for (const { topic, sent } of steps) {
          const alias = aliases.assign(topic)
          expect(Math.abs(alias)).toBeLessThanOrEqual(maximum)
          if (!sent) aliases.revoke(topic)
          else if (alias < 0) known.set(-alias, topic)
          else if (alias > 0) expect(known.get(alias)).toBe(topic)
        }
      }),
      { numRuns: 500 },
    )
  })
})
