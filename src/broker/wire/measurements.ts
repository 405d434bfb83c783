import type { BrokerHistograms, HistogramCounts } from '../../ports/statistics'

/** Seconds: from a write to a fast disk to far more than a client should wait. */
const SECONDS = Object.freeze([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10])
/** Bytes: powers of four, to the largest packet that MQTT has. */
const BYTES = Object.freeze(Array.from({ length: 14 }, (_, power) => 4 ** (power + 1)))

/** How often something took how long. */
class TimeHistogram {
  private readonly counts = new Array<number>(SECONDS.length + 1).fill(0)
  private sum = 0

  observe(ms: number): void {
    const seconds = ms / 1000
    let bucket = 0
    while (bucket < SECONDS.length && seconds > SECONDS[bucket]!) bucket++
    this.counts[bucket]!++
    this.sum += seconds
  }

  get snapshot(): HistogramCounts {
    return snapshotOf(SECONDS, this.counts, this.sum)
  }
}

/** How often a packet had how many bytes. It is asked to count each PUBLISH, so it looks for no bucket. */
class SizeHistogram {
  private readonly counts = new Array<number>(BYTES.length + 1).fill(0)
  private sum = 0
  /** What the last packets had, and how many of them are not counted yet: they mostly have the same. */
  private last = 2
  private repeats = 0

  /** `bytes` is 2 or more. */
  observe(bytes: number): void {
    if (bytes !== this.last) this.change(bytes)
    this.repeats++
  }

  private change(bytes: number): void {
    const { last, repeats } = this
    this.counts[((33 - Math.clz32(last - 1)) >> 1) - 1]! += repeats
    this.sum += last * repeats
    this.last = bytes
    this.repeats = 0
  }

  get snapshot(): HistogramCounts {
    this.change(this.last)
    return snapshotOf(BYTES, this.counts, this.sum)
  }
}

function snapshotOf(bounds: readonly number[], counts: readonly number[], sum: number): HistogramCounts {
  return { bounds, counts: [...counts], sum, count: counts.reduce((all, count) => all + count, 0) }
}

/** Histograms. They are recorded from the first time that they are asked for. */
export class Measurements {
  readonly sizes = new SizeHistogram()
  readonly commits = new TimeHistogram()
  readonly hooks = new TimeHistogram()
  private readonly delays = new TimeHistogram()
  private lastTick = Number.NaN

  /** A timer of so many milliseconds has come. */
  tick(now: number, everyMs: number): void {
    if (!Number.isNaN(this.lastTick)) this.delays.observe(Math.max(0, now - this.lastTick - everyMs))
    this.lastTick = now
  }

  get snapshot(): BrokerHistograms {
    return {
      messageBytes: this.sizes.snapshot,
      commitSeconds: this.commits.snapshot,
      hookSeconds: this.hooks.snapshot,
      loopDelaySeconds: this.delays.snapshot,
    }
  }
}
