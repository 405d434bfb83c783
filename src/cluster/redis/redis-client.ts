import { invalidValue } from '../../ports/given-values'
import { MqttError } from '../../protocol/mqtt-error'
import type { ConnectionEvents, RedisConnection } from './connection'
import { type IoRedisClient, IoRedisConnection } from './ioredis-connection'
import { type NodeRedisClient, NodeRedisConnection } from './node-redis-connection'

/**
 * A client of the package `ioredis`, `iovalkey` or `redis` (4 and later) for one server. It is duplicated for each connection, and
 * need not be connected itself.
 */
export interface RedisClient {
  duplicate(...args: never[]): object
}

/** Makes connections like that of a client. */
export type Connect = (events: ConnectionEvents) => RedisConnection

/** Finds out whose client it is. Throws GNATMQ_OPTION_INVALID for anything else. */
export function connectLike(client: unknown): Connect {
  const known = client as (Partial<IoRedisClient & NodeRedisClient> & { isCluster?: boolean; masters?: unknown }) | null
  if (typeof known !== 'object' || known === null || typeof known.duplicate !== 'function')
    throw invalidValue('client', 'a client of the package ioredis, iovalkey or redis', client)
  if (known.isCluster === true || known.masters !== undefined)
    throw new MqttError(
      'GNATMQ_OPTION_INVALID',
      'client is one of a Redis Cluster: all keys of a namespace lie on one server, so name that server in a client of its own',
    )
  if (typeof known.callBuffer === 'function') return (events) => new IoRedisConnection(known as IoRedisClient, events)
  if (typeof known.sendCommand === 'function' && typeof known.connect === 'function')
    return (events) => new NodeRedisConnection(known as NodeRedisClient, events)
  throw invalidValue('client', 'a client of the package ioredis, iovalkey or redis', client)
}
