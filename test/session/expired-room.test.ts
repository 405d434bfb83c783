import { describe, expect, it } from 'vitest'
import { QueueBudget } from '../../src/session/queue-budget'
import { deliver, Outcome, sendQueued } from '../../src/session/sender'
import type { OverflowPolicy, Session, SessionLimits } from '../../src/session/session'
import { delivery, durableSession, type Parts } from './session-under-test'

function offline(limits: Partial<SessionLimits>): Parts {
  const parts = durableSession(limits)
  parts.session.detach()
  return parts
}

const policies: OverflowPolicy[] = ['drop-newest', 'drop-oldest', 'disconnect']
const never = (): void => undefined

describe('messages that have expired make room', () => {
  it.each(policies)('for a hundred fresh ones in a queue of a hundred, with %s', (overflow) => {
    const { session, output, journal } = offline({ overflow, maximumQueuedMessages: 100 })
    for (let n = 0; n < 100; n++) deliver(session, delivery(1, `old/${n}`, { expiresAt: 1000 }), 0)
    for (let n = 0; n < 100; n++) expect(deliver(session, delivery(1, `new/${n}`), 2200)).toBe(Outcome.Queued)
    expect([session.queuedMessages, session.droppedMessages, journal.kept.size]).toEqual([100, 100, 100])
    session.attach(output, 1000)
    sendQueued(session, 2200, never)
    expect(output.brief()).toEqual(Array.from({ length: 100 }, (_, n) => `publish ${n + 1} new/${n}`))
  })

  it.each(policies)('from among others that stay, with %s', (overflow) => {
    const { session, output } = offline({ overflow, maximumQueuedMessages: 5 })
    const lives = [0, 1000, 0, 500, 9000]
    for (const [n, expiresAt] of lives.entries()) deliver(session, delivery(1, `${n}`, { expiresAt }), 0)
    for (const topic of ['x', 'y']) deliver(session, delivery(1, topic), 1000)
    session.attach(output, 1000)
    sendQueued(session, 1000, never)
    expect(output.brief().map((line) => line.split(' ')[2])).toEqual(['0', '2', '4', 'x', 'y'])
  })

  it('by their bytes, as many as one larger message needs and no more', () => {
    const { session } = offline({ maximumQueuedBytes: 40 })
    for (const topic of ['a', 'b', 'c', 'd'])
      deliver(session, delivery(1, topic, { payload: '123456789', expiresAt: 10 }), 0)
    expect(deliver(session, delivery(1, 'e', { payload: 'x'.repeat(19) }), 10)).toBe(Outcome.Queued)
    expect([session.queuedMessages, session.queuedBytes, session.droppedMessages]).toEqual([3, 40, 2])
  })

  it('where the store alone has them, without being read', () => {
    const { session, journal } = offline({ maximumQueuedMessages: 3000 })
    for (let n = 0; n < 3000; n++) deliver(session, delivery(1, 'a', { expiresAt: n < 2000 ? 0 : 1000 }), 0)
    expect(session.storedMessages).toBe(1976)
    for (let n = 0; n < 1000; n++) expect(deliver(session, delivery(1, 'b'), 2000)).toBe(Outcome.Queued)
    expect(deliver(session, delivery(1, 'b'), 2000)).toBe(Outcome.Full)
    expect([session.queuedMessages, session.storedMessages, journal.kept.size]).toEqual([3000, 1976, 3000])
    expect([...journal.kept.keys()].filter((position) => position > 2000 && position <= 3000)).toEqual([])
  })

  it.each([
    ['messages', new QueueBudget<Session>(4)],
    ['bytes', new QueueBudget<Session>(Number.POSITIVE_INFINITY, 4)],
  ])('for others, in the %s of all sessions together', (_, budget) => {
    const sleeping = durableSession({ budget })
    sleeping.session.window = 0
    const other = offline({ budget })
    for (const expiresAt of [0, 300, 0, 200]) deliver(sleeping.session, delivery(1, 'a', { expiresAt }), 0)
    const outcomes = [100, 200, 299, 300, 301].map((now) => deliver(other.session, delivery(1, 'b'), now))
    expect(outcomes).toEqual([Outcome.Full, Outcome.Queued, Outcome.Full, Outcome.Queued, Outcome.Full])
    expect([sleeping.session.queuedMessages, sleeping.journal.kept.size, budget.messages]).toEqual([2, 2, 4])
  })

  it('and a session that has ended is not asked for any', () => {
    const budget = new QueueBudget<Session>(2)
    const ended = offline({ budget })
    deliver(ended.session, delivery(1, 'a', { expiresAt: 100 }), 0)
    ended.session.journal = null
    ended.session.discardQueue()
    const other = offline({ budget })
    const outcomes = [1, 2, 3].map(() => deliver(other.session, delivery(1, 'b'), 200))
    expect([outcomes, budget.expires]).toEqual([[Outcome.Queued, Outcome.Queued, Outcome.Full], false])
  })

  it('at a price that each pays once, also when one expires between any two that come', () => {
    const count = 5000
    const { session } = offline({ maximumQueuedMessages: count })
    let looks = 0
    const counted = (expiresAt: number) => {
      const one = delivery(1, 'a', { expiresAt })
      const get = () => {
        looks++
        return expiresAt
      }
      Object.defineProperty(one.message, 'expiresAt', { get })
      return one
    }
    session.journal = null
    session.output = durableSession().output
    session.window = 0
    for (let n = 1; n <= count; n++) deliver(session, counted(n), 0)
    for (let n = 1; n <= count; n++) expect(deliver(session, counted(count + n), n)).toBe(Outcome.Queued)
    expect([session.queuedMessages, session.droppedMessages]).toEqual([count, count])
    expect(looks).toBeLessThan(5 * 2 * count)
  })
})
