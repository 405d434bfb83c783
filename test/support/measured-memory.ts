import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Collections without a change after which nothing more is given back. */
const CALM = 2
/** Bytes that come and go by themselves. */
const NOISE = 16 * 1024

/** Bytes of heap and of buffers that are in use, garbage left out. What the collector finds is given back a little later on busy cores. */
export function usedBytes(): number {
  let least = Number.POSITIVE_INFINITY
  for (let calm = 0, n = 0; calm < CALM && n < 20; n++) {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    calm = heapUsed + external < least - NOISE ? 0 : calm + 1
    least = Math.min(least, heapUsed + external)
  }
  return least
}
