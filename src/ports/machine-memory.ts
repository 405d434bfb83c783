import { totalmem } from 'node:os'
import { getHeapStatistics } from 'node:v8'

/**
 * The memory that a broker divides where `limits.memory` is not given: three quarters of the heap limit, and of what the machine, or the
 * control group of the process, has, a half at the most.
 */
export function standardMemory(): number {
  // 0 or a huge number where there is no control group that limits it
  const constrained = process.constrainedMemory?.() ?? 0
  const machine = constrained > 0 ? Math.min(totalmem(), constrained) : totalmem()
  return Math.floor(Math.min(getHeapStatistics().heap_size_limit * 0.75, machine / 2))
}
