import { onTestFinished } from 'vitest'
import type { BrokerStatistics, MqttBrokerOptions } from '../../src/index'
import { builtPackage } from '../support/build'
import { Child } from './questions.mjs'

/** What a broker's process has measured of itself since the last reset. Times in milliseconds. */
export interface Measurement {
  elapsedMs: number
  /** CPU time of all threads. */
  cpuMs: number
  /** The longest time that the event loop stood still, and the 99th percentile of all turns. */
  gapMs: number
  gapP99Ms: number
  /** The same without the time in which the thread stood ready and had no core: what the broker itself caused. */
  ownGapMs: number
  ownGapP99Ms: number
  rssBytes: number
  /** Sampled every 100 ms. */
  peakRssBytes: number
  heapBytes: number
  externalBytes: number
  arrayBufferBytes: number
  /** Descriptors, sockets included; 0 where the system does not tell. */
  openFiles: number
  /** V8's. */
  heapLimitBytes: number
  statistics: BrokerStatistics
  /** How often `clientConnected` and `clientDisconnected` came since the start, and `clientError` by the code of its error. */
  events: Readonly<Record<string, number>>
}

export interface HostileBrokerOptions {
  /** Those that JSON can carry. `port` is 0 unless given. */
  options?: MqttBrokerOptions
  /**
   * Modules of test/abuse/scenarios by name, with an argument: each returns options that only a function or an object can
   * express. Later ones replace the options of former ones.
   */
  scenarios?: Readonly<Record<string, unknown>>
  /** Default: 1,024. */
  heapMegabytes?: number
}

/** A broker of this tree in a process of its own with a small heap, for attacks that must neither end nor delay it. */
export class HostileBroker {
  private constructor(
    private readonly child: Child,
    /** The port of each listener that has one, in their order. */
    readonly ports: readonly number[],
  ) {}

  /** Starts the broker, and ends its process when the test has finished. */
  static async start({
    options = {},
    scenarios = {},
    heapMegabytes = 1024,
  }: HostileBrokerOptions = {}): Promise<HostileBroker> {
    const child = await Child.start('./hostile-broker-process.mjs', {
      nodeArgs: [`--max-old-space-size=${heapMegabytes}`, '--expose-gc'],
      args: [await builtPackage(), JSON.stringify({ options, scenarios: Object.entries(scenarios) })],
    })
    onTestFinished(() => child.stop())
    return new HostileBroker(child, await child.ask<number[]>('ports'))
  }

  get port(): number {
    return this.ports[0]!
  }

  get pid(): number {
    return this.child.process.pid!
  }

  /** Why the process runs no more; null while it does. */
  get ended(): Error | null {
    return this.child.ended
  }

  /** Begins a new measurement. */
  reset(): Promise<void> {
    return this.child.ask('reset')
  }

  /** What was measured since the last reset. `collect` collects garbage first, and then begins a new measurement. Rejects if the process has died. */
  measure({ collect = false }: { collect?: boolean } = {}): Promise<Measurement> {
    return this.child.ask('measure', { collect })
  }
}
