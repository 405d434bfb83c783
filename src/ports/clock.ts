import { performance } from 'node:perf_hooks'

/** Where the broker takes its time from. A test puts a simulated one in its place. */
export interface Clock {
  /** Milliseconds that never jump, from any origin: deadlines, keep alive, expiries in memory. */
  now(): number
  /** Milliseconds since 1970: expiries that are stored, certificates. */
  wallTime(): number
  /** Calls `tick` every `ms` milliseconds until the returned function is called. Keeps no process alive. */
  every(ms: number, tick: () => void): () => void
  /** Calls `run` once, in `ms` milliseconds, unless the returned function is called before. Keeps no process alive. */
  after(ms: number, run: () => void): () => void
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  every(ms, tick) {
    const timer = setInterval(tick, ms)
    timer.unref()
    return () => clearInterval(timer)
  },
  after(ms, run) {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
