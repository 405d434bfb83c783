import type { Clock } from '../ports/clock'

interface Timer {
  at: number
  /** 0 for a timer that runs once. */
  readonly every: number
  readonly run: () => void
}

/**
 * A clock that changes only when a test advances it: `new MqttBroker({ clock })`, then `clock.advance(90_000)`.
 * Times are milliseconds.
 */
export class SimulatedClock implements Clock {
  private readonly timers = new Set<Timer>()
  private elapsed = 0
  private readonly origin: number

  /** `wallTime` is where the calendar begins, in milliseconds since 1970. Default: 2020-01-01. */
  constructor(wallTime: number = Date.UTC(2020, 0, 1)) {
    this.origin = wallTime
  }

  now(): number {
    return this.elapsed
  }

  wallTime(): number {
    return this.origin + this.elapsed
  }

  every(ms: number, tick: () => void): () => void {
    return this.add({ at: this.elapsed + atLeastOne(ms), every: atLeastOne(ms), run: tick })
  }

  after(ms: number, run: () => void): () => void {
    return this.add({ at: this.elapsed + Math.max(0, ms), every: 0, run })
  }

  /** How many timers are set. */
  get pending(): number {
    return this.timers.size
  }

  /**
   * Moves time forward and calls what falls due on the way, each at its own moment and in order, before it returns. What
   * the calls leave to promises or to sockets happens afterwards, as always: wait for its effect.
   */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`time runs forward: advance() takes 0 or more milliseconds, not ${ms}`)
    const end = this.elapsed + ms
    for (let timer = this.earliest(); timer !== undefined && timer.at <= end; timer = this.earliest()) {
      this.elapsed = timer.at
      if (timer.every === 0) this.timers.delete(timer)
      else timer.at += timer.every
      timer.run()
    }
    this.elapsed = end
  }

  private add(timer: Timer): () => void {
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }

  /** Among timers of one moment, the one that was set first. */
  private earliest(): Timer | undefined {
    let earliest: Timer | undefined
    for (const timer of this.timers) if (earliest === undefined || timer.at < earliest.at) earliest = timer
    return earliest
  }
}

function atLeastOne(ms: number): number {
  return Math.max(1, ms)
}
