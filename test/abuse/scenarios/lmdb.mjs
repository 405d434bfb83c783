// A durable store in a folder of its own. The argument: options of lmdbStore.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export default async function lmdb({ load, argument }) {
  const { lmdbStore } = await load('persistence/lmdb/index.js')
  return { store: lmdbStore(await mkdtemp(join(tmpdir(), 'gnatmq-store-')), argument) }
}
