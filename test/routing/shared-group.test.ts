import { describe, expect, it } from 'vitest'
import { FilterNode } from '../../src/routing/filter-node'
import { type MemberView, SharedGroup, type SharedStrategy } from '../../src/routing/shared-group'
import { Subscription } from '../../src/routing/subscription'

const options = {
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  subscriptionIdentifier: 0,
} as const

function groupOf(...names: string[]): SharedGroup<string> {
  const node = new FilterNode<string>('a/+')
  const group = new SharedGroup<string>('g', node.filter)
  for (const name of names) group.add(new Subscription(name, group.filter, node, group, options))
  return group
}

interface Members {
  readonly able?: string
  readonly willing?: string
  readonly inflight?: Readonly<Record<string, number>>
}

function viewOf({ able = 'xyz', willing = 'xyz', inflight = {} }: Members): MemberView<string> {
  return {
    able: ({ subscriber }) => able.includes(subscriber),
    willing: ({ subscriber }) => willing.includes(subscriber),
    inflight: (name) => inflight[name] ?? 0,
  }
}

/** Who gets each of a few messages; `-` for nobody. */
function chosen(group: SharedGroup<string>, strategy: SharedStrategy, members: Members): string {
  return Array.from({ length: 4 }, () => group.choose(strategy, viewOf(members))?.subscriber ?? '-').join('')
}

describe('a shared group', () => {
  it('has its filter as it is subscribed to', () => {
    expect(groupOf('x').filter).toBe('$share/g/a/+')
  })

  it.each<[SharedStrategy, Members, string]>([
    ['round-robin', {}, 'xyzx'],
    ['round-robin', { able: 'xz' }, 'xzxz'],
    ['round-robin', { able: '' }, 'xyzx'],
    ['round-robin', { able: '', willing: 'y' }, 'yyyy'],
    ['round-robin', { able: '', willing: '' }, '----'],
    ['sticky', {}, 'xxxx'],
    ['sticky', { able: 'yz' }, 'yyyy'],
    ['sticky', { able: '', willing: 'z' }, 'zzzz'],
    ['least-inflight', { inflight: { x: 3, y: 1, z: 2 } }, 'yyyy'],
    ['least-inflight', { able: 'xz', inflight: { x: 3, y: 1, z: 2 } }, 'zzzz'],
    ['least-inflight', { able: '', willing: 'x' }, 'xxxx'],
  ])('chooses by %s among %j', (strategy, members, names) => {
    expect(chosen(groupOf('x', 'y', 'z'), strategy, members)).toBe(names)
  })

  it('has nobody for a message when it is empty', () => {
    for (const strategy of ['round-robin', 'sticky', 'least-inflight'] as const)
      expect(chosen(groupOf(), strategy, {})).toBe('----')
  })

  it('goes on with the others when a member has left', () => {
    const group = groupOf('x', 'y', 'z')
    group.choose('round-robin', viewOf({}))
    group.remove(group.members[0]!)
    expect([...chosen(group, 'round-robin', {})].sort().join('')).toBe('yyzz')
    group.remove(group.members[0]!)
    group.remove(group.members[0]!)
    expect(chosen(group, 'round-robin', {})).toBe('----')
  })

  it('stays with another when the one that it stuck to has left', () => {
    const group = groupOf('x', 'y')
    expect(chosen(group, 'sticky', {})).toBe('xxxx')
    group.remove(group.members[0]!)
    expect(chosen(group, 'sticky', {})).toBe('yyyy')
  })
})
