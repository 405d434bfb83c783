/**
 * The durable store.
 *
 * @module gnatmq/lmdb
 */

import { LmdbStore, type LmdbStoreOptions } from './lmdb-store'

/**
 * The durable store: sessions, queues and retained messages in one folder, in the embedded database LMDB. It needs the
 * optional package `lmdb`: `npm install lmdb`.
 *
 * ```ts
 * const broker = new MqttBroker({ store: lmdbStore('./data') })
 * ```
 *
 * @param path The folder, made when it is not there. One process at a time.
 */
export function lmdbStore(path: string, options: LmdbStoreOptions = {}): LmdbStore {
  return new LmdbStore(path, options)
}

export type { LmdbStoreOptions, LmdbStoreStatistics } from './lmdb-store'
export type { LmdbStore }
