import { describe, expect, it } from 'vitest'
import { deliveryBytes } from '../../src/session/delivery-queue'
import { deliver, Outcome, sendQueued } from '../../src/session/sender'
import type { OverflowPolicy, SessionLimits } from '../../src/session/session'
import { delivery, durableSession, type Parts } from './session-under-test'

function offline(limits: Partial<SessionLimits>): Parts {
  const parts = durableSession(limits)
  parts.session.detach()
  return parts
}

const { Queued, Full, Overflow } = Outcome

describe('a full queue', () => {
  it.each<[OverflowPolicy, number[], string[], number]>([
    ['drop-newest', [Queued, Queued, Full, Full], ['publish 1 a', 'publish 2 b'], 2],
    ['drop-oldest', [Queued, Queued, Queued, Queued], ['publish 1 c', 'publish 2 d'], 2],
    ['disconnect', [Queued, Queued, Overflow, Overflow], ['publish 1 a', 'publish 2 b'], 2],
  ])('with %s', (overflow, outcomes, sent, dropped) => {
    const { session, output, journal } = offline({ overflow, maximumQueuedMessages: 2 })
    expect(['a', 'b', 'c', 'd'].map((topic) => deliver(session, delivery(1, topic), 0))).toEqual(outcomes)
    expect([session.droppedMessages, session.queuedMessages, journal.kept.size]).toEqual([dropped, 2, 2])
    session.attach(output, 10)
    sendQueued(session, 0, () => undefined)
    expect(output.brief()).toEqual(sent)
  })

  it('is full by its bytes too, and has room for just as many', () => {
    const size = deliveryBytes(delivery(1, 'a', { payload: '123456789' }))
    const { session } = offline({ maximumQueuedBytes: size * 2 })
    const outcomes = [1, 2, 3].map(() => deliver(session, delivery(1, 'a', { payload: '123456789' }), 0))
    expect(outcomes).toEqual([Queued, Queued, Full])
  })

  it('drops as many of the oldest as one larger message needs', () => {
    const { session } = offline({ overflow: 'drop-oldest', maximumQueuedBytes: 40 })
    for (const topic of ['a', 'b', 'c', 'd']) deliver(session, delivery(1, topic, { payload: '123456789' }), 0)
    expect(deliver(session, delivery(1, 'e', { payload: 'x'.repeat(19) }), 0)).toBe(Queued)
    expect(session.queuedMessages).toBe(3)
    expect(session.droppedMessages).toBe(2)
  })

  it('gives nothing up for a message that could never fit', () => {
    const { session, journal } = offline({ overflow: 'drop-oldest', maximumQueuedBytes: 40 })
    deliver(session, delivery(1, 'a', { payload: '123456789' }), 0)
    expect(deliver(session, delivery(1, 'e', { payload: 'x'.repeat(100) }), 0)).toBe(Full)
    expect([session.queuedMessages, session.droppedMessages, journal.kept.size]).toEqual([1, 1, 1])
  })

  it('has room again once something has left', () => {
    const { session, output } = offline({ maximumQueuedMessages: 1 })
    deliver(session, delivery(1, 'a'), 0)
    session.attach(output, 10)
    sendQueued(session, 0, () => undefined)
    session.detach()
    expect(deliver(session, delivery(1, 'b'), 0)).toBe(Queued)
  })

  it('is no obstacle to a client that is up to date', () => {
    const { session } = durableSession({ maximumQueuedMessages: 0 })
    expect(deliver(session, delivery(1, 'a'), 0)).toBe(Outcome.Sent)
  })
})
