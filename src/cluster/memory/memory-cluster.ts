import type { ClusterEngine } from '../../ports/cluster'
import { type EngineClock, EngineState } from './engine-state'
import { MemoryMember } from './memory-member'

export interface MemoryClusterOptions {
  readonly clock: EngineClock
  /** Entries that a log keeps at least. Default: 10,000. */
  readonly logLength?: number | undefined
}

/** How much of each kind an engine keeps. */
export type EngineSizes = Readonly<
  Record<'nodes' | 'sessions' | 'stored' | 'retained' | 'routes' | 'frames' | 'logged', number>
>

/**
 * An engine in memory, for nodes of one process. Each call has its effect before it returns its promise, and two calls that
 * begin in the same order end in it, so that whatever happens depends on nothing but the calls and the clock. Faults are left
 * to those who wrap it.
 */
export class MemoryCluster {
  private readonly state: EngineState

  constructor({ clock, logLength = 10_000 }: MemoryClusterOptions) {
    this.state = new EngineState(clock, logLength)
  }

  /** The engine as one node sees it. */
  engine(): ClusterEngine {
    return { join: async (node, events) => new MemoryMember(this.state, this.state.join(node, events)) }
  }

  /** What nodes have left behind shows here. */
  get sizes(): EngineSizes {
    const { places, retained, retainedLog, routeLog } = this.state
    const records = [...places.records.values()]
    const nodes = [...this.state.nodes.values()]
    return {
      nodes: nodes.length,
      sessions: records.length,
      stored: records.filter(({ kept }) => kept !== undefined).length,
      retained: retained.size,
      routes: nodes.reduce((sum, { routes }) => sum + routes.size, 0),
      frames: nodes.reduce((sum, { inbox }) => sum + inbox.size, 0),
      logged: routeLog.size + retainedLog.size,
    }
  }
}
