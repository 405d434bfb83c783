import { describe, expect, it } from 'vitest'
import { Turn, type TurnMember } from '../../../src/broker/wire/turn'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { nextTurn } from '../../support/slow-stream'

function start() {
  const clock = new SimulatedClock()
  const turn = new Turn(Number.POSITIVE_INFINITY, undefined, clock)
  const written: number[] = []
  /** An outbox whose write takes so many milliseconds. */
  const outbox = (n: number, ms = 0): TurnMember => ({
    runEnd: -1,
    settleRun: () => undefined,
    relieve: () => undefined,
    flush: () => {
      written.push(n)
      clock.advance(ms)
    },
  })
  return { clock, outbox, turn, written }
}

describe('the writes of a turn', () => {
  it('are all that were marked, once each, in their order', async () => {
    const { outbox, turn, written } = start()
    for (let n = 0; n < 200; n++) turn.mark(outbox(n))
    await nextTurn()
    expect(written).toEqual(Array.from({ length: 200 }, (_, n) => n))
    await nextTurn()
    expect(written).toHaveLength(200)
  })

  it('go on in the next turn where they take long, before what was marked meanwhile', async () => {
    const { outbox, turn, written } = start()
    for (let n = 0; n < 1000; n++) turn.mark(outbox(n, 0.1))
    await nextTurn()
    const first = written.length
    expect(first).toBeLessThan(1000)
    turn.mark(outbox(1000))
    await expect.poll(() => written.length).toBe(1001)
    expect(written).toEqual(Array.from({ length: 1001 }, (_, n) => n))
  })
})

describe('the writes of a walk that others have interrupted', () => {
  it('wait for its end, and those of others do not', async () => {
    const { outbox, turn, written } = start()
    turn.mark(outbox(1))
    const { marked } = turn
    turn.mark(outbox(2))
    turn.hold(marked)
    let turns = 0
    turn.rota.add({
      takeTurn() {
        if (++turns < 3) turn.rota.add(this)
        else expect(written).toEqual([1])
      },
    })
    await expect.poll(() => written).toEqual([1, 2])
    expect(turns).toBe(3)
  })

  it('wait no longer than four milliseconds', async () => {
    const { clock, outbox, turn, written } = start()
    turn.mark(outbox(1))
    turn.hold(0)
    let isOver = false
    turn.rota.add({
      takeTurn() {
        clock.advance(1)
        if (!isOver) turn.rota.add(this)
      },
    })
    await expect.poll(() => written).toEqual([1])
    isOver = true
  })
})
