import { describe, expect, it } from 'vitest'
import { HalfOpen } from '../../../src/broker/wire/half-open'

function start(maximumHalfOpenConnections = 10, maximumHalfOpenConnectionsPerAddress = 8) {
  const halfOpen = new HalfOpen({ maximumHalfOpenConnections, maximumHalfOpenConnectionsPerAddress })
  const dropped: string[] = []
  const tokens = new Map<string, object>()
  const enter = (name: string, address: string | undefined, places?: number): boolean => {
    const token = {}
    tokens.set(name, token)
    return halfOpen.enter(token, address, ({ code }) => dropped.push(`${name} ${code}`), places)
  }
  const many = (count: number, address: string): void => {
    for (let n = 0; n < count; n++) enter(`${address} ${n}`, address)
  }
  return { halfOpen, dropped, enter, many, leave: (name: string) => halfOpen.leave(tokens.get(name)!) }
}

describe('half-open connections', () => {
  it('of one address are as many as it may have: the oldest gives way to a newer one', () => {
    const { dropped, enter, halfOpen, many } = start()
    many(8, '192.0.2.1')
    expect(enter('late', '192.0.2.1')).toBe(true)
    expect([halfOpen.size, ...dropped]).toEqual([8, '192.0.2.1 0 GNATMQ_SERVER_BUSY'])
    expect(enter('other', '192.0.2.2')).toBe(true)
    expect(dropped.length).toBe(1)
  })

  it('of one /64 network count together', () => {
    const { dropped, enter } = start()
    for (let n = 0; n < 9; n++) enter(`peer ${n}`, `2001:db8::${n}`)
    expect(dropped).toEqual(['peer 0 GNATMQ_SERVER_BUSY'])
  })

  it('make room again when they are accepted or go', () => {
    const { dropped, enter, halfOpen, leave, many } = start()
    many(8, '192.0.2.1')
    leave('192.0.2.1 3')
    leave('192.0.2.1 3')
    enter('next', '192.0.2.1')
    expect([halfOpen.size, ...dropped]).toEqual([8])
  })

  it('of the address that has the most give way to those of others, the oldest first', () => {
    const { dropped, enter, many } = start()
    many(8, '192.0.2.1')
    many(2, '192.0.2.2')
    expect(enter('honest', '192.0.2.3')).toBe(true)
    expect(enter('second', '192.0.2.3')).toBe(true)
    expect(dropped).toEqual(['192.0.2.1 0 GNATMQ_SERVER_BUSY', '192.0.2.1 1 GNATMQ_SERVER_BUSY'])
  })

  it('of an address that would have as many as any other give way to its own', () => {
    const { dropped, enter, many } = start(10, 10)
    many(5, '192.0.2.1')
    many(5, '192.0.2.2')
    expect(enter('late', '192.0.2.1')).toBe(true)
    expect(dropped).toEqual(['192.0.2.1 0 GNATMQ_SERVER_BUSY'])
  })

  it('of as many addresses as there are places give way to one of another, the oldest first', () => {
    const { dropped, enter } = start()
    for (let n = 0; n < 10; n++) enter(`peer ${n}`, `192.0.2.${n}`)
    expect([enter('late', '192.0.2.10'), enter('later', '192.0.2.11')]).toEqual([true, true])
    expect(dropped).toEqual(['peer 0 GNATMQ_SERVER_BUSY', 'peer 1 GNATMQ_SERVER_BUSY'])
  })

  it('are refused where they need more places than there are, and push nobody out', () => {
    const { dropped, enter, many } = start(10, 3)
    many(3, '192.0.2.1')
    expect([enter('handshake', '192.0.2.1', 4), enter('another', '192.0.2.2', 4)]).toEqual([false, false])
    expect(dropped).toEqual(['handshake GNATMQ_SERVER_BUSY', 'another GNATMQ_SERVER_BUSY'])
  })

  it('make room by several where one takes several places', () => {
    const { dropped, enter, many } = start()
    many(8, '192.0.2.1')
    expect(enter('handshake', '192.0.2.2', 4)).toBe(true)
    expect(dropped).toEqual(['192.0.2.1 0 GNATMQ_SERVER_BUSY', '192.0.2.1 1 GNATMQ_SERVER_BUSY'])
    expect(enter('another', '192.0.2.3', 4)).toBe(false)
  })

  it('without an address are not counted', () => {
    const { enter, halfOpen } = start(1, 1)
    expect([enter('a', undefined), enter('b', undefined), halfOpen.size]).toEqual([true, true, 0])
  })

  it('are forgotten with their addresses', () => {
    const { enter, halfOpen, leave } = start(4, 4)
    for (let n = 0; n < 1000; n++) {
      expect(enter('peer', `198.51.100.${n % 250}`)).toBe(true)
      leave('peer')
    }
    expect(halfOpen.size).toBe(0)
  })
})
