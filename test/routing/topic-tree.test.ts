import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matches } from '../../src/protocol/topic'
import { TopicTree } from '../../src/routing/topic-tree'
import { filters, topics } from './random-topics'

function treeOf(list: readonly string[], isSorted = false): TopicTree<string> {
  const tree = new TopicTree<string>(isSorted)
  for (const topic of list) tree.set(topic, topic)
  return tree
}

const sorted = (values: Iterable<string>): string[] => [...values].sort()

/** Nodes below the root: what a removal has left behind. */
function nodeCount(tree: TopicTree<string>): number {
  type Node = { children: Map<string, Node> | null }
  const count = (node: Node): number =>
    [...(node.children?.values() ?? [])].reduce((sum, child) => sum + 1 + count(child), 0)
  return count((tree as unknown as { root: Node }).root)
}

describe('TopicTree', () => {
  it.each<[string, string[], string[]]>([
    ['#', ['a', 'a/b', '/', '/a', '$SYS', '$SYS/a', '$'], ['a', 'a/b', '/', '/a']],
    ['+', ['a', '$', '$SYS', 'b', 'a/b', '/'], ['a', 'b']],
    ['+/#', ['a', 'a/b', '/', '$SYS/a'], ['a', 'a/b', '/']],
    ['+/+', ['/', 'a/', '/a', 'a/b', 'a', '$SYS/a', 'a/b/c'], ['/', 'a/', '/a', 'a/b']],
    ['/+', ['/', '/a', 'a', 'a/b'], ['/', '/a']],
    ['a/#', ['a', 'a/', 'a/b', 'a/b/c', 'ab', '/a'], ['a', 'a/', 'a/b', 'a/b/c']],
    ['a/+/c', ['a/b/c', 'a//c', 'a/b', 'a/b/c/d'], ['a/b/c', 'a//c']],
    ['$SYS/#', ['$SYS', '$SYS/a', '$SYS/a/b', '$', 'a'], ['$SYS', '$SYS/a', '$SYS/a/b']],
    ['$SYS/+', ['$SYS', '$SYS/a', '$SYS/$a'], ['$SYS/a', '$SYS/$a']],
    ['a/$b', ['a/$b', 'a/b'], ['a/$b']],
    ['__proto__', ['__proto__', 'constructor'], ['__proto__']],
    ['+/constructor', ['__proto__/constructor', 'a/toString'], ['__proto__/constructor']],
  ])('finds by %s', (filter, stored, found) => {
    expect(sorted(treeOf(stored).matching(filter))).toEqual(sorted(found))
  })

  it('finds just what the specification says matches', () => {
    fc.assert(
      fc.property(fc.uniqueArray(topics, { maxLength: 30 }), filters, (stored, filter) => {
        expect(sorted(treeOf(stored).matching(filter))).toEqual(
          sorted(stored.filter((topic) => matches(filter, topic))),
        )
      }),
      { numRuns: 1000 },
    )
  })

  it('keeps values as a map does, and leaves no node behind', () => {
    const step = fc.record({ remove: fc.boolean(), topic: topics })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const tree = new TopicTree<string>()
        const model = new Map<string, string>()
        for (const [n, { remove, topic }] of steps.entries()) {
          if (remove) {
            expect(tree.delete(topic)).toBe(model.get(topic))
            model.delete(topic)
          } else {
            expect(tree.set(topic, `${n}`)).toBe(model.get(topic))
            model.set(topic, `${n}`)
          }
          expect(tree.size).toBe(model.size)
        }
        for (const { topic } of steps) expect(tree.get(topic)).toBe(model.get(topic))
        for (const topic of model.keys()) tree.delete(topic)
        expect([tree.size, nodeCount(tree)]).toEqual([0, 0])
      }),
    )
  })

  it('stands changes between two steps', () => {
    const stored = Array.from({ length: 50 }, (_, n) => `a/${n}/b`)
    const tree = treeOf(stored)
    const seen: string[] = []
    for (const topic of tree.matching('a/#')) {
      seen.push(topic)
      tree.delete(topic)
      tree.delete(stored[49]!)
    }
    expect(new Set(seen).size).toBe(49)
    expect(tree.size).toBe(0)
  })

  describe('that is sorted', () => {
    const walked = (tree: TopicTree<string>, filter: string, after?: string): string[] =>
      [...tree.walk(filter, after)].filter((topic) => topic !== null)

    it('is walked in one order, whatever the order of its making, and from any topic on', () => {
      const lists = fc.uniqueArray(topics, { minLength: 1, maxLength: 30 })
      fc.assert(
        fc.property(lists, filters, topics, (stored, filter, after) => {
          const all = walked(treeOf(stored, true), filter)
          expect(sorted(all)).toEqual(sorted(stored.filter((topic) => matches(filter, topic))))
          expect(walked(treeOf(stored.toReversed(), true), filter)).toEqual(all)
          for (const [i, topic] of all.entries())
            expect(walked(treeOf(stored, true), filter, topic)).toEqual(all.slice(i + 1))
          // also from one that is not there: where it would be
          if (stored.includes(after) || !matches(filter, after)) return
          const whole = walked(treeOf([...stored, after], true), filter)
          expect(walked(treeOf(stored, true), filter, after)).toEqual(whole.slice(whole.indexOf(after) + 1))
        }),
        { numRuns: 500 },
      )
    })

    it('has that order with thousands in one level, through all changes', () => {
      const tree = new TopicTree<string>(true)
      const there = new Set<string>()
      for (let i = 0; i < 20_000; i++) {
        const topic = `a/${(i * 7919) % 5003}`
        if (i % 3 === 2) {
          tree.delete(topic)
          there.delete(topic)
        } else {
          tree.set(topic, topic)
          there.add(topic)
        }
      }
      expect(walked(tree, 'a/+')).toEqual(sorted(there))
      for (const topic of there) tree.delete(topic)
      expect([tree.size, nodeCount(tree), walked(tree, '#')]).toEqual([0, 0, []])
    })

    it('stands changes between two steps, with few and with many in a level', () => {
      for (const count of [50, 5_000]) {
        const stored = sorted(Array.from({ length: count }, (_, n) => `a/${n}`))
        const tree = treeOf(stored, true)
        const seen: string[] = []
        for (const topic of tree.matching('a/#')) {
          seen.push(topic)
          tree.delete(topic)
          tree.delete(stored[stored.length - 1]!)
          // before what was seen
          tree.set(`a/ ${topic}`, '')
        }
        expect(seen).toEqual(stored.slice(0, -1))
      }
    })
  })

  it('knows no topic that lies between two others', () => {
    const tree = treeOf(['a/b/c'])
    expect([tree.get('a'), tree.get('a/b'), tree.delete('a/b'), tree.get('a/b/c')]).toEqual([
      undefined,
      undefined,
      undefined,
      'a/b/c',
    ])
  })
})
