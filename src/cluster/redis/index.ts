/**
 * Sessions, queues and retained messages on Redis or Valkey.
 *
 * @module gnatmq/redis
 */

import { RedisStore, type RedisStoreOptions } from './redis-store'

/**
 * A store on Redis or Valkey, for one broker at a time, by the client that you have already: of the package `ioredis`, `iovalkey` or
 * `redis`. It is duplicated, and stays yours.
 *
 * ```ts
 * const broker = new MqttBroker({ store: redisStore({ client: new Redis(), namespace: 'lamps' }) })
 * ```
 *
 * Throws GNATMQ_OPTION_INVALID for a client or a namespace that cannot be used.
 */
export function redisStore(options: RedisStoreOptions): RedisStore {
  return new RedisStore(options)
}

export type { RedisClient } from './redis-client'
export type { RedisStore, RedisStoreOptions }
