import { describe, expect, it } from 'vitest'
import { receivePubrec, releaseCommitted } from '../../src/session/acknowledger'
import { Delivery } from '../../src/session/delivery'
import { handOn } from '../../src/session/hand-over'
import { Move } from '../../src/session/move'
import { QueueBudget } from '../../src/session/queue-budget'
import { resend } from '../../src/session/resender'
import { deliver, Outcome, sendCommitted, sendQueued } from '../../src/session/sender'
import type { Session } from '../../src/session/session'
import { delivery, durableSession, type Parts } from './session-under-test'

const origin = { filter: '$share/group/a' }
const shared = (qos: 1 | 2, topic: string) => delivery(qos, topic, { origin })

/** A session that goes offline with a bit of everything. */
function offline(): Parts {
  const parts = durableSession({ window: 5 })
  const { session } = parts
  deliver(session, shared(1, 'sent, QoS 1'), 0)
  deliver(session, delivery(1, 'own, QoS 1'), 0)
  for (const topic of ['sent, QoS 2', 'PUBREL sent', 'before its commit']) deliver(session, shared(2, topic), 0)
  sendCommitted(session, 3, 0)
  sendCommitted(session, 4, 0)
  receivePubrec(session, 4, 0)
  releaseCommitted(session, 4)
  deliver(session, shared(1, 'queued'), 0)
  deliver(session, delivery(1, 'own, queued'), 0)
  session.detach()
  return parts
}

/** It went to somebody. */
function gone(given: Delivery): Move {
  const other = durableSession().session
  return new Move(other, given, 0, other, given)
}

describe('handOn', () => {
  it('gives away what another member may have, in order, and leaves what it may not [MQTT-4.8.2-5]', () => {
    const { session, journal, output } = offline()
    const given: string[] = []
    handOn(session, (delivery) => {
      given.push(delivery.message.topic)
      return gone(delivery)
    })
    expect(given).toEqual(['sent, QoS 1', 'before its commit', 'queued'])
    expect([...journal.kept.keys()]).toEqual([2, 3, 4, 7])
    output.packets()
    session.attach(output, 10)
    resend(session, 0)
    expect(output.brief()).toEqual(['dup publish 2 own, QoS 1', 'dup publish 3 sent, QoS 2', 'pubrel 4'])
  })

  it('leaves where it was what nobody takes', () => {
    const { session, output } = offline()
    deliver(session, shared(1, 'queued, but for others'), 0)
    handOn(session, (delivery) => (delivery.message.topic === 'queued' ? gone(delivery) : null))
    expect([session.inflightCount, session.queuedMessages]).toEqual([5, 2])
    output.packets()
    session.attach(output, 7)
    sendQueued(session, 0, () => undefined)
    expect(output.brief()).toEqual(['publish 6 own, queued', 'publish 7 queued, but for others'])
  })

  it('leaves what comes meanwhile behind what waits already', () => {
    const { session, output } = offline()
    handOn(session, ({ message }) => {
      if (message.topic === 'queued') deliver(session, delivery(1, 'new'), 0)
      return null
    })
    output.packets()
    session.attach(output, 8)
    sendQueued(session, 0, () => undefined)
    expect(output.brief()).toEqual(['publish 6 queued', 'publish 7 own, queued', 'publish 8 new'])
  })

  it('does not count twice what goes from one queue to another', () => {
    const budget = new QueueBudget<Session>(1)
    const from = durableSession({ budget, window: 0 })
    const to = durableSession({ budget, window: 0 })
    deliver(from.session, shared(1, 'a'), 0)
    from.session.detach()
    handOn(from.session, (given) => {
      const { message, qos, origin } = given
      const moved = new Delivery(message, qos, false, [], origin)
      return deliver(to.session, moved, 0) === Outcome.Queued ? gone(given) : null
    })
    expect([from.session.queuedMessages, to.session.queuedMessages, budget.messages]).toEqual([0, 1, 1])
  })

  it('does not send what it has given away when the commit comes', () => {
    const { session, output } = offline()
    handOn(session, gone)
    output.packets()
    session.attach(output, 10)
    sendCommitted(session, 5, 0)
    expect(output.brief()).toEqual([])
  })

  it('has nothing to give where a session has nothing', () => {
    handOn(durableSession().session, () => expect.fail('there is nothing'))
  })
})
