import { describe, expect, it } from 'vitest'
import {
  PubrecOutcome,
  receivePuback,
  receivePubcomp,
  receivePubrec,
  releaseCommitted,
} from '../../src/session/acknowledger'
import { deliver, sendCommitted } from '../../src/session/sender'
import { Session } from '../../src/session/session'
import { delivery, durableSession, type Parts, roomy, transientSession } from './session-under-test'

/** Sessions in which Packet Identifier 1 stands where its name says. */
const stages: Record<string, () => Parts> = {
  'nothing sent': () => durableSession(),
  'QoS 1 sent': () => {
    const parts = durableSession()
    deliver(parts.session, delivery(1, 'a'), 0)
    return parts
  },
  'QoS 2 before its commit': () => {
    const parts = durableSession()
    deliver(parts.session, delivery(2, 'a'), 0)
    return parts
  },
  'QoS 2 sent': () => {
    const parts = stages['QoS 2 before its commit']!()
    sendCommitted(parts.session, 1, 0)
    return parts
  },
  'PUBREC before its commit': () => {
    const parts = stages['QoS 2 sent']!()
    receivePubrec(parts.session, 1, 0)
    return parts
  },
  'PUBREL sent': () => {
    const parts = stages['PUBREC before its commit']!()
    releaseCommitted(parts.session, 1)
    return parts
  },
}

const { Unknown, SendPubrel, AwaitsCommit, Finished } = PubrecOutcome

/** What each stage answers, and whether the message is still kept afterwards. */
describe.each<[string, { puback: boolean; pubrec: number; refused: number; pubcomp: boolean; released: boolean }]>([
  ['nothing sent', { puback: false, pubrec: Unknown, refused: Unknown, pubcomp: false, released: false }],
  ['QoS 1 sent', { puback: true, pubrec: Unknown, refused: Unknown, pubcomp: false, released: false }],
  ['QoS 2 before its commit', { puback: false, pubrec: Unknown, refused: Unknown, pubcomp: false, released: false }],
  ['QoS 2 sent', { puback: false, pubrec: AwaitsCommit, refused: Finished, pubcomp: false, released: false }],
  [
    'PUBREC before its commit',
    { puback: false, pubrec: AwaitsCommit, refused: AwaitsCommit, pubcomp: false, released: true },
  ],
  ['PUBREL sent', { puback: false, pubrec: SendPubrel, refused: Finished, pubcomp: true, released: false }],
])('with %s', (stage, wanted) => {
  const begin = (): Parts => stages[stage]!()
  const count = begin().session.inflightCount

  it(`PUBACK ${wanted.puback ? 'acknowledges it' : 'acknowledges nothing'}`, () => {
    const { session, journal } = begin()
    expect(receivePuback(session, 1)).toBe(wanted.puback)
    const left = wanted.puback ? 0 : count
    expect([session.inflightCount, journal.kept.size]).toEqual([left, left])
  })

  it('PUBREC', () => {
    const { session, journal } = begin()
    expect(receivePubrec(session, 1, 0)).toBe(wanted.pubrec)
    expect([session.inflightCount, journal.kept.size]).toEqual([count, count])
  })

  it('PUBREC with a Reason Code of 0x80 or above [MQTT-4.3.3-4]', () => {
    const { session, journal } = begin()
    expect(receivePubrec(session, 1, 0x80)).toBe(wanted.refused)
    const left = wanted.refused === Finished ? 0 : count
    expect([session.inflightCount, journal.kept.size]).toEqual([left, left])
  })

  it(`PUBCOMP ${wanted.pubcomp ? 'ends it' : 'ends nothing'}`, () => {
    const { session, journal } = begin()
    expect(receivePubcomp(session, 1)).toBe(wanted.pubcomp)
    const left = wanted.pubcomp ? 0 : count
    expect([session.inflightCount, journal.kept.size]).toEqual([left, left])
  })

  it(`the commit of a PUBREC ${wanted.released ? 'asks for PUBREL' : 'asks for nothing'}`, () => {
    expect(releaseCommitted(begin().session, 1)).toBe(wanted.released)
  })

  it.each([2, 17, 257, 65_535])(
    'an acknowledgement of identifier %i, which shares a place or a neighbourhood, touches nothing',
    (identifier) => {
      const { session, journal } = begin()
      expect(receivePuback(session, identifier)).toBe(false)
      expect(receivePubrec(session, identifier, 0)).toBe(Unknown)
      expect(receivePubcomp(session, identifier)).toBe(false)
      expect(releaseCommitted(session, identifier)).toBe(false)
      expect([session.inflightCount, journal.kept.size]).toEqual([count, count])
    },
  )
})

describe('a session that ends with its connection', () => {
  it('asks for PUBREL at once', () => {
    const { session } = transientSession()
    deliver(session, delivery(2, 'a'), 0)
    expect(receivePubrec(session, 1, 0)).toBe(SendPubrel)
    expect(receivePubrec(session, 1, 0)).toBe(SendPubrel)
    expect(receivePubcomp(session, 1)).toBe(true)
    expect(session.inflightCount).toBe(0)
  })
})

it('a session that has sent nothing knows no acknowledgement', () => {
  const session = new Session('client', roomy)
  expect(receivePuback(session, 1)).toBe(false)
  expect(receivePubrec(session, 1, 0)).toBe(Unknown)
  expect(receivePubcomp(session, 1)).toBe(false)
  expect(releaseCommitted(session, 1)).toBe(false)
})

it('what is acknowledged is told to the journal step by step', () => {
  const { session, journal } = stages['PUBREL sent']!()
  receivePubcomp(session, 1)
  expect(journal.takeLines()).toEqual(['enqueue 1 1', 'received 1', 'dequeue 1'])
})
