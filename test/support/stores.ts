import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { lmdbStore } from '../../src/persistence/lmdb'
import { MemoryStore } from '../../src/persistence/memory-store'
import type { Store } from '../../src/ports/store'
import { redisStores } from './redis-stores'

/** All stores, for `describe.each`. What LMDB writes goes with the test, and a redis-server with the test file that calls this. */
export const stores = (): { readonly name: string; readonly make: () => Store }[] => [
  { name: 'a MemoryStore', make: () => new MemoryStore() },
  {
    name: 'LMDB',
    make: () => {
      const folder = mkdtempSync(join(tmpdir(), 'gnatmq-test-'))
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
      return lmdbStore(folder, { durability: 'none' })
    },
  },
  ...redisStores(),
]
