import { describe, expect, it } from 'vitest'
import { QueueBudget } from '../../src/session/queue-budget'
import { deliver, Outcome, sendQueued } from '../../src/session/sender'
import type { Session, SessionLimits } from '../../src/session/session'
import { delivery, durableSession, type Parts } from './session-under-test'

type Limits = Partial<SessionLimits>

/** A session whose client is away. */
function absent(limits: Limits): Parts {
  const parts = durableSession(limits)
  parts.session.detach()
  return parts
}

/** A session whose client is there and takes nothing. */
function present(limits: Limits): Parts {
  const parts = durableSession(limits)
  parts.session.window = 0
  return parts
}

/** Delivers so many messages of ten bytes and gives how many of them wait. */
function fill({ session }: Parts, count: number): number {
  let queued = 0
  for (let n = 0; n < count; n++)
    if (deliver(session, delivery(1, 't', { payload: '123456789' }), 0) === Outcome.Queued) queued++
  return queued
}

const sizes = (...all: Parts[]): number[] => all.map(({ session }) => session.queuedMessages)

// a share is 1 of 100 messages, or 8 of 1000 bytes, and 64 of them in budgets of 4,096 messages and more
const budgets: [string, () => QueueBudget<Session>][] = [
  ['messages', () => new QueueBudget<Session>(100)],
  ['bytes', () => new QueueBudget<Session>(Number.POSITIVE_INFINITY, 1000)],
]

describe.each(budgets)('a budget of all sessions that is used up, in %s,', (measure, make) => {
  it('is what the queue of an absent client gives way in, oldest first, before a client that is there loses anything', () => {
    const budget = make()
    const [left, live] = [absent({ budget }), present({ budget })]
    expect([fill(left, 100), fill(live, 90)]).toEqual([100, 90])
    expect(sizes(left, live)).toEqual([10, 90])
    expect([left.session.droppedMessages, live.session.droppedMessages]).toEqual([90, 0])
    expect([...left.journal.kept.keys()]).toEqual(Array.from({ length: 10 }, (_, n) => n + 91))
    expect([budget.messages, budget.bytes]).toEqual([100, 1000])
  })

  it('leaves an absent client its share', () => {
    const budget = make()
    const [left, live] = [absent({ budget }), present({ budget })]
    fill(left, 100)
    fill(live, 200)
    // eight bytes are less than one message
    expect(sizes(left, live)).toEqual(measure === 'messages' ? [1, 99] : [0, 100])
    expect(live.session.droppedMessages).toBeGreaterThan(0)
  })

  it('is taken from the largest of those that are absent', () => {
    const budget = make()
    const [small, large, live] = [absent({ budget }), absent({ budget }), present({ budget })]
    fill(small, 10)
    fill(large, 90)
    fill(live, 60)
    expect(sizes(small, large, live)).toEqual([10, 30, 60])
  })

  it('is shared by two that are absent, whichever came first', () => {
    const budget = make()
    const [first, second] = [absent({ budget }), absent({ budget })]
    fill(first, 100)
    fill(second, 100)
    const [one, other] = sizes(first, second)
    expect(one! + other!).toBe(100)
    expect(Math.min(one!, other!)).toBeGreaterThanOrEqual(30)
  })

  it('is not taken from a client that is there', () => {
    const budget = make()
    const [live, other, left] = [present({ budget }), present({ budget }), absent({ budget })]
    fill(live, 100)
    // but for its share, of one message or of none
    expect([fill(left, 1), fill(other, 2)]).toEqual([0, measure === 'messages' ? 1 : 0])
    expect(sizes(live)).toEqual([100])
  })

  it('is given back by a client that comes, and is taken from again once it has gone', () => {
    const budget = make()
    const [parts, live] = [absent({ budget }), present({ budget })]
    fill(parts, 100)
    parts.session.attach(parts.output, 10)
    const share = fill(live, 5)
    expect(share).toBe(measure === 'messages' ? 1 : 0)
    sendQueued(parts.session, 0, () => undefined)
    expect(fill(live, 20)).toBe(10 - share)
    parts.session.detach()
    expect(fill(live, 5)).toBe(5)
  })

  it('has nothing taken from it for a message that could never fit', () => {
    const budget = make()
    const [left, live] = [absent({ budget, maximumQueuedBytes: 1500 }), present({ budget, maximumQueuedBytes: 1500 })]
    fill(left, 100)
    expect(deliver(live.session, delivery(1, 't', { payload: 'x'.repeat(1600) }), 0)).toBe(Outcome.Full)
    expect(sizes(left)).toEqual([100])
  })
})

it('each client that is there may have its share beyond the budget, and no more', () => {
  const budget = new QueueBudget<Session>(8192)
  const limits = { budget, maximumQueuedMessages: 10_000 }
  const hoarder = present(limits)
  expect(fill(hoarder, 9000)).toBe(8192)
  for (let n = 1; n <= 3; n++) {
    const live = present(limits)
    expect(fill(live, 100)).toBe(64)
    expect(budget.messages).toBe(8192 + n * 64)
  }
  expect(fill(absent(limits), 1)).toBe(0)
})

it('what went beyond the budget is the first to go once its client is away', () => {
  const budget = new QueueBudget<Session>(8192)
  const limits = { budget, maximumQueuedMessages: 10_000 }
  fill(present(limits), 8192)
  const first = present(limits)
  fill(first, 64)
  first.session.detach()
  const second = present(limits)
  expect(fill(second, 64)).toBe(64)
  expect([sizes(first), budget.messages]).toEqual([[0], 8192 + 64])
})

it('a queue of which nothing is in memory is read before it gives way, and for so long others go a little beyond', () => {
  const budget = new QueueBudget<Session>(6400)
  const limits = { budget, maximumQueuedMessages: 10_000 }
  const stored = absent(limits)
  stored.session.addStored(6400, 64_000)
  const live = present(limits)
  expect(fill(live, 200)).toBe(100)
  expect([budget.takeToRead(), budget.takeToRead()]).toEqual([stored.session, undefined])
  // as when its next page has been read
  stored.session.addStored(-1, -10)
  stored.journal.kept.set(0, 0)
  stored.session.openQueue().push(delivery(1, 't', { payload: '123456789' }))
  expect(fill(live, 2)).toBe(1)
  expect(stored.session.queue!.length).toBe(0)
})

it('a session that has ended gives nothing', () => {
  const budget = new QueueBudget<Session>(100)
  const [ended, live] = [absent({ budget }), present({ budget })]
  fill(ended, 60)
  ended.session.journal = null
  ended.session.discardQueue()
  expect(fill(live, 101)).toBe(100)
})

it('finds who gives way without a look at the others', () => {
  const budget = new QueueBudget<Session>(20_000)
  const limits = { budget, maximumQueuedMessages: 20_000 }
  let looks = 0
  for (let n = 0; n < 10_000; n++) {
    const { session } = absent(limits)
    fill({ session } as Parts, 2)
    Object.defineProperty(session, 'queuedMessages', {
      get() {
        looks++
        return 2
      },
    })
  }
  expect(fill(present(limits), 64)).toBe(64)
  expect(looks).toBeLessThan(1000)
})
