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
  readonly absent?: string
  readonly inflight?: Readonly<Record<string, number>>
}

function viewOf({ able = 'xyz', willing = 'xyz', absent = '', inflight = {} }: Members): MemberView<string> {
  return {
    able: ({ subscriber }) => able.includes(subscriber),
    willing: ({ subscriber }) => willing.includes(subscriber),
    absent: (subscriber) => absent.includes(subscriber),
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

describe('absent members of a shared group', () => {
  it('are not looked at again while another one can be sent to', () => {
    const names = Array.from({ length: 5_000 }, (_, n) => `m${n}`)
    const group = groupOf(...names)
    let looks = 0
    const view: MemberView<string> = {
      able: ({ subscriber }) => ++looks > 0 && subscriber === 'm4999',
      willing: () => true,
      absent: (subscriber) => subscriber !== 'm4999',
      inflight: () => 0,
    }
    // no more than a thousand for one message
    for (let n = 0; n < 10; n++) {
      const before = looks
      group.choose('round-robin', view)
      expect(looks - before).toBeLessThanOrEqual(1024)
    }
    looks = 0
    for (let n = 0; n < 100; n++) expect(group.choose('round-robin', view)?.subscriber).toBe('m4999')
    expect(looks).toBe(100)
  })

  it('are sent to again once they are back', () => {
    const group = groupOf('x', 'y', 'z')
    const [x] = group.members
    expect(chosen(group, 'round-robin', { able: 'yz', absent: 'x' })).toBe('zyzy')
    group.wake(x!)
    expect([...chosen(group, 'round-robin', {})].sort().join('')).toMatch(/^x+y+z+$/)
  })

  it('keep what nobody can be sent, each in turn', () => {
    expect(chosen(groupOf('x', 'y', 'z'), 'round-robin', { able: '', willing: 'xz', absent: 'xyz' })).toMatch(
      /^(xzxz|zxzx)$/,
    )
  })

  it('leave, whether they are looked at as absent or not', () => {
    const group = groupOf('w', 'x', 'y', 'z')
    const [w, x, y, z] = group.members
    chosen(group, 'round-robin', { able: 'yz', willing: '', absent: 'wx' })
    for (const [member, left] of [
      [w, 'xyz'],
      [z, 'xy'],
      [x, 'y'],
    ] as const) {
      group.remove(member!)
      expect(
        group.members
          .map(({ subscriber }) => subscriber)
          .sort()
          .join(''),
      ).toBe(left)
      for (const [index, one] of group.members.entries()) expect(one.index).toBe(index)
    }
    expect(chosen(group, 'round-robin', {})).toBe('yyyy')
    expect(y!.index).toBe(0)
  })
})
