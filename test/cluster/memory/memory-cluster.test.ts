import { describe, expect, it } from 'vitest'
import { MemoryCluster } from '../../../src/cluster/memory/memory-cluster'
import { engineSuite, SimulatedClock } from '../../../src/testing/index'

engineSuite(
  'MemoryCluster',
  () => {
    const clock = new SimulatedClock()
    const cluster = new MemoryCluster({ clock })
    return {
      engine: () => cluster.engine(),
      elapse: (ms) => clock.advance(ms),
      size: () => {
        const { logged, ...kept } = cluster.sizes
        expect(logged).toBeLessThanOrEqual(40_000)
        return Object.values(kept).reduce((sum, count) => sum + count, 0)
      },
    }
  },
  { describe, it },
)
