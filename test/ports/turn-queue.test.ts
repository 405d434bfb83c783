import { describe, expect, it } from 'vitest'
import { TurnQueue } from '../../src/ports/turn-queue'

/** Takes everything out. */
function drain(queue: TurnQueue<string>): string[] {
  const values: string[] = []
  for (let next = queue.next(); next !== undefined; next = queue.next()) values.push(next.value)
  return values
}

function filled(order: 'oldest first' | 'newest first', ...names: string[]): TurnQueue<string> {
  const queue = new TurnQueue<string>(order)
  for (const name of names) queue.add(name[0]!, name)
  return queue
}

describe('a queue with lanes that take turns', () => {
  it('takes one of each lane, in the order in which they came', () => {
    expect(drain(filled('oldest first', 'a1', 'a2', 'a3', 'b1', 'c1', 'b2'))).toEqual([
      'a1',
      'b1',
      'c1',
      'a2',
      'b2',
      'a3',
    ])
  })

  it('takes the newest of each lane first where it is asked to', () => {
    expect(drain(filled('newest first', 'a1', 'a2', 'b1', 'a3'))).toEqual(['a3', 'b1', 'a2', 'a1'])
  })

  it('lets one of a new lane go before all that wait for their next turn', () => {
    const names = Array.from({ length: 1000 }, (_, n) => `${'abcde'[n % 5]}${n}`)
    const queue = filled('oldest first', ...names)
    for (let n = 0; n < 5; n++) queue.next()
    queue.add('z', 'z0')
    expect([queue.next()!.value, queue.next()!.value]).toEqual(['z0', 'a5'])
  })

  it('takes a lane for no new one that comes back before those that waited have had their turn', () => {
    const queue = filled('oldest first', 'a1', 'a2', 'b1')
    expect([queue.next()!.value, queue.next()!.value]).toEqual(['a1', 'b1'])
    queue.add('b', 'b2')
    queue.add('c', 'c1')
    expect(drain(queue)).toEqual(['c1', 'a2', 'b2'])
  })

  it('does not let new lanes without end keep the others waiting', () => {
    const queue = filled('oldest first', 'a1', 'a2', 'a3')
    queue.next()
    let turns = 0
    for (let value = ''; value !== 'a2'; turns++) {
      queue.add(`new ${turns}`, `new ${turns}`)
      value = queue.next()!.value
    }
    expect(turns).toBeLessThan(10)
  })

  it('holds nothing for lanes that have had their turn and come no more', () => {
    const queue = filled('oldest first', ...Array.from({ length: 1000 }, (_, n) => `a${n}`))
    for (let n = 0; n < 5000; n++) {
      queue.add(`lane ${n}`, 'x')
      queue.next()
    }
    expect((queue as unknown as { served: Map<string, unknown> }).served.size).toBeLessThan(20)
    drain(queue)
    expect((queue as unknown as { served: Map<string, unknown> }).served.size).toBe(0)
  })

  it('takes the newest of a lane first where its oldest says so', () => {
    const queue = new TurnQueue<string>((oldest) => oldest === 'a2')
    for (const name of ['a1', 'a2', 'a3', 'a4']) queue.add('a', name)
    expect(drain(queue)).toEqual(['a1', 'a4', 'a3', 'a2'])
  })

  it('gives the oldest of the lane whose turn it is away where it is over, and no turn passes', () => {
    const queue = filled('newest first', 'a1', 'a2', 'a3', 'b1')
    expect(queue.takeOver((value) => value === 'a2')).toBe(undefined)
    expect(queue.takeOver((value) => value === 'a1')).toBe('a1')
    expect(queue.takeOver(() => true)).toBe('a2')
    expect([queue.length, ...drain(queue)]).toEqual([2, 'a3', 'b1'])
    expect(queue.takeOver(() => true)).toBe(undefined)
  })

  it('forgets those that leave, from the beginning, the middle and the end', () => {
    const queue = new TurnQueue<string>('oldest first')
    const leave = ['a1', 'a2', 'a3', 'a4', 'b1'].map((name) => queue.add(name[0]!, name))
    expect([leave[0]!(), leave[2]!(), leave[4]!(), leave[0]!()]).toEqual([true, true, true, false])
    expect([queue.length, queue.lengthOf('a'), queue.lengthOf('b')]).toEqual([2, 2, 0])
    expect(drain(queue)).toEqual(['a2', 'a4'])
    expect(leave[1]!()).toBe(false)
  })

  it('passes over a lane that is held, until it is released', () => {
    const queue = filled('oldest first', 'a1', 'b1')
    queue.hold('a')
    queue.add('a', 'a2')
    expect([queue.length, drain(queue)]).toEqual([3, ['b1']])
    queue.release('a')
    expect(drain(queue)).toEqual(['a1', 'a2'])
  })

  it('holds nothing for a lane that has become empty', () => {
    const queue = new TurnQueue<string>('oldest first')
    const leave = queue.add('a', 'a1')
    queue.hold('a')
    leave()
    queue.add('a', 'a2')
    expect(queue.nextKey).toBe('a')
  })
})
