import { describe, expect, it } from 'vitest'
import { generate } from './generate'
import { play, shrink } from './history'

/**
 * Random histories of clients against the reference. `SEED=7 npx vitest run test/model` plays one of them,
 * `HISTORIES=100000` more than usual, and both together as many from there on.
 */
const seed = numberOf('SEED')
const count = numberOf('HISTORIES') ?? (seed === undefined ? 1500 : 1)
const first = seed ?? 1
/** A machine that is busy with other things may take its time. */
const TIMEOUT_MS = 120_000 + count * 100

function numberOf(name: string): number | undefined {
  const text = process.env[name]
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  if (!Number.isInteger(value)) throw new Error(`${name} must be a whole number, not ${text}`)
  return value
}

/** Everything that one needs to understand a failure: the seed, the shortest history that fails, and what it shows. */
async function report(failed: number): Promise<string> {
  const history = await shrink(generate(failed))
  const log: string[] = []
  const { failure } = await play(history, log)
  const lines = [`SEED=${failed} npx vitest run test/model`, `store: ${history.slowStore ? 'slow' : 'memory'}`, ...log]
  return [...lines, '', ...(failure ?? ['it does not fail again: something is left to chance'])].join('\n')
}

describe('a broker', () => {
  it(
    `gives every client what the specification says, in ${count} histories from seed ${first}`,
    async () => {
      let abandoned = 0
      for (let next = first; next < first + count; next++) {
        const verdict = await play(generate(next))
        if (verdict.failure !== undefined) expect.fail(await report(next))
        if (verdict.abandoned) abandoned++
      }
      // shared subscriptions may leave more open than can be followed, but hardly ever do
      expect(abandoned).toBeLessThanOrEqual(count / 100)
    },
    TIMEOUT_MS,
  )
})
