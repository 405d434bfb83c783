import { describe, expect, it } from 'vitest'
import { Admission } from '../../src/broker/admission'
import { Turn } from '../../src/broker/turn'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { nextTurn } from '../support/slow-stream'

/** Milliseconds that the opening of one connection takes. */
const OPENING_MS = 0.1
/** The same with all that follows, as the admission reckons. */
const WHOLE_MS = 0.5

function start() {
  const clock = new SimulatedClock()
  const turn = new Turn()
  const admission = new Admission(clock, turn)
  const opened: number[] = []
  const arrive = (count: number): void => {
    const first = opened.length + admission.length
    for (let n = first; n < first + count; n++)
      admission.admit(() => {
        clock.advance(OPENING_MS)
        opened.push(n)
      })
  }
  return { clock, turn, admission, opened, arrive }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

describe('a connection', () => {
  it('is opened at once when few come', () => {
    const { opened, arrive, clock } = start()
    for (let n = 0; n < 100; n++) {
      arrive(1)
      clock.advance(8 * WHOLE_MS)
    }
    expect(opened).toEqual(upTo(100))
  })

  it('waits for a later turn when many come at once, and keeps its place', async () => {
    const { admission, opened, arrive } = start()
    arrive(100)
    expect(opened.length).toBeLessThan(10)
    while (admission.length > 0) await nextTurn()
    expect(opened).toEqual(upTo(100))
  })

  it('that comes while others wait waits behind them', async () => {
    const { admission, opened, arrive, clock } = start()
    arrive(50)
    clock.advance(1000)
    arrive(1)
    expect(admission.length).toBeGreaterThan(1)
    while (admission.length > 0) await nextTurn()
    expect(opened).toEqual(upTo(51))
  })

  it('that waits is opened when the broker stops', () => {
    const { admission, opened, arrive } = start()
    arrive(100)
    admission.flush()
    expect([admission.length, opened]).toEqual([0, upTo(100)])
  })
})

describe('a storm of connections', () => {
  it('gets an eighth of the time while clients keep the loop busy', async () => {
    const { admission, opened, arrive, clock, turn } = start()
    arrive(1000)
    const before = opened.length
    const busyMs = 400
    for (let ms = 0; ms < busyMs; ms++) {
      turn.chunks++
      clock.advance(1)
      await nextTurn()
    }
    const took = (opened.length - before) * WHOLE_MS
    // the openings themselves take time too, and credit may be left over or used in advance
    expect(took / busyMs).toBeGreaterThan(0.11)
    expect(took / busyMs).toBeLessThan(0.15)
    expect(admission.length).toBeGreaterThan(0)
    admission.flush()
  })

  it('gets a batch in each turn while nobody else has anything to say', async () => {
    const { admission, opened, arrive } = start()
    arrive(1000)
    const before = opened.length
    for (let turns = 0; turns < 10; turns++) await nextTurn()
    expect(opened.length - before).toBeGreaterThanOrEqual(72)
    while (admission.length > 0) await nextTurn()
    expect(opened).toEqual(upTo(1000))
  })

  it('does not wait long for its turn once the clients fall silent', async () => {
    const { admission, opened, arrive, turn } = start()
    arrive(100)
    for (let turns = 0; turns < 10; turns++) {
      turn.chunks++
      await nextTurn()
    }
    const before = opened.length
    await nextTurn()
    await nextTurn()
    expect(opened.length - before).toBeGreaterThanOrEqual(8)
    admission.flush()
  })
})
