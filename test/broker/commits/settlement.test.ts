import { expect, it } from 'vitest'
import { Settlement } from '../../../src/broker/commits/settlement'
import { Step } from '../../../src/broker/commits/step'

const step = (): Step => new Step([], [], 0, null, false)

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

it('settles what a store answers for with one promise in slices, and in its order', async () => {
  const settled: Step[] = []
  const settlement = new Settlement((each) => settled.push(each))
  const steps = Array.from({ length: 5000 }, step)
  let answer!: () => void
  const promise = new Promise<void>((resolve) => {
    answer = resolve
  })
  for (const each of steps) settlement.add(each, promise)
  answer()
  let before = 0
  let turns = 0
  while (settled.length < steps.length) {
    await turn()
    expect(settled.length - before).toBeLessThanOrEqual(1024)
    before = settled.length
    expect(++turns).toBeLessThan(100)
  }
  expect(settled).toEqual(steps)
})

it('brings each answer to the steps that it is for, also where later ones come meanwhile', async () => {
  const told: { step: Step; isKept: boolean; error: unknown }[] = []
  const settlement = new Settlement((each, isKept, error) => told.push({ step: each, isKept, error }))
  const [first, second, third] = [step(), step(), step()] as const
  const error = new Error('full')
  const refused = Promise.reject(error)
  settlement.add(first, refused)
  settlement.add(second, refused)
  settlement.add(third, Promise.resolve())
  await turn()
  expect(told).toEqual([
    { step: first, isKept: false, error },
    { step: second, isKept: false, error },
    { step: third, isKept: true, error: undefined },
  ])
})

it('settles a step that comes with the promise of answered ones', async () => {
  const settled: Step[] = []
  const settlement = new Settlement((each) => settled.push(each))
  const promise = Promise.resolve()
  const [first, second] = [step(), step()] as const
  settlement.add(first, promise)
  await turn()
  settlement.add(second, promise)
  await turn()
  expect(settled).toEqual([first, second])
})
