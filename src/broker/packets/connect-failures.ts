import type { Clock } from '../../ports/clock'
import { addressKey } from '../wire/remote-address'

const WINDOW_MS = 60_000
/** Addresses that are counted in one window. Further ones are not counted, and none of these is forgotten. */
const ADDRESSES = 65_536

/** Failed CONNECTs by address and minute, so that passwords can't be tried out (MQTT 5.0 section 5.4.6). */
export class ConnectFailures {
  private readonly counts = new Map<string, number>()
  private windowEnd = Number.NEGATIVE_INFINITY
  private readonly clock: Clock
  private readonly maximum: number

  /** `maximum` is how often an address may fail within a minute. */
  constructor(clock: Clock, maximum: number) {
    this.clock = clock
    this.maximum = maximum
  }

  /** Whether CONNECTs from this address are refused for the rest of the minute. Never true for a peer without an address. */
  isBarred(address: string | undefined): boolean {
    if (address === undefined || this.counts.size === 0) return false
    this.turnOver()
    return (this.counts.get(addressKey(address)!) ?? 0) >= this.maximum
  }

  /** Counts a failure. */
  add(address: string | undefined): void {
    if (address === undefined || this.maximum === Number.POSITIVE_INFINITY) return
    this.turnOver()
    const key = addressKey(address)!
    const count = this.counts.get(key)
    if (count !== undefined || this.counts.size < ADDRESSES) this.counts.set(key, (count ?? 0) + 1)
  }

  private turnOver(): void {
    const now = this.clock.now()
    if (now < this.windowEnd) return
    this.counts.clear()
    this.windowEnd = now + WINDOW_MS
  }
}
