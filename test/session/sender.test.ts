import type { IPublishPacket } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { Frame, readFrame } from '../../src/protocol/frame'
import { Dialect } from '../../src/protocol/output'
import { PublishPacket, readPublish } from '../../src/protocol/publish-packet'
import { receivePuback } from '../../src/session/acknowledger'
import { InflightState } from '../../src/session/inflight'
import { OutgoingAliases } from '../../src/session/outgoing-aliases'
import { resend } from '../../src/session/resender'
import { deliver, forward, Outcome, revoke, sendCommitted, sendQueued } from '../../src/session/sender'
import { bytes, packet as raw, string } from '../protocol/packet-bytes'
import { delivery, durableSession, type Parts, transientSession } from './session-under-test'

const noCommit = (): void => {
  throw new Error('nothing should wait for a commit')
}

describe('a message for a session that has ended', () => {
  it.each([1, 2] as const)('is dropped, with QoS %i, and counts in no budget', (qos) => {
    const { session } = transientSession()
    session.detach()
    expect(deliver(session, delivery(qos, 'a'), 0)).toBe(Outcome.Dropped)
    expect([session.queuedMessages, session.limits.budget.messages]).toEqual([0, 0])
  })
})

describe('a message of QoS 0', () => {
  it('is sent at once, without an identifier and without the journal', () => {
    const { session, output, journal } = durableSession({ window: 1 })
    deliver(session, delivery(1, 'fills/the/window'), 0)
    output.brief()
    journal.takeLines()
    expect(deliver(session, delivery(0, 'a'), 0)).toBe(Outcome.Sent)
    expect(output.brief()).toEqual(['publish a'])
    expect(journal.takeLines()).toEqual([])
  })

  it('is dropped and counted while the client reads too slowly', () => {
    const { session, output } = durableSession()
    output.congested = true
    expect(deliver(session, delivery(0, 'a'), 0)).toBe(Outcome.Dropped)
    expect([output.dropped, output.all.length]).toEqual([1, 0])
  })

  it('is dropped and counted when it is too large for the client', () => {
    const { session, output } = durableSession()
    output.maximumPacketSize = 4
    expect(deliver(session, delivery(0, 'a'), 0)).toBe(Outcome.Dropped)
    expect(output.dropped).toBe(1)
  })

  it('does not wait for an offline session', () => {
    const { session } = durableSession()
    session.detach()
    expect(deliver(session, delivery(0, 'a'), 0)).toBe(Outcome.Dropped)
    expect(session.queuedMessages).toBe(0)
  })

  it('waits for an offline session where the broker is set to it, in order with the others', () => {
    const { session, output, journal } = durableSession({ queueQoS0: true })
    session.detach()
    expect(deliver(session, delivery(0, 'a'), 0)).toBe(Outcome.Queued)
    deliver(session, delivery(1, 'b'), 0)
    session.attach(output, 10)
    sendQueued(session, 0, noCommit)
    expect(output.brief()).toEqual(['publish a', 'publish 1 b'])
    expect(journal.takeLines()).toEqual(['enqueue 1 0', 'enqueue 2 0', 'dequeue 1', 'assign 2 1'])
  })
})

describe('a message of QoS 1', () => {
  it('is journalled and sent at once', () => {
    const { session, output, journal } = durableSession()
    expect(deliver(session, delivery(1, 'a'), 0)).toBe(Outcome.Sent)
    expect(output.brief()).toEqual(['publish 1 a'])
    expect(journal.takeLines()).toEqual(['enqueue 1 1'])
    expect(session.inflight?.state(1)).toBe(InflightState.Puback)
  })

  it('gets another identifier each time', () => {
    const { session, output } = durableSession()
    for (const topic of ['a', 'b', 'c']) deliver(session, delivery(1, topic), 0)
    expect(output.brief()).toEqual(['publish 1 a', 'publish 2 b', 'publish 3 c'])
  })

  it('waits while the window is full, and leaves in the order of its arrival', () => {
    const { session, output, journal } = durableSession({ window: 2 })
    const outcomes = ['a', 'b', 'c', 'd', 'e'].map((topic) => deliver(session, delivery(1, topic), 0))
    expect(outcomes).toEqual([Outcome.Sent, Outcome.Sent, Outcome.Queued, Outcome.Queued, Outcome.Queued])
    expect(output.brief()).toEqual(['publish 1 a', 'publish 2 b'])
    receivePuback(session, 2)
    sendQueued(session, 0, noCommit)
    expect(output.brief()).toEqual(['publish 3 c'])
    receivePuback(session, 1)
    receivePuback(session, 3)
    sendQueued(session, 0, noCommit)
    expect(output.brief()).toEqual(['publish 4 d', 'publish 5 e'])
    expect(journal.takeLines().slice(-4)).toEqual(['dequeue 1', 'dequeue 3', 'assign 4 4', 'assign 5 5'])
  })

  it('does not overtake what waits, even when the window has room', () => {
    const { session, output } = durableSession({ window: 1 })
    deliver(session, delivery(1, 'a'), 0)
    deliver(session, delivery(1, 'b'), 0)
    receivePuback(session, 1)
    expect(deliver(session, delivery(1, 'c'), 0)).toBe(Outcome.Queued)
    sendQueued(session, 0, noCommit)
    expect(output.brief()).toEqual(['publish 1 a', 'publish 2 b'])
  })

  it.each<[string, (parts: Parts) => void]>([
    ['the session is offline', ({ session }) => session.detach()],
    ['the client reads too slowly', ({ output }) => void (output.congested = true)],
    ['the store holds a queue that is not read yet', ({ session }) => void (session.unread = true)],
  ])('waits while %s', (_, hinder) => {
    const parts = durableSession()
    hinder(parts)
    expect(deliver(parts.session, delivery(1, 'a'), 0)).toBe(Outcome.Queued)
    expect(parts.output.all.length).toBe(0)
    expect(parts.journal.takeLines()).toEqual(['enqueue 1 0'])
  })

  it('takes the smaller of the client’s window and the broker’s', () => {
    expect(durableSession({ window: 3, maximumInflight: 7 }).session.window).toBe(3)
    expect(durableSession({ window: 9, maximumInflight: 7 }).session.window).toBe(7)
  })

  it('that is too large for the client counts as delivered and frees its identifier [MQTT-3.1.2-25]', () => {
    const { session, output, journal } = durableSession()
    output.maximumPacketSize = 20
    expect(deliver(session, delivery(1, 'a', { payload: 'x'.repeat(20) }), 0)).toBe(Outcome.Dropped)
    expect([output.dropped, output.all.length, session.inflightCount, journal.kept.size]).toEqual([1, 0, 0, 0])
    expect(deliver(session, delivery(1, 'b'), 0)).toBe(Outcome.Sent)
  })

  it('carries its flags, its Subscription Identifiers and the seconds that are left', () => {
    const { session, output } = durableSession({ version: 5 })
    deliver(session, delivery(1, 'a', { retain: true, subscriptionIdentifiers: [7, 300], expiresAt: 9001 }), 4000)
    expect(output.packets()).toMatchObject([
      { retain: true, dup: false, qos: 1, properties: { subscriptionIdentifier: [7, 300], messageExpiryInterval: 6 } },
    ])
  })
})

describe('a message of QoS 2', () => {
  it('of a session that ends with its connection is sent at once', () => {
    const { session, output } = transientSession()
    expect(deliver(session, delivery(2, 'a'), 0)).toBe(Outcome.Sent)
    expect(output.brief()).toEqual(['publish 1 a'])
    expect(session.inflight?.state(1)).toBe(InflightState.Pubrec)
  })

  it('of a durable session is sent once its identifier is committed', () => {
    const { session, output, journal } = durableSession()
    expect(deliver(session, delivery(2, 'a'), 0)).toBe(Outcome.AwaitsCommit)
    expect(journal.takeLines()).toEqual(['enqueue 1 1'])
    expect(output.all.length).toBe(0)
    sendCommitted(session, 1, 0)
    expect(output.brief()).toEqual(['publish 1 a'])
    sendCommitted(session, 1, 0)
    expect(output.brief()).toEqual([])
  })

  it('takes its place in the window while it waits for its commit', () => {
    const { session } = durableSession({ window: 1 })
    deliver(session, delivery(2, 'a'), 0)
    expect(deliver(session, delivery(2, 'b'), 0)).toBe(Outcome.Queued)
  })

  it('whose commit failed is taken back, and was never sent', () => {
    const { session, output } = durableSession({ window: 1 })
    deliver(session, delivery(2, 'a'), 0)
    revoke(session, 1)
    sendCommitted(session, 1, 0)
    expect([output.all.length, session.inflightCount]).toEqual([0, 0])
    expect(deliver(session, delivery(1, 'b'), 0)).toBe(Outcome.Sent)
  })

  it('that is sent already is not taken back', () => {
    const { session } = durableSession()
    deliver(session, delivery(2, 'a'), 0)
    sendCommitted(session, 1, 0)
    revoke(session, 1)
    expect(session.inflight?.state(1)).toBe(InflightState.Pubrec)
  })

  it('from the queue waits for the commit of its identifier too', () => {
    const { session, output, journal } = durableSession()
    session.detach()
    deliver(session, delivery(2, 'a'), 0)
    deliver(session, delivery(1, 'b'), 0)
    session.attach(output, 10)
    const waiting: number[] = []
    sendQueued(session, 0, (_, identifier) => waiting.push(identifier))
    expect(output.brief()).toEqual(['publish 2 b'])
    expect(waiting).toEqual([1])
    expect(journal.takeLines()).toEqual(['enqueue 1 0', 'enqueue 2 0', 'assign 1 1', 'assign 2 2'])
    sendCommitted(session, 1, 0)
    expect(output.brief()).toEqual(['publish 1 a'])
  })
})

describe('a queue', () => {
  it('loses what has expired while it waited', () => {
    const { session, output, journal } = durableSession({ version: 5 })
    session.detach()
    deliver(session, delivery(1, 'late', { expiresAt: 1000 }), 0)
    deliver(session, delivery(1, 'good', { expiresAt: 1001 }), 0)
    session.attach(output, 10)
    sendQueued(session, 1000, noCommit)
    expect(output.packets()).toMatchObject([{ topic: 'good', properties: { messageExpiryInterval: 1 } }])
    expect(session.droppedMessages).toBe(1)
    expect([...journal.kept.keys()]).toEqual([2])
  })

  it('stops where the client begins to read too slowly, and goes on afterwards', () => {
    const { session, output } = durableSession()
    session.detach()
    for (const topic of ['a', 'b', 'c']) deliver(session, delivery(1, topic), 0)
    session.attach(output, 10)
    output.congested = true
    sendQueued(session, 0, noCommit)
    expect(output.brief()).toEqual([])
    output.congested = false
    sendQueued(session, 0, noCommit)
    expect(output.brief()).toEqual(['publish 1 a', 'publish 2 b', 'publish 3 c'])
  })

  it('goes past a message that is too large for the client', () => {
    const { session, output, journal } = durableSession()
    session.detach()
    deliver(session, delivery(1, 'a', { payload: 'x'.repeat(50) }), 0)
    deliver(session, delivery(1, 'b'), 0)
    session.attach(output, 1)
    output.maximumPacketSize = 30
    sendQueued(session, 0, noCommit)
    expect(output.brief()).toEqual(['publish 2 b'])
    expect([...journal.kept.keys()]).toEqual([2])
  })
})

describe('Topic Aliases', () => {
  it('stand for a name once it was sent along', () => {
    const { session, output } = durableSession({ version: 5 })
    output.dialect = Dialect.V5Aliased
    session.outgoingAliases = new OutgoingAliases(1)
    for (let n = 0; n < 4; n++) deliver(session, delivery(0, 'a'), 0)
    const seen = output
      .packets()
      .map((packet) => [(packet as IPublishPacket).topic, (packet as IPublishPacket).properties?.topicAlias])
    expect(seen).toEqual([
      ['a', 1],
      ['', 1],
      ['', 1],
      ['', 1],
    ])
  })

  it('are introduced again when the packet that introduced one was too large to be sent', () => {
    const { session, output } = durableSession({ version: 5 })
    output.dialect = Dialect.V5Aliased
    output.maximumPacketSize = 20
    session.outgoingAliases = new OutgoingAliases(1)
    deliver(session, delivery(0, 'a', { payload: 'x'.repeat(50) }), 0)
    deliver(session, delivery(0, 'a'), 0)
    expect(output.packets()).toMatchObject([{ topic: 'a', properties: { topicAlias: 1 } }])
  })
})

describe('forward', () => {
  const whole = raw(0x3b, string('a/b'), 0, 77, Buffer.from('payload'))
  const frame = new Frame()
  const packet = new PublishPacket()
  readFrame(frame, whole, 0, whole.length, 1000, true)
  readPublish(packet, whole, frame, 4, false)

  it('copies the packet with an identifier of the session and flags of its own', () => {
    const { session, output } = transientSession()
    expect(forward(session, packet, Dialect.V3, 1)).toBe(true)
    expect(output.all).toEqual(bytes(raw(0x32, string('a/b'), 0, 1, Buffer.from('payload'))))
    expect(session.inflight?.state(1)).toBe(InflightState.Puback)
  })

  it.each<[string, (parts: Parts) => void]>([
    ['is offline', ({ session }) => session.detach()],
    ['speaks another version', ({ output }) => void (output.dialect = Dialect.V5)],
    ['is durable', ({ session, journal }) => void (session.journal = journal)],
    ['reads too slowly', ({ output }) => void (output.congested = true)],
    ['has its window full', ({ session }) => void (session.window = 0)],
    ['has messages waiting', ({ session }) => [session.detach(), deliver(session, delivery(1, 'a'), 0)]],
  ])('does nothing where the client %s', (_, hinder) => {
    const parts = transientSession()
    hinder(parts)
    if (parts.session.output === null && parts.session.queuedMessages > 0) parts.session.attach(parts.output, 10)
    expect(forward(parts.session, packet, Dialect.V3, 1)).toBe(false)
    expect([parts.output.all.length, parts.session.inflightCount]).toEqual([0, 0])
  })

  it('drops what is too large for the client, and takes no identifier for it', () => {
    const { session, output } = transientSession()
    output.maximumPacketSize = whole.length - 1
    expect(forward(session, packet, Dialect.V3, 2)).toBe(true)
    expect([output.dropped, output.all.length, session.inflightCount]).toEqual([1, 0, 0])
  })
})

describe('what a client may not have of a shared group', () => {
  const origin = { filter: '$share/g/#' }

  /** A session that may have nothing, or everything, and what it refused. */
  function guarded(wanted: Parameters<typeof durableSession>[0] = {}) {
    const parts = durableSession(wanted)
    const refused: string[] = []
    const allowed = { now: false }
    parts.session.gate = () => allowed.now
    parts.session.refused = (_, { message }) => refused.push(message.topic)
    return { ...parts, refused, allowed }
  }

  it('is given away with its place in the store, and takes none of the window', () => {
    const { session, journal, refused } = guarded()
    deliver(session, delivery(0, 'QoS 0', { origin }), 0)
    deliver(session, delivery(1, 'QoS 1', { origin }), 0)
    expect(deliver(session, delivery(2, 'QoS 2', { origin }), 0)).toBe(Outcome.AwaitsCommit)
    sendCommitted(session, session.inflight!.lastIdentifier, 0)
    expect(refused).toEqual(['QoS 0', 'QoS 1', 'QoS 2'])
    expect([session.inflightCount, journal.kept.size]).toEqual([0, 2])
  })

  it('is given away from the queue as well', () => {
    const { session, allowed, refused } = guarded({ window: 1 })
    allowed.now = true
    deliver(session, delivery(1, 'sent', { origin }), 0)
    for (const topic of ['shared', 'own']) deliver(session, delivery(1, topic, topic === 'own' ? {} : { origin }), 0)
    allowed.now = false
    session.window = 2
    sendQueued(session, 0, () => undefined)
    expect(refused).toEqual(['shared'])
    expect([session.inflightCount, session.queuedMessages]).toEqual([1, 0])
  })

  it("is nobody else's once it was sent with QoS 2 [MQTT-4.8.2-5]", () => {
    const { session, output, journal, allowed, refused } = guarded()
    allowed.now = true
    for (const qos of [1, 2] as const) deliver(session, delivery(qos, `QoS ${qos}`, { origin }), 0)
    sendCommitted(session, session.inflight!.lastIdentifier, 0)
    const { refused: take } = session
    session.detach()
    session.attach(output, 10)
    session.gate = () => false
    session.refused = take
    resend(session, 0)
    expect(refused).toEqual(['QoS 1'])
    expect([session.inflightCount, journal.kept.size]).toEqual([0, 1])
  })
})
