import { expect, it } from 'vitest'
import { Cost } from '../../src/memory/cost'
import { Budget } from '../../src/memory/memory-budget'
import { IncomingAliases } from '../../src/session/incoming-aliases'

const topic = (length: number): Uint8Array => new Uint8Array(length)

it('counts topics by their aliases, once each, until the connection is over', () => {
  const budget = new Budget()
  const aliases = new IncomingAliases(budget)
  const first = topic(1000)
  expect([aliases.set(1, first), aliases.set(1, first), aliases.set(2, topic(500))]).toEqual([true, true, true])
  expect([aliases.get(1), budget.used]).toEqual([first, 1500 + 2 * (Cost.alias + Cost.buffer)])
  aliases.set(1, topic(10))
  expect(budget.used).toBe(510 + 2 * Cost.alias + Cost.bytes + Cost.buffer)
  aliases.release()
  expect([budget.used, aliases.get(1)]).toEqual([0, undefined])
})

it('allows for a little where others have used the memory up, and for a share of it otherwise', () => {
  const budget = new Budget(100_000, 10_000)
  const aliases = new IncomingAliases(budget)
  expect([aliases.set(1, topic(9000)), aliases.set(2, topic(9000))]).toEqual([true, false])
  budget.add(100_000)
  const late = new IncomingAliases(budget)
  expect([late.set(1, topic(3000)), late.set(2, topic(3000)), late.set(1, topic(2000))]).toEqual([true, false, true])
})
