import { describe, expect, it } from 'vitest'
import { createMessage } from '../../src/protocol/message'
import { Replay } from '../../src/routing/replay'
import { RetainedMessages } from '../../src/routing/retained-messages'

function retainedOf(topics: readonly string[]): RetainedMessages {
  const retained = new RetainedMessages()
  for (const topic of topics) set(retained, topic, 'old')
  return retained
}

function set(retained: RetainedMessages, topic: string, payload: string): void {
  retained.set(createMessage(topic, Buffer.from(payload), undefined, 0, true, 0, undefined))
}

const never = (): boolean => false

/** What comes until the end, as topic and payload. */
function rest(replay: Replay, isMissed: (topic: string) => boolean = never): string[] {
  const found: string[] = []
  for (let next = replay.next(isMissed); next !== undefined; next = replay.next(isMissed))
    if (next !== null) found.push(`${next.topic} ${next.payload}`)
  return found
}

const topics = Array.from({ length: 300 }, (_, i) => `a/${i % 3}/${i}`)
const asOld = (list: readonly string[]): string[] => list.map((topic) => `${topic} old`)

describe('Replay', () => {
  it('brings every topic once, however often it rests', () => {
    const replay = new Replay(retainedOf(topics), 'a/#')
    const found: string[] = []
    for (let next = replay.next(never); next !== undefined; next = replay.next(never)) {
      if (next !== null) found.push(next.topic)
      replay.rest()
    }
    expect(found.toSorted()).toEqual(topics.toSorted())
  })

  it('goes on behind a topic that is gone, in retained messages that came in another order', () => {
    const first = new Replay(retainedOf(topics), 'a/#')
    const found: string[] = []
    while (found.length < 100) {
      const next = first.next(never)
      if (next !== null) found.push(next!.topic)
    }
    const others = retainedOf(topics.toReversed())
    others.delete(first.after)
    const second = rest(new Replay(others, 'a/#', first.after))
    expect(second).toHaveLength(200)
    expect([...asOld(found), ...second].toSorted()).toEqual(asOld(topics).toSorted())
  })

  it('leaves out what came after its beginning, but for what was missed', () => {
    const retained = retainedOf(['a', 'b', 'c', 'd'])
    const replay = new Replay(retained, '#')
    set(retained, 'b', 'new')
    set(retained, 'c', 'new')
    set(retained, 'e', 'new')
    retained.delete('d')
    expect(rest(replay, (topic) => topic === 'c')).toEqual(['a old', 'c new'])
  })

  it('brings what is back because the store refused what replaced it', () => {
    const retained = retainedOf(['a'])
    const replay = new Replay(retained, '#')
    const before = retained.get('a')!
    set(retained, 'a', 'refused')
    retained.set(before)
    expect(rest(replay)).toEqual(['a old'])
  })

  it('leaves out what a newer message has passed that could not be retained', () => {
    const retained = retainedOf(['a', 'b'])
    const replay = new Replay(retained, '#')
    retained.pass('b')
    retained.pass('c')
    expect(rest(replay)).toEqual(['a old'])
  })
})
