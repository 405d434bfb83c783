import { expect, it } from 'vitest'
import { Budget, type BudgetName, divideMemory, partOf, usedMemory } from '../../src/memory/memory-budget'

const MEGABYTE = 1024 * 1024

it('divides no more than there is, and leaves a quarter to the program', () => {
  for (const memory of [16, 843, 100_000].map((size) => size * MEGABYTE)) {
    const budgets = Object.values(divideMemory(memory))
    const sum = budgets.reduce((all, { maximum }) => all + maximum, 0)
    expect(sum).toBeLessThan(memory * 0.75)
    for (const { maximum, share } of budgets) expect([share > 0, share <= maximum]).toEqual([true, true])
  }
})

it('is widened by an option of a budget, never narrowed', () => {
  const memory = divideMemory(100 * MEGABYTE, { retained: 500 * MEGABYTE, queues: 1000 })
  expect([memory.retained.maximum, memory.retained.share]).toEqual([500 * MEGABYTE, 500 * MEGABYTE])
  expect(memory.queues.maximum).toBe(partOf(100 * MEGABYTE, 'queues'))
})

it('has no bound where it is Infinity', () => {
  for (const { maximum, share } of Object.values(divideMemory(Number.POSITIVE_INFINITY)))
    expect([maximum, share]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY])
})

it('admits up to the maximum of all and the share of one', () => {
  const budget = new Budget(100, 40)
  expect([budget.admits(40, 0), budget.admits(41, 0), budget.admits(10, 31)]).toEqual([true, false, false])
  budget.add(70)
  expect([budget.admits(30, 0), budget.admits(31, 0)]).toEqual([true, false])
})

it('adds up what is used', () => {
  const memory = divideMemory(MEGABYTE)
  for (const [n, name] of (Object.keys(memory) as BudgetName[]).entries()) memory[name].add(2 ** n)
  expect(usedMemory(memory)).toBe(2 ** Object.keys(memory).length - 1)
})
