import { describe, expect, it } from 'vitest'
import { Cost } from '../../src/memory/cost'
import { Budget } from '../../src/memory/memory-budget'
import { receivePuback } from '../../src/session/acknowledger'
import { QueueBudget } from '../../src/session/queue-budget'
import { deliver, forward, Outcome, sendQueued } from '../../src/session/sender'
import type { Session } from '../../src/session/session'
import { delivery, durableSession, transientSession } from './session-under-test'

const never = (): void => undefined
const big = (topic = 't') => delivery(1, topic, { payload: 'x'.repeat(999) })
const unbounded = Number.POSITIVE_INFINITY

describe('messages in flight that are kept until they are acknowledged', () => {
  it('wait beyond the bytes that a client may have, however wide its window', () => {
    const { session, output } = durableSession({ maximumInflightBytes: 2500 })
    const outcomes = [1, 2, 3, 4].map(() => deliver(session, big(), 0))
    expect(outcomes).toEqual([Outcome.Sent, Outcome.Sent, Outcome.Queued, Outcome.Queued])
    expect(output.brief()).toEqual(['publish 1 t', 'publish 2 t'])
    sendQueued(session, 0, never)
    expect(output.brief()).toEqual([])
    receivePuback(session, 1)
    sendQueued(session, 0, never)
    expect([output.brief(), session.queuedMessages]).toEqual([['publish 3 t'], 1])
  })

  it('may always be one, of whatever size', () => {
    const { session } = durableSession({ maximumInflightBytes: 0 })
    expect([deliver(session, big(), 0), deliver(session, big(), 0)]).toEqual([Outcome.Sent, Outcome.Queued])
  })

  it('are counted in the budget of all sessions, and no more once they are acknowledged', () => {
    const memory = new Budget()
    const { session } = durableSession({ budget: new QueueBudget(unbounded, unbounded, memory) })
    deliver(session, big(), 0)
    expect(memory.used).toBe(Cost.queuedMessage + 1000)
    receivePuback(session, 1)
    expect(memory.used).toBe(0)
  })

  it('find no room where others have used the memory up, and nothing is left that nobody would send', () => {
    const memory = new Budget(3000)
    const budget = new QueueBudget<Session>(unbounded, unbounded, memory)
    const [first, second] = [durableSession({ budget }), durableSession({ budget })]
    expect(deliver(first.session, big(), 0)).toBe(Outcome.Sent)
    memory.add(2000)
    // its share of 64 KiB is what it may have in any case
    expect(deliver(second.session, big(), 0)).toBe(Outcome.Sent)
    const larger = delivery(1, 't', { payload: 'x'.repeat(70_000) })
    const third = durableSession({ budget })
    expect([deliver(third.session, larger, 0), third.session.queuedMessages]).toEqual([Outcome.Full, 0])
  })

  it('are counted until the session ends, and what it leaves behind after that changes nothing', () => {
    const memory = new Budget()
    const budget = new QueueBudget<Session>(unbounded, unbounded, memory)
    const { session } = durableSession({ budget, maximumInflightBytes: 1500 })
    for (let n = 0; n < 5; n++) deliver(session, big(), 0)
    expect(memory.used).toBe(5 * (Cost.queuedMessage + 1000))
    session.discardQueue()
    expect(memory.used).toBe(0)
    receivePuback(session, 1)
    expect(memory.used).toBe(0)
  })

  it('cost nothing where they go from the read buffer straight to their receiver', () => {
    const memory = new Budget()
    const { session, output } = transientSession({ budget: new QueueBudget(unbounded, unbounded, memory) })
    const bytes = Buffer.from('3205000174' + '0001', 'hex')
    const packet = { bytes, start: 0, end: bytes.length, identifierAt: 5 }
    expect(forward(session, packet as Parameters<typeof forward>[1], output.dialect, 1)).toBe(true)
    expect([memory.used, session.inflightCount]).toEqual([0, 1])
  })
})

describe('large packets', () => {
  it('wait in the session while their receiver has no room for them, and go when it has', () => {
    const { session, output } = durableSession()
    const large = (): ReturnType<typeof delivery> => delivery(1, 't', { payload: 'x'.repeat(70_000) })
    output.room = false
    expect(deliver(session, large(), 0)).toBe(Outcome.Queued)
    sendQueued(session, 0, never)
    expect(output.brief()).toEqual([])
    output.room = true
    sendQueued(session, 0, never)
    expect(output.brief()).toEqual(['publish 1 t'])
  })

  it('of QoS 0 are dropped', () => {
    const { session, output } = durableSession()
    output.room = false
    expect(deliver(session, delivery(0, 't', { payload: 'x'.repeat(70_000) }), 0)).toBe(Outcome.Dropped)
    expect(deliver(session, delivery(0, 't', { payload: 'x' }), 0)).toBe(Outcome.Sent)
  })
})
