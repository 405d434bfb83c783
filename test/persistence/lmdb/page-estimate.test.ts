import { expect, it } from 'vitest'
import { Environment, type Write } from '../../../src/persistence/lmdb/environment'
import { pagesAtMost, pagesAtMostNow } from '../../../src/persistence/lmdb/page-estimate'
import { numberKey, pairKey } from '../../../src/persistence/lmdb/store-keys'
import { scratchFolder } from './store-fixture'

/** The same numbers in each run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state / 2 ** 32
  }
}

it('a transaction never makes the file longer than was estimated before it', async () => {
  const environment = await Environment.open(scratchFolder(), false)
  const random = numbers(7)
  const pick = (below: number) => Math.floor(random.next().value * below)
  let closest = 0
  let position = 0
  for (let round = 0; round < 250; round++) {
    const count = [1, 4, 30, 600][round % 4]!
    const spread = [50, 5000, 1_000_000][round % 3]!
    const writes: Write[] = []
    for (let i = 0; i < count; i++) {
      const number = pick(spread)
      const size = [20, 60, 300, 1900, 2100, 9000][pick(count > 100 ? 4 : 6)]!
      const value = pick(3) === 0 ? undefined : Buffer.alloc(size, i)
      writes.push({ table: 'queue', key: pairKey(pick(7), number), value: value && Buffer.alloc(30) })
      writes.push({ table: 'messages', key: numberKey(value === undefined ? pick(position + 1) : position++), value })
      if (i % 9 === 0) writes.push({ table: 'counters', key: numberKey(pick(spread)), value: Buffer.alloc(28) })
    }
    const atMost = pagesAtMost(writes)
    const atMostNow = pagesAtMostNow(environment, writes)
    const before = environment.pages().lastPage
    await environment.write(writes)
    const taken = environment.pages().lastPage - before
    expect(taken).toBeLessThanOrEqual(atMostNow)
    expect(taken).toBeLessThanOrEqual(atMost)
    closest = Math.max(closest, taken / atMostNow)
  }
  // an estimate that says too much by far would pass as well
  expect(closest).toBeGreaterThan(0.1)
  await environment.close()
}, 60_000)
