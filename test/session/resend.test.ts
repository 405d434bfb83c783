import { describe, expect, it } from 'vitest'
import { receivePuback, receivePubcomp, receivePubrec, releaseCommitted } from '../../src/session/acknowledger'
import { InflightAction } from '../../src/session/inflight-transitions'
import { resend } from '../../src/session/resender'
import { deliver, sendCommitted, sendQueued } from '../../src/session/sender'
import { RecordingOutput } from '../support/recording-output'
import { delivery, durableSession, type Parts } from './session-under-test'

/** The connection ends and another one resumes the session. */
function reconnect({ session }: Parts, now = 0): RecordingOutput {
  session.detach()
  const output = new RecordingOutput(5)
  session.attach(output, 65_535)
  resend(session, now)
  return output
}

function send(parts: Parts, qos: 1 | 2, topic: string, expiresAt = 0): number {
  deliver(parts.session, delivery(qos, topic, { expiresAt }), 0)
  const identifier = parts.session.inflight!.lastIdentifier
  sendCommitted(parts.session, identifier, 0)
  return identifier
}

describe('a session that is resumed', () => {
  it('sends again what is not acknowledged, with DUP, its identifier and its order [MQTT-4.4.0-1]', () => {
    const parts = durableSession()
    for (const [qos, topic] of [
      [1, 'a'],
      [2, 'b'],
      [1, 'c'],
      [2, 'd'],
    ] as const)
      send(parts, qos, topic)
    receivePuback(parts.session, 1)
    expect(reconnect(parts).brief()).toEqual(['dup publish 2 b', 'dup publish 3 c', 'dup publish 4 d'])
    expect(reconnect(parts).brief()).toEqual(['dup publish 2 b', 'dup publish 3 c', 'dup publish 4 d'])
  })

  it('sends PUBREL again, never the message, once PUBREC has arrived', () => {
    const parts = durableSession()
    send(parts, 2, 'a')
    send(parts, 2, 'b')
    expect(receivePubrec(parts.session, 1, 0)).toBe(InflightAction.AwaitsCommit)
    expect(releaseCommitted(parts.session, 1)).toBe(true)
    expect(reconnect(parts).brief()).toEqual(['pubrel 1', 'dup publish 2 b'])
    expect(receivePubcomp(parts.session, 1)).toBe(InflightAction.Finished)
    expect(reconnect(parts).brief()).toEqual(['dup publish 2 b'])
  })

  it('keeps the order of sending when identifiers have begun anew', () => {
    const parts = durableSession()
    for (let n = 0; n < 65_534; n++) receivePuback(parts.session, send(parts, 1, 'x'))
    const identifiers = ['a', 'b', 'c'].map((topic) => send(parts, 1, topic))
    expect(identifiers).toEqual([65_535, 1, 2])
    expect(reconnect(parts).brief()).toEqual(['dup publish 65535 a', 'dup publish 1 b', 'dup publish 2 c'])
  })

  it('sends what was never sent without DUP', () => {
    const parts = durableSession()
    parts.session.detach()
    deliver(parts.session, delivery(1, 'a'), 0)
    const output = reconnect(parts)
    sendQueued(parts.session, 0, () => undefined)
    expect(output.brief()).toEqual(['publish 1 a'])
  })

  it('sends a message that waits for its commit only when that has come, and then to the new connection', () => {
    const parts = durableSession()
    deliver(parts.session, delivery(2, 'a'), 0)
    const output = reconnect(parts)
    expect(output.brief()).toEqual([])
    sendCommitted(parts.session, 1, 0)
    expect(output.brief()).toEqual(['publish 1 a'])
  })

  it('sends a message whose commit came while it was offline', () => {
    const parts = durableSession()
    deliver(parts.session, delivery(2, 'a'), 0)
    parts.session.detach()
    sendCommitted(parts.session, 1, 0)
    expect(reconnect(parts).brief()).toEqual(['publish 1 a'])
  })

  it('sends again what has expired since, because its delivery has begun, but not what was never sent', () => {
    const parts = durableSession()
    send(parts, 1, 'begun', 1000)
    deliver(parts.session, delivery(2, 'never sent', { expiresAt: 1000 }), 0)
    parts.session.detach()
    sendCommitted(parts.session, 2, 0)
    expect(reconnect(parts, 2000).brief()).toEqual(['dup publish 1 begun'])
    expect([parts.session.droppedMessages, parts.session.inflightCount]).toEqual([1, 1])
    expect([...parts.journal.kept.keys()]).toEqual([1])
  })

  it('gives up what is too large for the new connection', () => {
    const parts = durableSession()
    send(parts, 1, 'a/long/topic')
    send(parts, 1, 'b')
    parts.session.detach()
    const output = new RecordingOutput(4)
    output.maximumPacketSize = 10
    parts.session.attach(output, 65_535)
    resend(parts.session, 0)
    expect(output.brief()).toEqual(['dup publish 2 b'])
    expect([output.dropped, parts.session.inflightCount, parts.journal.kept.size]).toEqual([1, 1, 1])
  })

  it('forgets the aliases of the connection before', () => {
    const parts = durableSession({ version: 5 })
    parts.session.detach()
    expect(parts.session.outgoingAliases).toBeNull()
  })
})
