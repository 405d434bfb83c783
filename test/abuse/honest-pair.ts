import { onTestFinished } from 'vitest'
import { Child } from './questions.mjs'

export interface HonestPairOptions {
  /** Messages a second; null publishes as fast as `window` allows. Default: 200. */
  perSecond?: number | null
  /** Messages that the publisher has unacknowledged at the most. Default: 100. */
  window?: number
  /** Default: 16. */
  payloadBytes?: number
  /** Fields of the CONNECT of both: username, password, protocolVersion. */
  connect?: Readonly<Record<string, unknown>>
}

export interface PairReport {
  sent: number
  acknowledged: number
  delivered: number
  /** Delivered again: QoS 1 allows it, an undisturbed broker does not do it. */
  repeated: number
  outOfOrder: number
  /** Sent and not delivered yet; after `finish`, lost. */
  lost: number
  /** Delivered in a second, since the last reset. */
  perSecond: number
  /** From the publisher to the subscriber, since the last reset; `longestMs` counts what is still on its way too. */
  longestMs: number
  p99Ms: number
  /** How long the pair's own process stood still at the most: noise of a busy machine in the other figures. */
  ownDelayMs: number
  /** What went wrong with a connection. */
  failure?: string
}

/** A publisher and a subscriber of QoS 1 in a process of their own, which measure how long they wait while others attack. */
export class HonestPair {
  private constructor(private readonly child: Child) {}

  /** Both are connected and publish. Their process ends when the test has finished. */
  static async start(
    port: number,
    { perSecond = 200, window = 100, payloadBytes = 16, connect = {} }: HonestPairOptions = {},
  ): Promise<HonestPair> {
    const argument = JSON.stringify({ port, perSecond, window, payloadBytes, connect })
    const child = await Child.start('./honest-pair-process.mjs', { args: [argument] })
    onTestFinished(() => child.stop())
    return new HonestPair(child)
  }

  /** Begins a new measurement: of times and rate, not of counts. */
  reset(): Promise<void> {
    return this.child.ask('reset')
  }

  measure(): Promise<PairReport> {
    return this.child.ask('measure')
  }

  /** Publishes no more, and waits up to `seconds` until everything has arrived and is acknowledged. */
  finish(seconds = 10): Promise<PairReport> {
    return this.child.ask('finish', { seconds })
  }

  /**
   * How many milliseconds another client needs from the opening of its connection to its CONNACK. Takes fields of CONNECT,
   * and the source address. Rejects when it is refused, or waits for longer than `timeoutMs`, 10,000 unless given.
   */
  newcomer(options: { localAddress?: string; timeoutMs?: number } & Record<string, unknown> = {}): Promise<number> {
    return this.child.ask('newcomer', options)
  }
}
