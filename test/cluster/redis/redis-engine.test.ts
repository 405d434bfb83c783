import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { RedisClient } from '../../../src/cluster/redis/redis-client'
import { RedisEngine } from '../../../src/cluster/redis/redis-engine'
import { engineSuite } from '../../../src/testing/index'
import { RedisServer, whyNoRedis } from '../../support/redis-server'

describe.skipIf(whyNoRedis !== undefined)('a real redis-server', () => {
  let server: RedisServer
  let places = 0

  beforeAll(async () => {
    server = await RedisServer.start()
  })

  afterAll(async () => {
    await server.stop()
  })

  const clients: [string, () => RedisClient][] = [
    ['ioredis', () => new Redis({ path: server.path, lazyConnect: true })],
    ['node-redis', () => createClient({ socket: { path: server.path, tls: false } })],
  ]

  for (const [name, makeClient] of clients)
    engineSuite(
      `RedisEngine by ${name}`,
      async () => {
        const client = makeClient()
        const looker = new Redis({ path: server.path })
        const namespace = `test-${++places}`
        return {
          engine: () => new RedisEngine({ client, namespace }),
          elapse: async (ms) => {
            const end = performance.now() + ms
            while (performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
          },
          size: async () => (await looker.keys(`{${namespace}}:*`)).length,
          remove: () => looker.disconnect(),
        }
      },
      { describe, it },
    )
})
