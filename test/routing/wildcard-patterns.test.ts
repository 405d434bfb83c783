import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matches, parseSharedFilter } from '../../src/protocol/topic'
import { Router } from '../../src/routing/router'
import { wildcardPattern } from '../../src/routing/wildcard-patterns'
import { filters, topics } from './random-topics'

const options = {
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  subscriptionIdentifier: 0,
} as const

describe('the pattern of a filter', () => {
  it('bounds what a topic can match: two different filters of one pattern never match the same', () => {
    fc.assert(
      fc.property(filters, filters, topics, (a, b, topic) => {
        if (a === b || wildcardPattern(a) !== wildcardPattern(b)) return
        expect(matches(a, topic) && matches(b, topic)).toBe(false)
      }),
      { numRuns: 5000 },
    )
  })

  it.each([
    ['a/+', 'b/+', true],
    ['a/+', '+/a', false],
    ['a/#', 'a/+', false],
    ['+', '#', false],
    ['+/#', 'ab/a/#', false],
    ['+', 'a/b', false],
    ['a/+/#', 'a/+', false],
    [`${'a/'.repeat(60)}+`, `${'b/'.repeat(60)}+`, true],
    [`${'a/'.repeat(60)}+`, `${'a/'.repeat(59)}+/a`, false],
  ])('of %s and %s is the same: %s', (a, b, same) => {
    expect(wildcardPattern(a) === wildcardPattern(b)).toBe(same)
  })
})

describe('a router that is asked whether a filter is within the limits', () => {
  const limits = { maximumWildcardPatterns: 4, maximumTotalWildcardPatterns: 6 }

  function start() {
    const router = new Router<string>(64, 129, 1, () => undefined)
    const subscribe = (subscriber: string, filter: string): boolean => {
      const parts = parseSharedFilter(filter)
      const isNew = router.subscription(subscriber, filter) === undefined
      if (isNew && !router.admits(subscriber, filter, parts, 1000, limits)) return false
      router.subscribe(subscriber, filter, parts, options)
      return true
    }
    return { router, subscribe }
  }

  const patterns = ['+', '+/+', '+/+/+', '+/+/+/+', '+/+/+/+/+']

  it('refuses a subscriber the first pattern too many, and nothing that has one of its patterns or none', () => {
    const { router, subscribe } = start()
    expect(patterns.map((filter) => subscribe('x', filter))).toEqual([true, true, true, true, false])
    expect(['a', 'a/b', '+/+'].map((filter) => subscribe('x', filter))).toEqual([true, true, true])
    router.unsubscribe('x', '+/+')
    expect(subscribe('x', '+/+/+/+/+')).toBe(true)
    router.removeAll('x')
    expect(subscribe('x', '+')).toBe(true)
  })

  it('counts Share Names, each of which gets a copy', () => {
    const { subscribe } = start()
    const shared = Array.from({ length: 5 }, (_, n) => subscribe('x', `$share/g${n}/a`))
    expect(shared).toEqual([true, true, true, true, false])
    expect(subscribe('x', '$share/g0/b')).toBe(true)
  })

  it('leaves each subscriber a few of its own once all together have too many', () => {
    const { subscribe } = start()
    for (const filter of patterns.slice(0, 4)) subscribe('x', filter)
    for (const filter of ['a/+', 'a/b/+', 'a/b/c/+', 'a/b/c/d/+']) expect(subscribe('y', filter)).toBe(true)
    expect(subscribe('z', 'a/b/c/d/e/+')).toBe(true)
    expect(subscribe('z', '+')).toBe(true)
  })
})
