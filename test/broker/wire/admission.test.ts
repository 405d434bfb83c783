import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Admission } from '../../../src/broker/wire/admission'
import { HalfOpen } from '../../../src/broker/wire/half-open'
import { Turn } from '../../../src/broker/wire/turn'
import type { MqttError } from '../../../src/protocol/mqtt-error'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { nextTurn } from '../../support/slow-stream'

/** Milliseconds that the opening of one connection takes. */
const OPENING_MS = 0.1
/** The same with all that follows, as the admission reckons. */
const WHOLE_MS = 0.5

const PATIENCE_MS = 10_000

function start() {
  const clock = new SimulatedClock()
  const turn = new Turn()
  const loop = { idleMs: 0 }
  const halfOpen = new HalfOpen({ maximumHalfOpenConnections: 4000, maximumHalfOpenConnectionsPerAddress: 3000 })
  const admission = new Admission({ clock, turn, halfOpen, patienceMs: PATIENCE_MS, idleMs: () => loop.idleMs })
  const opened: number[] = []
  const events: string[] = []
  const arrive = (count: number): void => {
    const first = opened.length + admission.length
    for (let n = first; n < first + count; n++)
      admission.admit(() => {
        clock.advance(OPENING_MS)
        opened.push(n)
      })
  }
  /** A millisecond in which an established client speaks, and the loop waits for some of the time. */
  const busyMillisecond = async (idleMs = 0): Promise<void> => {
    turn.chunks++
    loop.idleMs += idleMs
    clock.advance(1)
    vi.advanceTimersByTime(1)
    await nextTurn()
  }
  /** A peer with a name and an address, which may go while it waits. */
  const arriveAs = (name: string, remoteAddress: string | undefined) => {
    const peer = {
      remoteAddress,
      isGone: false,
      drop: ({ code }: MqttError): void => void events.push(`${name} ${code}`),
    }
    const open = (): void => {
      if (!peer.isGone) clock.advance(OPENING_MS)
      events.push(peer.isGone ? `${name} closed` : name)
    }
    return { peer, admit: () => admission.admit(open, peer) }
  }
  return { clock, turn, halfOpen, admission, opened, events, arrive, arriveAs, busyMillisecond }
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
    clock.advance(450)
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
  // the milliseconds that it waits for are those of the test
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  /** What it took of the time, while established clients kept talking for so long. */
  async function taken(milliseconds: number, idleMs: number): Promise<number> {
    const { admission, opened, arrive, clock, busyMillisecond } = start()
    await busyMillisecond()
    arrive(2000)
    const before = { opened: opened.length, at: clock.now() }
    for (let n = 0; n < milliseconds; n++) await busyMillisecond(idleMs)
    const share = ((opened.length - before.opened) * WHOLE_MS) / (clock.now() - before.at)
    expect(admission.length).toBeGreaterThan(0)
    admission.flush()
    return share
  }

  it('gets an eighth of the time while established clients keep the loop busy', async () => {
    const share = await taken(400, 0)
    expect(share).toBeGreaterThan(0.1)
    expect(share).toBeLessThan(0.15)
  })

  it('gets a third of the time in which the loop would wait', async () => {
    const share = await taken(400, 0.8)
    expect(share).toBeGreaterThan(0.25)
    expect(share).toBeLessThan(0.35)
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

  it('is let in by batches again once the established clients have been silent for a while', async () => {
    const { admission, opened, arrive, clock, busyMillisecond } = start()
    await busyMillisecond()
    arrive(1000)
    for (let n = 0; n < 10; n++) await busyMillisecond()
    for (let n = 0; n < 11; n++) {
      clock.advance(1)
      vi.advanceTimersByTime(1)
      await nextTurn()
    }
    const before = opened.length
    for (let turns = 0; turns < 10; turns++) await nextTurn()
    expect(opened.length - before).toBeGreaterThanOrEqual(72)
    admission.flush()
  })
})

describe('a peer that waits', () => {
  it('and was reset before it was looked at is closed at once: it has no address to be counted by', () => {
    const { admission, arrive, arriveAs, events, halfOpen } = start()
    arrive(50)
    const { admit, peer } = arriveAs('reset', undefined)
    peer.isGone = true
    const before = admission.length
    admit()
    expect([admission.length - before, halfOpen.size, ...events]).toEqual([0, 0, 'reset closed'])
  })

  it('and has gone meanwhile is closed, and takes no turn', async () => {
    const { admission, arrive, arriveAs, events, halfOpen } = start()
    arrive(50)
    const peers = Array.from({ length: 60 }, (_, n) => arriveAs(`peer ${n}`, '192.0.2.1'))
    for (const { admit } of peers) admit()
    for (const { peer } of peers.slice(0, 59)) peer.isGone = true
    for (let turns = 0; events.length < 60; turns++) {
      expect(turns).toBeLessThan(3)
      await nextTurn()
    }
    expect(events).toEqual([...upTo(59).map((n) => `peer ${n} closed`), 'peer 59'])
    while (admission.length > 0) await nextTurn()
    expect(halfOpen.size).toBe(0)
  })

  it('for longer than it may is dropped, and takes no turn', async () => {
    const { arrive, arriveAs, clock, events } = start()
    arrive(50)
    for (let n = 0; n < 60; n++) arriveAs(`peer ${n}`, '192.0.2.1').admit()
    clock.advance(PATIENCE_MS + 1)
    arriveAs('late', '192.0.2.1').admit()
    for (let turns = 0; events.length < 61; turns++) {
      expect(turns).toBeLessThan(3)
      await nextTurn()
    }
    expect(events).toEqual([...upTo(60).map((n) => `peer ${n} GNATMQ_CONNECT_TIMEOUT`), 'late'])
  })

  it('goes before older ones of its address where those have waited for more than half a second', async () => {
    const { arrive, arriveAs, clock, events } = start()
    arrive(50)
    for (let n = 0; n < 60; n++) arriveAs(`peer ${n}`, '192.0.2.1').admit()
    clock.advance(501)
    arriveAs('late', '192.0.2.1').admit()
    while (events.length < 61) await nextTurn()
    expect(events.slice(0, 2)).toEqual(['late', 'peer 59'])
  })

  it('waits for no other where its address has had no turn yet', async () => {
    const { arriveAs, clock, events } = start()
    for (let n = 0; n < 3000; n++) arriveAs(`flood ${n}`, `192.0.2.${n % 200}`).admit()
    while (events.length < 300) await nextTurn()
    const before = events.length
    arriveAs('honest', '198.51.100.1').admit()
    clock.advance(1)
    while (!events.includes('honest')) await nextTurn()
    expect(events.indexOf('honest') - before).toBeLessThan(2)
  })
})
