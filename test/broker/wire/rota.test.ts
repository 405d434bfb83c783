import { describe, expect, it } from 'vitest'
import { Background } from '../../../src/broker/wire/background'
import { Rota } from '../../../src/broker/wire/rota'
import { LOOK, Slice } from '../../../src/broker/wire/slice'
import { inSlices, type Steps } from '../../../src/broker/wire/sliced-work'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { nextTurn } from '../../support/slow-stream'

function start() {
  const clock = new SimulatedClock()
  const slice = new Slice(clock)
  return { clock, slice, rota: new Rota(slice, clock) }
}

describe('the time of a slice', () => {
  it('is looked at after so much effort, and is over after a millisecond', () => {
    const { clock, slice } = start()
    slice.begin()
    expect(slice.isOverAfter(LOOK)).toBe(false)
    clock.advance(1)
    expect(slice.isOverAfter(LOOK - 1)).toBe(false)
    expect(slice.isOverAfter(1)).toBe(true)
  })

  it('begins anew, effort included', () => {
    const { clock, slice } = start()
    slice.begin()
    slice.isOverAfter(LOOK - 1)
    clock.advance(5)
    slice.begin()
    expect(slice.isOverAfter(1)).toBe(false)
  })
})

describe('those that have more to do', () => {
  it('have their turns one after the other', async () => {
    const { rota } = start()
    const turns: string[] = []
    for (const name of ['a', 'b'])
      rota.add({
        takeTurn() {
          turns.push(name)
          if (turns.length < 5) rota.add(this)
        },
      })
    await expect.poll(() => rota.length).toBe(0)
    expect(turns.join('')).toBe('ababab')
  })

  it('have no more than two milliseconds of a turn of the event loop together', async () => {
    const { clock, rota } = start()
    let turns = 0
    for (let n = 0; n < 10; n++)
      rota.add({
        takeTurn() {
          turns++
          clock.advance(1)
        },
      })
    await nextTurn()
    expect([turns, rota.length]).toEqual([2, 8])
    await expect.poll(() => turns).toBe(10)
  })

  it('are left undone when the broker stops', async () => {
    const { rota } = start()
    let turns = 0
    const worker = { takeTurn: () => turns++ }
    rota.add(worker)
    rota.stop()
    rota.add(worker)
    await nextTurn()
    expect([turns, rota.length]).toEqual([0, 0])
  })
})

describe('steps that are done in slices', () => {
  it('wait for what they yield, and settle with what they return', async () => {
    const { rota } = start()
    function* steps(): Steps<string> {
      yield undefined
      const answer = yield Promise.resolve('yes')
      return `the answer is ${String(answer)}`
    }
    expect(await inSlices(rota, steps())).toBe('the answer is yes')
  })

  it('settle with what they throw, and with what an answer is rejected with', async () => {
    const { rota } = start()
    function* throwing(): Steps<void> {
      yield undefined
      throw new Error('malformed')
    }
    function* rejected(): Steps<void> {
      yield Promise.reject(new Error('the database is away'))
    }
    await expect(inSlices(rota, throwing())).rejects.toThrow('malformed')
    await expect(inSlices(rota, rejected())).rejects.toThrow('the database is away')
  })
})

it('what is done in the background has one slice at a time, each in its turn', async () => {
  const background = new Background(new Slice(new SimulatedClock()))
  const turns: string[] = []
  const client = async (name: string): Promise<void> => {
    for (let n = 0; n < 2; n++) {
      await background.turn()
      turns.push(name)
    }
  }
  await Promise.all([client('a'), client('b')])
  expect([turns.join(''), background.length]).toEqual(['abab', 0])
})
