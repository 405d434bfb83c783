import { describe, expect, it } from 'vitest'
import { DeadlineWheel } from '../../../src/broker/wire/deadline-wheel'
import { Meter } from '../../../src/broker/wire/meter'
import type { ClientLimits } from '../../../src/ports/client-limits'

const TICK_MS = 100

/** A client that sends as much as it may, or so many a second, and a wheel that comes round every 100 ms. */
class Sender {
  now = 0
  parked = 0
  sent = 0
  sentBytes = 0
  readonly wheel = new DeadlineWheel(TICK_MS, 0)
  readonly meter: Meter

  constructor(limits: ClientLimits) {
    this.meter = new Meter(
      { park: () => void this.parked++, unpark: () => void this.parked-- },
      { now: () => this.now },
      this.wheel,
    )
    this.meter.setLimits(limits)
  }

  /** For so many milliseconds: `atOnce` messages each millisecond, as long as it is not parked. `late` is what a busy loop adds to each tick. */
  run(ms: number, atOnce: number, bytes = 10, late = 0): void {
    const end = this.now + ms
    for (let nextTick = this.now + TICK_MS; this.now < end; this.now++) {
      for (let i = 0; i < atOnce && this.parked === 0; i++) {
        this.meter.count(bytes, this.now)
        this.sent++
        this.sentBytes += bytes
      }
      if (this.now < nextTick) continue
      this.wheel.advance(this.now)
      nextTick += TICK_MS + late
    }
  }
}

describe('a meter', () => {
  it.each([
    ['10 a second', 10],
    ['1,000 a second', 1000],
    ['50,000 a second', 50_000],
  ])('lets a flood through at its rate: %s', (_what, messagesPerSecond) => {
    const sender = new Sender({ messagesPerSecond })
    sender.run(2_000, 1_000)
    const { sent } = sender
    sender.run(30_000, 1_000)
    expect((sender.sent - sent) / 30 / messagesPerSecond).toBeCloseTo(1, 1)
    expect(Math.abs((sender.sent - sent) / 30 / messagesPerSecond - 1)).toBeLessThan(0.02)
  })

  it('keeps to the rate where the loop is late', () => {
    const sender = new Sender({ messagesPerSecond: 1000 })
    sender.run(2_000, 1_000, 10, 130)
    const { sent } = sender
    sender.run(30_000, 1_000, 10, 130)
    expect(Math.abs((sender.sent - sent) / 30_000 - 1)).toBeLessThan(0.02)
  })

  it.each([100, 100_000])('counts bytes, of messages of %d too', (bytes) => {
    const sender = new Sender({ bytesPerSecond: 20_000 })
    sender.run(2_000, 10, bytes)
    const { sentBytes } = sender
    sender.run(100_000, 10, bytes)
    expect(Math.abs((sender.sentBytes - sentBytes) / 2_000_000 - 1)).toBeLessThan(0.05)
  })

  it('holds nothing up of what keeps to its rate', () => {
    const sender = new Sender({ messagesPerSecond: 1050, bytesPerSecond: 10_500 })
    sender.run(20_000, 1)
    expect(sender.sent).toBe(20_000)
  })

  it('ends a client that is faster for longer than its tolerance, and no other', () => {
    const limits = { messagesPerSecond: 100, rateTolerance: 5 }
    const sender = new Sender(limits)
    sender.run(4_000, 1)
    expect(() => sender.run(2_000, 1)).toThrow(
      expect.objectContaining({ code: 'GNATMQ_MESSAGE_RATE', reasonCode: 0x96 }),
    )
    const breathing = new Sender(limits)
    for (let i = 0; i < 10; i++) {
      breathing.run(4_000, 1)
      breathing.run(1_000, 0)
    }
    expect(breathing.sent).toBeGreaterThan(3_000)
  })

  it('changes while a client is held up, and lets go where there is no rate any more', () => {
    const sender = new Sender({ messagesPerSecond: 0.01 })
    sender.run(100, 10)
    expect([sender.sent, sender.parked]).toEqual([1, 1])
    sender.run(1_000, 10)
    expect(sender.sent).toBe(1)
    sender.meter.setLimits({})
    sender.run(1_000, 10)
    expect(sender.parked).toBe(0)
    expect(sender.sent).toBeGreaterThan(5_000)
    sender.meter.setLimits({ messagesPerSecond: 10 })
    sender.run(10_000, 10)
    expect(sender.sent).toBeLessThan(10_200)
  })

  it('leaves the wheel with its connection', () => {
    const sender = new Sender({ messagesPerSecond: 1 })
    sender.run(10, 10)
    sender.meter.end()
    sender.now += 60_000
    sender.wheel.advance(sender.now)
    expect(sender.parked).toBe(1)
  })
})
