import { describe, expect, it } from 'vitest'
import { covers } from '../../src/index'
import { matches, parseSharedFilter } from '../../src/protocol/topic'

/** All ways to put `count` of these levels in a row. */
function rows(levels: readonly string[], count: number): string[][] {
  if (count === 0) return [[]]
  return rows(levels, count - 1).flatMap((row) => levels.map((level) => [...row, level]))
}

const upTo = (levels: readonly string[], most: number): string[] =>
  Array.from({ length: most }, (_, n) => rows(levels, n + 1))
    .flat()
    .map((row) => row.join('/'))
    .filter((text) => text !== '')

/** Names of one level more than the filters have, and with a level that no filter spells. */
const names = upTo(['a', 'other', '', '$s'], 4)
const plain = upTo(['a', '', '+', '$s'], 3)
const filters = [...plain, '#', ...upTo(['a', '', '+', '$s'], 2).map((filter) => `${filter}/#`), '/#']

describe('covers', () => {
  it('says of each two filters whether every name that the second matches is matched by the first', () => {
    const matched = new Map(filters.map((filter) => [filter, names.filter((name) => matches(filter, name))]))
    const sets = new Map([...matched].map(([filter, found]) => [filter, new Set(found)]))
    let covered = 0
    for (const filter of filters)
      for (const other of filters) {
        const expected = matched.get(other)!.every((name) => sets.get(filter)!.has(name))
        if (covers(filter, other) !== expected) throw new Error(`covers('${filter}', '${other}') is not ${expected}`)
        if (expected) covered++
      }
    expect(covered).toBeGreaterThan(filters.length)
    expect(filters.length).toBeGreaterThan(100)
  })

  it('says of a filter and a Topic Name whether one matches the other', () => {
    for (const filter of filters)
      for (const name of names) if (covers(filter, name) !== matches(filter, name)) throw new Error(`${filter} ${name}`)
  })

  it.each([
    ['#', '$share/g/#'],
    ['$share/g/a/#', 'a/+'],
    ['$share/g/#', '$share/h/a'],
    ['+/#', '#'],
  ])('leaves the Share Name out: %s covers %s', (filter, other) => {
    expect(covers(filter, other)).toBe(true)
    expect(covers(parseSharedFilter(filter)?.filter ?? filter, parseSharedFilter(other)?.filter ?? other)).toBe(true)
  })

  it.each([
    ['a/#/b', 'a'],
    ['a', ''],
    ['a+', 'a'],
    ['$share/g', 'a'],
    ['a', '\0'],
    [undefined as unknown as string, 'a'],
    ['a', 7 as unknown as string],
  ])('throws for %o and %o', (filter, other) => {
    expect(() => covers(filter, other)).toThrow(expect.objectContaining({ code: 'GNATMQ_TOPIC_FILTER_INVALID' }))
  })

  it('takes linear time for many levels, and a filter that is longer than a broker allows', () => {
    const deep = `${'+/'.repeat(30_000)}#`
    expect(covers(deep, deep)).toBe(true)
    expect(covers('#', deep)).toBe(true)
    expect(covers(deep, '#')).toBe(false)
  })
})
