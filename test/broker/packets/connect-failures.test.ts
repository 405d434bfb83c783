import { describe, expect, it } from 'vitest'
import { ConnectFailures } from '../../../src/broker/packets/connect-failures'
import type { Client } from '../../../src/ports/client'
import { SimulatedClock } from '../../../src/testing/simulated-clock'

const client = (remoteAddress: string | undefined, username = 'ada', clientId = 'c'): Client =>
  ({ remoteAddress, username, clientId }) as Client

describe('failures of an address', () => {
  it('bar it, by any way to write it, and are forgotten after a minute', () => {
    const clock = new SimulatedClock()
    const failures = new ConnectFailures(clock, 2)
    failures.begin(client('192.0.2.1'))
    expect(failures.isBarred('192.0.2.1')).toBe(false)
    failures.begin(client('::ffff:192.0.2.1'))
    expect(failures.isBarred('192.0.2.1')).toBe(true)
    expect(failures.isBarred('192.0.2.2')).toBe(false)
    clock.advance(60_000)
    expect(failures.isBarred('192.0.2.1')).toBe(false)
  })

  it('count from the beginning of the attempt, until it has turned out well', () => {
    const failures = new ConnectFailures(new SimulatedClock(), 1)
    const attempt = failures.begin(client('192.0.2.1'))
    expect(failures.isBarred('192.0.2.1')).toBe(true)
    failures.forgive(attempt)
    expect(failures.isBarred('192.0.2.1')).toBe(false)
  })

  it('of a minute that is over are not forgiven in the next', () => {
    const clock = new SimulatedClock()
    const failures = new ConnectFailures(clock, 1)
    const slow = failures.begin(client('192.0.2.1'))
    clock.advance(60_000)
    failures.begin(client('192.0.2.1'))
    failures.forgive(slow)
    expect(failures.isBarred('192.0.2.1')).toBe(true)
  })

  it('take no more memory than 65,536 addresses do', () => {
    const failures = new ConnectFailures(new SimulatedClock(), 1)
    for (let n = 0; n < 100_000; n++) failures.begin(client(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`))
    expect(failures.isBarred('10.0.0.0')).toBe(true)
    expect(failures.isBarred(`10.1.${(100_000 >> 8) & 255}.0`)).toBe(false)
  })

  it('are not counted for a peer without an address', () => {
    const failures = new ConnectFailures(new SimulatedClock(), 1)
    failures.begin(client(undefined))
    expect(failures.isBarred(undefined)).toBe(false)
  })
})

describe('a client that has given a right password', () => {
  function barred() {
    const clock = new SimulatedClock()
    const failures = new ConnectFailures(clock, 600)
    failures.remember(client('192.0.2.1'))
    for (let n = 0; n < 600; n++) failures.begin(client('192.0.2.1', 'guess', 'g'))
    return { clock, failures }
  }

  it('may try although its address is barred, and no other may', () => {
    const { failures } = barred()
    expect(failures.isExempt(client('192.0.2.1'))).toBe(true)
    const others = [client('192.0.2.2'), client('192.0.2.1', 'bob'), client('192.0.2.1', 'ada', 'd')]
    expect(others.map((one) => failures.isExempt(one))).toEqual([false, false, false])
  })

  it('may fail ten times a minute then', () => {
    const { clock, failures } = barred()
    for (let n = 0; n < 9; n++) failures.begin(client('192.0.2.1'))
    expect(failures.isExempt(client('192.0.2.1'))).toBe(true)
    failures.begin(client('192.0.2.1'))
    expect(failures.isExempt(client('192.0.2.1'))).toBe(false)
    clock.advance(60_000)
    expect(failures.isExempt(client('192.0.2.1'))).toBe(true)
  })

  it('is one of the last 65,536', () => {
    const failures = new ConnectFailures(new SimulatedClock(), 1)
    for (let n = 0; n <= 65_536; n++) failures.remember(client('192.0.2.1', 'ada', `c${n}`))
    expect(failures.isExempt(client('192.0.2.1', 'ada', 'c0'))).toBe(false)
    expect(failures.isExempt(client('192.0.2.1', 'ada', 'c1'))).toBe(true)
  })
})
