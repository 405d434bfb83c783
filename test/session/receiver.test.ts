import { describe, expect, it } from 'vitest'
import { hold, isHeld, release } from '../../src/session/receiver'
import { durableSession, transientSession } from './session-under-test'

describe('a QoS 2 message from the client', () => {
  it('is held until it is released, and a repetition is known as one [MQTT-4.3.3-10]', () => {
    const { session, journal } = durableSession()
    expect(isHeld(session, 7)).toBe(false)
    expect(hold(session, 7)).toBe(true)
    expect(isHeld(session, 7)).toBe(true)
    expect(hold(session, 7)).toBe(false)
    expect(release(session, 7)).toBe(true)
    expect(isHeld(session, 7)).toBe(false)
    expect(release(session, 7)).toBe(false)
    expect(hold(session, 7)).toBe(true)
    expect(journal.takeLines()).toEqual(['hold 7', 'release 7', 'hold 7'])
  })

  it('is held across connections', () => {
    const { session, output } = durableSession()
    hold(session, 7)
    session.detach()
    session.attach(output, 10)
    expect(isHeld(session, 7)).toBe(true)
  })

  it('of a session that ends with its connection is held too', () => {
    const { session } = transientSession()
    expect(release(session, 65_535)).toBe(false)
    expect(hold(session, 65_535)).toBe(true)
    expect(hold(session, 65_535)).toBe(false)
    expect(release(session, 65_535)).toBe(true)
  })

  it('shares no identifier with what is sent to the client', () => {
    const { session } = durableSession()
    hold(session, 1)
    expect(session.inflightCount).toBe(0)
  })
})
