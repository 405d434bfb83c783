import { describe, expect, it } from 'vitest'
import { type SessionEvent, SessionState, sessionTable } from '../../src/session/session-state'
import { durableSession } from './session-under-test'

type StateName = keyof typeof SessionState

const next: readonly (readonly [StateName, SessionEvent, StateName | 'never'])[] = [
  ['Connected', 'resume', 'never'],
  ['Connected', 'suspend', 'Absent'],
  ['Connected', 'close', 'Closing'],
  ['Connected', 'end', 'Ended'],
  ['Absent', 'resume', 'Connected'],
  ['Absent', 'suspend', 'never'],
  ['Absent', 'close', 'Closing'],
  ['Absent', 'end', 'Ended'],
  ['Closing', 'resume', 'never'],
  ['Closing', 'suspend', 'never'],
  ['Closing', 'close', 'never'],
  ['Closing', 'end', 'Ended'],
  ['Ended', 'resume', 'never'],
  ['Ended', 'suspend', 'never'],
  ['Ended', 'close', 'Ended'],
  ['Ended', 'end', 'never'],
]

describe('the state of a session', () => {
  it.each(next)('%s, on %s: %s', (state, event, after) => {
    expect(sessionTable[SessionState[state]][event]).toBe(after === 'never' ? null : SessionState[after])
  })

  it('has a row for every pair of state and event', () => {
    const pairs = Object.values(sessionTable).flatMap((events) => Object.keys(events))
    expect(next).toHaveLength(pairs.length)
    expect(new Set(next.map(([state, event]) => `${state} ${event}`)).size).toBe(pairs.length)
  })

  it('refuses an event that cannot come in it', () => {
    const { session } = durableSession()
    expect(() => session.advance('resume')).toThrow('no event resume')
    session.advance('suspend')
    session.advance('end')
    expect(session.ended).toBe(true)
    expect(() => session.advance('suspend')).toThrow('no event suspend')
  })
})
