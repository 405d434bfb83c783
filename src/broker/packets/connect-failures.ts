import { createHash } from 'node:crypto'
import type { Client } from '../../ports/client'
import type { Clock } from '../../ports/clock'
import { addressKey } from '../../ports/remote-address'

const WINDOW_MS = 60_000
/** Addresses that are counted in one window. Further ones are not counted, and none of these is forgotten. */
const ADDRESSES = 65_536
/** Clients that are remembered because they have given a right password. */
const KNOWN_CLIENTS = 65_536
/** How often such a client may fail within a minute while its address is barred. */
const KNOWN_MAXIMUM = 10

/** A count that an attempt has raised. */
interface Count {
  failures: number
  /** The end of the minute that is counted. */
  windowEnd: number
}

/** One authentication that has begun. */
export interface Attempt {
  /** undefined where the peer has no address. */
  readonly key: string | undefined
  /** What it counts in, until it has turned out well. */
  readonly counts: readonly Count[]
  readonly windowEnd: number
}

/**
 * Failed CONNECTs by address and minute, so that passwords can't be tried out (MQTT 5.0 section 5.4.6). An attempt counts from its
 * beginning: however slow the hook is, no more begin than may fail. A client that has given a right password is counted by
 * itself where others of its address have failed too often.
 */
export class ConnectFailures {
  private readonly counts = new Map<string, Count>()
  /** Clients that have been authenticated, by address, user name and Client Identifier; the one that is longest ago first. */
  private readonly known = new Map<string, Count>()
  private windowEnd = Number.NEGATIVE_INFINITY
  private readonly clock: Clock
  private readonly maximum: number

  /** `maximum` is how often an address may fail within a minute. */
  constructor(clock: Clock, maximum: number) {
    this.clock = clock
    this.maximum = maximum
  }

  /** Whether the address has failed, or may fail with what has begun, as often as it may. Never true for a peer without one. */
  isBarred(key: string | undefined): boolean {
    if (key === undefined || this.counts.size === 0) return false
    this.turnOver()
    return (this.counts.get(key)?.failures ?? 0) >= this.maximum
  }

  /** Whether the client may try although its address is barred. */
  isExempt(client: Client): boolean {
    const count = this.known.size === 0 ? undefined : this.known.get(lane(client))
    return count !== undefined && this.inWindow(count).failures < Math.min(KNOWN_MAXIMUM, this.maximum)
  }

  /** Counts an attempt as failed until `forgive`. */
  begin(client: Client): Attempt {
    const key = addressKey(client.remoteAddress)
    this.turnOver()
    const { windowEnd } = this
    if (key === undefined || this.maximum === Number.POSITIVE_INFINITY) return { key, counts: [], windowEnd }
    let count = this.counts.get(key)
    if (count === undefined) {
      if (this.counts.size >= ADDRESSES) return { key, counts: [], windowEnd }
      count = { failures: 0, windowEnd }
      this.counts.set(key, count)
    }
    const own = count.failures < this.maximum ? undefined : this.known.get(lane(client))
    const counts = own === undefined ? [count] : [this.inWindow(own)]
    for (const one of counts) one.failures++
    return { key, counts, windowEnd }
  }

  /** The attempt was no failure. */
  forgive({ counts, key, windowEnd }: Attempt): void {
    for (const count of counts) if (count.windowEnd === windowEnd && count.failures > 0) count.failures--
    if (key !== undefined && this.counts.get(key)?.failures === 0) this.counts.delete(key)
  }

  /** The client has given a right password. */
  remember(client: Client): void {
    if (client.remoteAddress === undefined || this.maximum === Number.POSITIVE_INFINITY) return
    const name = lane(client)
    const count = this.known.get(name) ?? { failures: 0, windowEnd: this.windowEnd }
    this.known.delete(name)
    this.known.set(name, count)
    if (this.known.size <= KNOWN_CLIENTS) return
    const [oldest] = this.known.keys()
    this.known.delete(oldest!)
  }

  private inWindow(count: Count): Count {
    this.turnOver()
    if (count.windowEnd === this.windowEnd) return count
    count.failures = 0
    count.windowEnd = this.windowEnd
    return count
  }

  private turnOver(): void {
    const now = this.clock.now()
    if (now < this.windowEnd) return
    this.counts.clear()
    this.windowEnd = now + WINDOW_MS
  }
}

/** A digest, as names may be long. */
function lane({ clientId, remoteAddress, username = '' }: Client): string {
  const name = JSON.stringify([addressKey(remoteAddress), username, clientId])
  return createHash('sha256').update(name).digest('base64')
}
