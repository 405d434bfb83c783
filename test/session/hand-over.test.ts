import { describe, expect, it } from 'vitest'
import { receivePubrec, releaseCommitted } from '../../src/session/acknowledger'
import { takeShared } from '../../src/session/hand-over'
import { resend } from '../../src/session/resender'
import { deliver, sendCommitted } from '../../src/session/sender'
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

describe('takeShared', () => {
  it('takes what another member may have, in order, and leaves what it may not [MQTT-4.8.2-5]', () => {
    const { session, journal, output } = offline()
    const taken = takeShared(session, () => true)
    expect(taken.map(({ message }) => message.topic)).toEqual(['sent, QoS 1', 'before its commit', 'queued'])
    expect([...journal.kept.keys()]).toEqual([2, 3, 4, 7])
    output.packets()
    session.attach(output, 10)
    resend(session, 0)
    expect(output.brief()).toEqual(['dup publish 2 own, QoS 1', 'dup publish 3 sent, QoS 2', 'pubrel 4'])
  })

  it('takes only what is wanted', () => {
    const { session } = offline()
    expect(takeShared(session, () => false)).toEqual([])
    expect([session.inflightCount, session.queuedMessages]).toEqual([5, 2])
  })

  it('does not send what it has taken when the commit comes', () => {
    const { session, output } = offline()
    takeShared(session, () => true)
    output.packets()
    session.attach(output, 10)
    sendCommitted(session, 5, 0)
    expect(output.brief()).toEqual([])
  })

  it('takes nothing from a session that has nothing', () => {
    expect(takeShared(durableSession().session, () => true)).toEqual([])
  })
})
