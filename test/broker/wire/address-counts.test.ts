import { describe, expect, it } from 'vitest'
import { AddressCounts } from '../../../src/broker/wire/address-counts'

describe('AddressCounts', () => {
  it('refuses the connection after the last that an address may have, and says how many it has', () => {
    const counts = new AddressCounts(2)
    for (let n = 0; n < 2; n++) {
      expect(counts.refusal('192.0.2.1')).toBeUndefined()
      counts.add('192.0.2.1')
    }
    expect(counts.refusal('192.0.2.1')).toMatchObject({
      code: 'GNATMQ_SERVER_BUSY',
      message: '192.0.2.1 has 2 connections, and more are not allowed',
    })
    expect(counts.refusal('192.0.2.2')).toBeUndefined()
  })

  it('lets in again as many as have gone', () => {
    const counts = new AddressCounts(2)
    for (let n = 0; n < 2; n++) counts.add('192.0.2.1')
    counts.remove('192.0.2.1')
    expect(counts.refusal('192.0.2.1')).toBeUndefined()
    counts.add('192.0.2.1')
    expect(counts.refusal('192.0.2.1')).toBeDefined()
    for (let n = 0; n < 2; n++) counts.remove('192.0.2.1')
    for (let n = 0; n < 2; n++) {
      expect(counts.refusal('192.0.2.1')).toBeUndefined()
      counts.add('192.0.2.1')
    }
    expect(counts.refusal('192.0.2.1')).toBeDefined()
  })

  it.each([
    ['192.0.2.1', '::ffff:192.0.2.1'],
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff::1'],
    ['/run/mqtt.sock', '/run/mqtt.sock'],
  ])('counts %s and %s as one', (one, other) => {
    const counts = new AddressCounts(1)
    counts.add(one)
    expect(counts.refusal(other)).toBeDefined()
    counts.remove(other)
    expect(counts.refusal(one)).toBeUndefined()
  })

  it.each([
    ['2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['192.0.2.1', '::1'],
  ])('counts %s and %s apart', (one, other) => {
    const counts = new AddressCounts(1)
    counts.add(one)
    expect(counts.refusal(other)).toBeUndefined()
  })

  it('does not count peers without an address', () => {
    const counts = new AddressCounts(1)
    for (let n = 0; n < 3; n++) counts.add(undefined)
    expect(counts.refusal(undefined)).toBeUndefined()
    for (let n = 0; n < 3; n++) counts.remove(undefined)
    expect(counts.refusal(undefined)).toBeUndefined()
  })

  it('refuses nobody where there is no maximum', () => {
    const counts = new AddressCounts(Number.POSITIVE_INFINITY)
    for (let n = 0; n < 1000; n++) counts.add('192.0.2.1')
    expect(counts.refusal('192.0.2.1')).toBeUndefined()
    counts.remove('192.0.2.1')
    expect(counts.refusal('192.0.2.1')).toBeUndefined()
  })
})
