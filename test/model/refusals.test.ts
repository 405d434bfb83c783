import { expect, it } from 'vitest'
import { playRefusals } from './refusals'

/**
 * Random histories with a store that refuses. `SEED=7 npx vitest run test/model/refusals` plays one of them,
 * `REFUSALS=20000` more than usual.
 */
const first = Number(process.env['SEED'] ?? 1)
const count = Number(process.env['REFUSALS'] ?? (process.env['SEED'] === undefined ? 500 : 1))
/** Histories that have found a fault which few others find: a message of a shared group that moved and was queued again stayed in the queue. */
const found = [212_975]
const TIMEOUT_MS = 120_000 + count * 200

it(
  `a broker loses, doubles and reorders nothing whatever its store refuses, in ${count} histories from seed ${first}`,
  async () => {
    for (const seed of [...found, ...Array.from({ length: count }, (_, n) => first + n)]) {
      const faults = await playRefusals(seed)
      if (faults.length > 0) expect.fail([`SEED=${seed} npx vitest run test/model/refusals`, ...faults].join('\n'))
    }
  },
  TIMEOUT_MS,
)
