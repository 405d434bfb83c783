import { Redis } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { redisStore } from '../../src/cluster/redis'
import type { Store } from '../../src/ports/store'
import { RedisServer, whyNoRedis } from './redis-server'

/**
 * A store on a real redis-server of the test file that calls this, for `describe.each`: each is empty. Nothing where there is no
 * redis-server.
 */
export function redisStores(): { readonly name: string; readonly make: () => Store }[] {
  if (whyNoRedis !== undefined) return []
  const server = new RedisServer()
  let stores = 0
  beforeAll(() => server.begin())
  afterAll(() => server.stop())
  const make = (): Store =>
    redisStore({ client: new Redis({ path: server.path, lazyConnect: true }), namespace: `store-${++stores}` })
  return [{ name: 'Redis', make }]
}
