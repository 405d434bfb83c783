import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  isTopicFilter,
  isTopicName,
  isTopicNameBytes,
  matches,
  parseSharedFilter,
  topicFilterError,
  topicNameError,
} from '../../src/protocol/topic'

describe('a Topic Name', () => {
  it.each(['a', '/', '//', ' ', 'a/b', '/a/', '$SYS/x', '__proto__', 'constructor/toString', 'Ä/😀', '\u{feff}'])(
    'may be %j',
    (topic) => {
      expect(topicNameError(topic)).toBeUndefined()
      const bytes = Buffer.from(`x${topic}#`)
      expect(isTopicNameBytes(bytes, 1, bytes.length - 1)).toBe(true)
    },
  )

  it.each([
    ['', 'empty'],
    ['a/+', 'wildcard'],
    ['#', 'wildcard'],
    ['a#b', 'wildcard'],
    ['a\0b', 'U+0000'],
    ['a\ud800', 'surrogate'],
    ['a'.repeat(65_536), '65,535'],
    ['€'.repeat(21_846), '65,535'],
    ['/'.repeat(128), 'levels'],
  ])('may not be %.20j', (topic, reason) => {
    expect(topicNameError(topic)).toContain(reason)
    expect(isTopicName(topic)).toBe(false)
  })

  it('may have 65,535 bytes', () => {
    expect(topicNameError('€'.repeat(21_845))).toBeUndefined()
    expect(topicNameError('a'.repeat(65_535))).toBeUndefined()
  })

  it('may have as many levels as the limit says', () => {
    expect(isTopicName('/'.repeat(127))).toBe(true)
    expect(isTopicName('a/b/c', 3)).toBe(true)
    expect(isTopicName('a/b/c', 2)).toBe(false)
  })

  it.each([
    ['nothing', []],
    ['+', [0x61, 0x2b]],
    ['#', [0x23]],
    ['U+0000', [0x61, 0x00]],
    ['broken UTF-8', [0x61, 0xc3]],
  ])('is not found in bytes of %s', (_name, bytes) => {
    expect(isTopicNameBytes(Uint8Array.from(bytes), 0, bytes.length)).toBe(false)
  })
})

describe('a Topic Filter', () => {
  it.each(['a', '#', '+', '/', '+/+', '/+', 'a/#', '+/a/#', '/#', '$SYS/#', '$share', '__proto__/#', '$share/g/#'])(
    'may be %j',
    (filter) => {
      expect(topicFilterError(filter)).toBeUndefined()
    },
  )

  it.each([
    ['', 'empty'],
    ['a#', '4.7.1-2'],
    ['a/#/b', '4.7.1-2'],
    ['#/', '4.7.1-2'],
    ['##', '4.7.1-2'],
    ['+#', '4.7.1-3'],
    ['a+', '4.7.1-3'],
    ['+a', '4.7.1-3'],
    ['a/b+/c', '4.7.1-3'],
    ['++', '4.7.1-3'],
    ['a\0', 'U+0000'],
    ['a'.repeat(65_536), '65,535'],
    ['/'.repeat(65_535), 'levels'],
    ['+/'.repeat(1000), 'levels'],
  ])('may not be %.20j', (filter, reason) => {
    expect(topicFilterError(filter)).toContain(reason)
    expect(isTopicFilter(filter)).toBe(false)
  })
})

describe('a Shared Subscription', () => {
  it.each([
    ['$share/g/a/b', { shareName: 'g', filter: 'a/b' }],
    ['$share/g//', { shareName: 'g', filter: '/' }],
    ['$share/__proto__/#', { shareName: '__proto__', filter: '#' }],
    ['$share/g/$SYS/#', { shareName: 'g', filter: '$SYS/#' }],
  ])('%j has a name and a filter', (filter, parts) => {
    expect(topicFilterError(filter)).toBeUndefined()
    expect(parseSharedFilter(filter)).toEqual(parts)
  })

  it.each([
    ['$share/', 'Share Name is empty'],
    ['$share//a', 'Share Name is empty'],
    ['$share/g', 'no Topic Filter'],
    ['$share/g/', 'no Topic Filter'],
    ['$share/g+/a', 'Share Name holds'],
    ['$share/#/a', 'Share Name holds'],
    ['$share/#', 'Share Name holds'],
    ['$share/g/a#', '4.7.1-2'],
    ['$share/g/a+', '4.7.1-3'],
  ])('%j is refused', (filter, reason) => {
    expect(topicFilterError(filter)).toContain(reason)
    expect(parseSharedFilter(filter)).toBeUndefined()
  })

  it('is not what only looks like one', () => {
    expect(parseSharedFilter('$share')).toBeUndefined()
    expect(parseSharedFilter('$SHARE/g/a')).toBeUndefined()
    expect(parseSharedFilter('$shared/g/a')).toBeUndefined()
  })

  it('counts the levels of its filter only', () => {
    expect(topicFilterError('$share/g/a/b', 2)).toBeUndefined()
    expect(topicFilterError('$share/g/a/b/c', 2)).toContain('levels')
  })
})

/** Section 4.7 as a recursion over levels. */
function matchesByLevel(filter: string[], topic: string[]): boolean {
  if (filter.length === 0) return topic.length === 0
  if (filter[0] === '#') return true
  if (topic.length === 0) return false
  return (filter[0] === '+' || filter[0] === topic[0]) && matchesByLevel(filter.slice(1), topic.slice(1))
}

describe('matching', () => {
  it.each([
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['sport/#', 'sports', false],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '/', true],
    ['#', '$SYS/monitor', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['a/+', 'a/$b', true],
    ['ACCOUNTS', 'Accounts', false],
    ['a//b', 'a/b', false],
    ['a/#', 'a//', true],
    ['+/#', 'a', true],
    ['a/+/#', 'a', false],
    ['a/b', 'a/b/', false],
  ])('%j and %j: %s', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected)
  })

  it('is the recursion over levels that section 4.7 describes', () => {
    const levels = fc.array(fc.constantFrom('', 'a', 'b', '+', '$x'), { minLength: 1, maxLength: 5 })
    const topics = fc.array(fc.constantFrom('', 'a', 'b', '$x'), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(levels, fc.boolean(), topics, (filterLevels, multi, topicLevels) => {
        const filter = multi ? [...filterLevels, '#'] : filterLevels
        const name = topicLevels.join('/')
        fc.pre(name !== '' && filter.join('/') !== '')
        const hidden = name.startsWith('$') && (filter[0] === '+' || filter[0] === '#')
        expect(matches(filter.join('/'), name)).toBe(!hidden && matchesByLevel(filter, topicLevels))
      }),
      { numRuns: 20_000 },
    )
  })

  it('takes flat time for thousands of levels', () => {
    const filter = `${'+/'.repeat(20_000)}#`
    expect(matches(filter, '/'.repeat(30_000))).toBe(true)
    expect(matches(filter, '/'.repeat(10_000))).toBe(false)
  })
})
