// How long the event loop of this process stands still, and whose making that is.
import { openSync, readSync } from 'node:fs'
import { createHistogram } from 'node:perf_hooks'

const MS = 1e6

/**
 * Measures the time between two turns of a timer of one millisecond. The kernel tells how long the main thread stood ready
 * without a core (Linux, schedstat): without that time a gap is the process's own making, computing or a blocking call.
 */
export class LoopWatch {
  #gaps = createHistogram()
  #ownGaps = createHistogram()
  #scheduling = schedulingFile()
  #text = Buffer.alloc(96)
  #last = process.hrtime.bigint()
  #lastWaiting = this.#waiting()
  #resetAt = this.#last
  #cpuAtReset = process.cpuUsage()

  constructor() {
    this.#next()
  }

  /** Forgets what was measured: what has passed since the last turn as well. */
  reset() {
    this.#gaps.reset()
    this.#ownGaps.reset()
    this.#last = this.#resetAt = process.hrtime.bigint()
    this.#lastWaiting = this.#waiting()
    this.#cpuAtReset = process.cpuUsage()
  }

  /** What was measured since the last reset, the turn that this is called in included. */
  read() {
    this.#look()
    const { user, system } = process.cpuUsage(this.#cpuAtReset)
    return {
      elapsedMs: Number(this.#last - this.#resetAt) / MS,
      cpuMs: (user + system) / 1000,
      gapMs: this.#gaps.max / MS,
      gapP99Ms: this.#gaps.percentile(99) / MS,
      ownGapMs: this.#ownGaps.max / MS,
      ownGapP99Ms: this.#ownGaps.percentile(99) / MS,
    }
  }

  #next() {
    setTimeout(() => {
      this.#look()
      this.#next()
    }, 1)
  }

  #look() {
    const now = process.hrtime.bigint()
    const waiting = this.#waiting()
    const gap = Number(now - this.#last)
    const own = gap - (waiting - this.#lastWaiting)
    this.#last = now
    this.#lastWaiting = waiting
    this.#gaps.record(Math.max(1, gap))
    this.#ownGaps.record(Math.max(1, Math.round(own)))
  }

  /** Nanoseconds that the main thread has waited for a core; 0 where the kernel does not tell. */
  #waiting() {
    if (this.#scheduling === null) return 0
    const length = readSync(this.#scheduling, this.#text, 0, 96, 0)
    return Number(this.#text.toString('latin1', 0, length).split(' ')[1])
  }
}

function schedulingFile() {
  try {
    return openSync(`/proc/self/task/${process.pid}/schedstat`)
  } catch {
    return null
  }
}
