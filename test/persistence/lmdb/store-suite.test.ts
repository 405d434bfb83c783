import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { lmdbStore } from '../../../src/persistence/lmdb'
import { Environment } from '../../../src/persistence/lmdb/environment'
import { storeSuite } from '../../../src/testing'

for (const durability of ['sync', 'interval', 'none'] as const) {
  storeSuite(
    `lmdbStore with durability ${durability}`,
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'gnatmq-suite-'))
      return {
        store: () => lmdbStore(folder, { durability }),
        remove: () => rmSync(folder, { recursive: true }),
      }
    },
    {
      describe,
      it,
      failNextCommit: () => {
        vi.spyOn(Environment.prototype, 'write').mockRejectedValueOnce(new Error('the disk does not answer'))
      },
    },
  )
}
