import type { Clock } from '../../ports/clock'

const WINDOW_MS = 60_000
/** Addresses that are remembered: a window of more than that has the internet against it, and forgets none of these. */
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

  /** Whether nobody at this address is listened to for the rest of the minute. Never so for a peer without address. */
  isBarred(address: string | undefined): boolean {
    if (address === undefined || this.counts.size === 0) return false
    this.turnOver()
    return (this.counts.get(network(address)) ?? 0) >= this.maximum
  }

  /** Counts the failure of a peer. */
  add(address: string | undefined): void {
    if (address === undefined || this.maximum === Number.POSITIVE_INFINITY) return
    this.turnOver()
    const key = network(address)
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

/** The address itself; of IPv6 the first 64 bits, which is what one host has for itself. */
export function network(address: string): string {
  // an IPv4 peer looks like ::ffff:a.b.c.d on a socket for both
  const plain = address.replace(/^::ffff:(?=[\d.]+$)/, '').replace(/%.*$/, '')
  if (!plain.includes(':')) return plain
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const behind = tail === '' ? [] : tail.split(':')
    while (groups.length + behind.length < 8) groups.push('0')
    groups.push(...behind)
  }
  return groups.slice(0, 4).join(':')
}
