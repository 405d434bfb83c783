import { describe, expect, it } from 'vitest'
import { receivePuback, receivePubcomp, receivePubrec, releaseCommitted } from '../../src/session/acknowledger'
import { InflightAction } from '../../src/session/inflight-transitions'
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

/** The same of a session that ends with its connection: nothing waits for a commit. */
const transientStages: Record<string, () => Parts> = {
  'nothing sent': () => transientSession(),
  'QoS 1 sent': () => begun(1),
  'QoS 2 sent': () => begun(2),
  'PUBREL sent': () => {
    const parts = begun(2)
    receivePubrec(parts.session, 1, 0)
    return parts
  },
}

function begun(qos: 1 | 2): Parts {
  const parts = transientSession()
  deliver(parts.session, delivery(qos, 'a'), 0)
  return parts
}

type Packet = 'PUBACK' | 'PUBREC' | 'PUBREC with 0x80' | 'PUBCOMP'

const receive: Record<Packet, (session: Session, identifier: number) => number> = {
  PUBACK: receivePuback,
  PUBREC: (session, identifier) => receivePubrec(session, identifier, 0),
  'PUBREC with 0x80': (session, identifier) => receivePubrec(session, identifier, 0x80),
  PUBCOMP: receivePubcomp,
}

const { Ignored, Unknown, SendPubrel, AwaitsCommit, Finished, Violation } = InflightAction
const nameOf = (action: number): string =>
  Object.entries(InflightAction).find(([, value]) => value === action)?.[0] ?? `${action}`

type Row = readonly [stage: string, puback: number, pubrec: number, refusal: number, pubcomp: number]

const durableRows: readonly Row[] = [
  ['nothing sent', Ignored, Unknown, Ignored, Ignored],
  ['QoS 1 sent', Finished, Violation, Violation, Violation],
  ['QoS 2 before its commit', Ignored, Unknown, Ignored, Ignored],
  ['QoS 2 sent', Violation, AwaitsCommit, Finished, Violation],
  ['PUBREC before its commit', Violation, AwaitsCommit, Finished, Violation],
  ['PUBREL sent', Violation, SendPubrel, Finished, Finished],
]

const transientRows: readonly Row[] = [
  ['nothing sent', Ignored, Unknown, Ignored, Ignored],
  ['QoS 1 sent', Finished, Violation, Violation, Violation],
  ['QoS 2 sent', Violation, SendPubrel, Finished, Violation],
  ['PUBREL sent', Violation, SendPubrel, Finished, Finished],
]

describe.each([
  ['that outlives its connection', stages, durableRows],
  ['that ends with its connection', transientStages, transientRows],
] as const)('a session %s', (_kind, begin, rows) => {
  const pairs = rows.flatMap(([stage, puback, pubrec, refusal, pubcomp]): [Packet, string, number][] => [
    ['PUBACK', stage, puback],
    ['PUBREC', stage, pubrec],
    ['PUBREC with 0x80', stage, refusal],
    ['PUBCOMP', stage, pubcomp],
  ])

  it('is looked at in every state that it can have', () => {
    expect(Object.keys(begin)).toEqual(rows.map(([stage]) => stage))
  })

  it.each(pairs)('answers %s with %s as the table says', (packet, stage, action) => {
    const { session, journal } = begin[stage]!()
    const count = session.inflightCount
    expect(nameOf(receive[packet](session, 1))).toBe(nameOf(action))
    const left = action === Finished ? 0 : count
    expect(session.inflightCount).toBe(left)
    if (session.journal !== null) expect(journal.kept.size).toBe(left)
  })

  it.each(pairs.filter(([, , action]) => action === Violation || action === Ignored))(
    'stays where it is when %s comes with %s, and the right packet still ends it',
    (packet, stage) => {
      const { session } = begin[stage]!()
      receive[packet](session, 1)
      const right: Packet = stage === 'QoS 1 sent' ? 'PUBACK' : 'PUBCOMP'
      if (stage === 'QoS 1 sent' || stage === 'PUBREL sent') expect(receive[right](session, 1)).toBe(Finished)
      else if (stage === 'QoS 2 before its commit') {
        sendCommitted(session, 1, 0)
        expect(receivePubrec(session, 1, 0)).toBe(AwaitsCommit)
      } else if (stage === 'PUBREC before its commit') expect(releaseCommitted(session, 1)).toBe(true)
      else expect(receivePubrec(session, 1, 0)).toBe(begin === stages ? stagesAnswer(stage) : transientAnswer(stage))
    },
  )

  it.each(rows)('with %s takes the commit of a PUBREC only where one is open', (stage) => {
    expect(releaseCommitted(begin[stage]!().session, 1)).toBe(stage === 'PUBREC before its commit')
  })

  it.each(rows.flatMap(([stage]) => [2, 17, 257, 65_535].map((identifier) => [stage, identifier] as const)))(
    'with %s is not touched by what comes for identifier %i, which shares a place or a neighbourhood',
    (stage, identifier) => {
      const { session } = begin[stage]!()
      const count = session.inflightCount
      expect(receivePuback(session, identifier)).toBe(Ignored)
      expect(receivePubrec(session, identifier, 0)).toBe(Unknown)
      expect(receivePubrec(session, identifier, 0x80)).toBe(Ignored)
      expect(receivePubcomp(session, identifier)).toBe(Ignored)
      expect(releaseCommitted(session, identifier)).toBe(false)
      expect(session.inflightCount).toBe(count)
    },
  )
})

const stagesAnswer = (stage: string): number => (stage === 'nothing sent' ? Unknown : AwaitsCommit)
const transientAnswer = (stage: string): number => (stage === 'nothing sent' ? Unknown : SendPubrel)

it('a PUBREC whose commit comes too late, after the client has refused the message, asks for no PUBREL', () => {
  const { session } = stages['PUBREC before its commit']!()
  expect(receivePubrec(session, 1, 0x80)).toBe(Finished)
  expect(releaseCommitted(session, 1)).toBe(false)
})

it('a session that has sent nothing knows no acknowledgement', () => {
  const session = new Session('client', roomy)
  expect(receivePuback(session, 1)).toBe(Ignored)
  expect(receivePubrec(session, 1, 0)).toBe(Unknown)
  expect(receivePubcomp(session, 1)).toBe(Ignored)
  expect(releaseCommitted(session, 1)).toBe(false)
})

it('what is acknowledged is told to the journal step by step', () => {
  const { session, journal } = stages['PUBREL sent']!()
  receivePubcomp(session, 1)
  expect(journal.takeLines()).toEqual(['enqueue 1 1', 'received 1', 'dequeue 1'])
})
