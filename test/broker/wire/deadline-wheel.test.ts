import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Deadline, DeadlineWheel } from '../../../src/broker/wire/deadline-wheel'

class RecordedDeadline implements Deadline {
  slot = -1
  readonly calls: number[] = []
  dueAt: number
  onDue: (now: number) => void = () => undefined

  constructor(dueAt: number) {
    this.dueAt = dueAt
  }

  due(now: number): void {
    this.calls.push(now)
    this.onDue(now)
  }
}

/** A wheel whose clock the test moves. */
class SimulatedWheel {
  now: number
  readonly wheel: DeadlineWheel

  constructor(tickMs = 100, now = 0) {
    this.now = now
    this.wheel = new DeadlineWheel(tickMs, now)
  }

  placed(afterMs: number): RecordedDeadline {
    const deadline = new RecordedDeadline(this.now + afterMs)
    this.wheel.place(deadline)
    return deadline
  }

  /** Tick by tick, as a timer does it. */
  run(ms: number): void {
    const end = this.now + ms
    while (this.now < end) {
      this.now = Math.min(end, this.now + this.wheel.tickMs)
      this.wheel.advance(this.now)
    }
  }
}

describe('DeadlineWheel', () => {
  it.each([1, 99, 100, 101, 250, 5000, 51_100, 51_200, 51_300, 1_000_000])(
    'calls after %i ms, once, within a tick',
    (ms) => {
      const simulated = new SimulatedWheel()
      const deadline = simulated.placed(ms)
      simulated.run(ms - 1)
      expect(deadline.calls).toEqual([])
      simulated.run(101)
      expect(deadline.calls).toHaveLength(1)
      simulated.run(200_000)
      expect(deadline.calls).toHaveLength(1)
      expect(deadline.slot).toBe(-1)
    },
  )

  it('never calls what is not due, and never what was removed', () => {
    const simulated = new SimulatedWheel()
    const [never, removed] = [simulated.placed(Number.POSITIVE_INFINITY), simulated.placed(1000)]
    simulated.wheel.remove(removed)
    simulated.wheel.remove(removed)
    simulated.run(200_000)
    expect([never.calls, removed.calls]).toEqual([[], []])
  })

  it('does not look at all that are far ahead in the same tick, though all were placed at once', () => {
    const { wheel } = new SimulatedWheel()
    const deadlines = Array.from({ length: 25_600 }, () => new RecordedDeadline(1e9))
    for (const deadline of deadlines) wheel.place(deadline)
    const inSlot = new Map<number, number>()
    for (const { slot } of deadlines) inSlot.set(slot, (inSlot.get(slot) ?? 0) + 1)
    expect(Math.max(...inSlot.values())).toBe(100)
  })

  it('looks anew at a deadline that has moved back in the meantime', () => {
    const simulated = new SimulatedWheel()
    const deadline = simulated.placed(1000)
    simulated.run(900)
    deadline.dueAt = 3000
    simulated.run(2000)
    expect(deadline.calls).toEqual([])
    simulated.run(100)
    expect(deadline.calls).toEqual([3000])
  })

  it('calls earlier when it is placed again with a nearer time', () => {
    const simulated = new SimulatedWheel()
    const deadline = simulated.placed(10_000)
    deadline.dueAt = 500
    simulated.wheel.place(deadline)
    simulated.run(600)
    expect(deadline.calls).toHaveLength(1)
    simulated.run(20_000)
    expect(deadline.calls).toHaveLength(1)
  })

  it('calls in the next tick what is overdue when it is placed', () => {
    const simulated = new SimulatedWheel(100, 12_345)
    const deadline = simulated.placed(-5000)
    expect(deadline.calls).toEqual([])
    simulated.run(100)
    expect(deadline.calls).toHaveLength(1)
  })

  it('lets a deadline place itself again while it is called', () => {
    const simulated = new SimulatedWheel()
    const deadline = simulated.placed(100)
    deadline.onDue = (now) => {
      deadline.dueAt = now + 1000
      simulated.wheel.place(deadline)
    }
    simulated.run(5000)
    expect(deadline.calls).toEqual([100, 1100, 2100, 3100, 4100])
  })

  it('does not call one that another has removed in the same tick', () => {
    const simulated = new SimulatedWheel()
    const [first, second] = [simulated.placed(100), simulated.placed(100)]
    first.onDue = () => simulated.wheel.remove(second)
    simulated.run(1000)
    expect([first.calls.length, second.calls.length]).toEqual([1, 0])
  })

  it('calls everything once after the process has slept for long', () => {
    const simulated = new SimulatedWheel()
    const deadlines = [100, 5000, 51_100, 60_000, 3_600_000].map((ms) => simulated.placed(ms))
    const later = simulated.placed(8_000_000)
    simulated.wheel.advance(7_200_000)
    simulated.now = 7_200_000
    expect(deadlines.map(({ calls }) => calls)).toEqual(deadlines.map(() => [7_200_000]))
    expect(later.calls).toEqual([])
    simulated.run(800_100)
    expect(later.calls).toHaveLength(1)
  })

  it('calls each within a tick of its time, whatever is placed, moved and removed', () => {
    const act = fc.record({
      act: fc.constantFrom('place', 'place', 'later', 'nearer', 'remove', 'wait', 'wait'),
      which: fc.nat(),
      ms: fc.integer({ min: 1, max: 120_000 }),
    })
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        const simulated = new SimulatedWheel()
        const live: RecordedDeadline[] = []
        for (const { act, which, ms } of acts) {
          const one = live[which % Math.max(1, live.length)]
          if (act === 'place') live.push(simulated.placed(ms))
          else if (act === 'wait') simulated.run(ms)
          else if (one === undefined || one.calls.length > 0) continue
          else if (act === 'later') one.dueAt += ms
          else if (act === 'nearer') {
            one.dueAt = Math.max(simulated.now, one.dueAt - ms)
            simulated.wheel.place(one)
          } else {
            simulated.wheel.remove(one)
            one.dueAt = Number.POSITIVE_INFINITY
          }
          for (const { calls, dueAt } of live) {
            if (calls.length === 0) expect(dueAt).toBeGreaterThan(simulated.now - 101)
            else expect(calls).toEqual([expect.any(Number)])
          }
        }
        simulated.run(40 * 120_000)
        for (const { calls, dueAt } of live) {
          if (dueAt === Number.POSITIVE_INFINITY) expect(calls).toEqual([])
          else {
            expect(calls).toHaveLength(1)
            expect(calls[0]).toBeGreaterThanOrEqual(dueAt)
            expect(calls[0]! - dueAt).toBeLessThanOrEqual(200)
          }
        }
      }),
      { numRuns: 50 },
    )
  })
})

it('lets others have their turn where many are due together, and leaves none out', () => {
  const wheel = new DeadlineWheel(100, 0)
  const due: number[] = []
  const deadlines = Array.from({ length: 10 }, (_, n) => ({ dueAt: 100, slot: -1, due: () => void due.push(n) }))
  for (const deadline of deadlines) wheel.place(deadline)
  let left = 3
  const isOver = () => --left === 0
  expect(wheel.advance(150, isOver)).toBe(false)
  expect(due).toEqual([0, 1, 2])
  // one is taken away, and one is put off meanwhile
  wheel.remove(deadlines[3]!)
  deadlines[4]!.dueAt = 500
  wheel.place(deadlines[4]!)
  left = 4
  expect(wheel.advance(250, isOver)).toBe(false)
  expect(wheel.advance(250)).toBe(true)
  expect(due).toEqual([0, 1, 2, 5, 6, 7, 8, 9])
  expect(wheel.advance(600)).toBe(true)
  expect(due.at(-1)).toBe(4)
})
