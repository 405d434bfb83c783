import { readFile, writeFile } from 'node:fs/promises'
import { expect, onTestFinished, vi } from 'vitest'
import type { Check } from '../support/document'
import { client, expectRoundTrip, listening, patience, tlsSocket } from '../support/reader'
import { freePort, RedisServer, whyNoRedis } from '../support/redis-server'
import { scramConnection } from '../support/scram-client'

// the same program stands in several documents

export const plainBroker: Check = {
  async serves(workshop, snippet) {
    await expectRoundTrip(await client(await listening(workshop, 1883)))
    await vi.waitFor(() => expect(snippet.output).toMatch(/^MQTT on port \d+\n$/), patience)
  },
}

export const tlsBroker = (caFile: string): Check => ({
  async serves(workshop, snippet) {
    const port = await listening(workshop, 8883)
    await vi.waitFor(() => expect(snippet.output).toMatch(/^MQTT over TLS on port \d+\n/), patience)
    const socket = await tlsSocket(port, await readFile(workshop.path(caFile)), 'localhost')
    expect(socket.getProtocol()).toBe('TLSv1.3')
  },
})

export const scramBroker: Check = {
  async serves(workshop) {
    const port = await listening(workshop, 1883)
    await expectRoundTrip(await scramConnection(port, 'secret'))
    await expect(scramConnection(port, 'wrong')).rejects.toThrow()
    await expect(client(port, { username: 'ada', password: 'secret' })).rejects.toThrow(/Bad username or password/)
  },
}

/** A snippet that ends by itself, with a Redis at its standard port. Where there is none it is not run. */
export const withRedis: Check =
  whyNoRedis !== undefined
    ? { shows: async () => undefined }
    : {
        async before(workshop) {
          const port = await freePort()
          const server = await RedisServer.start(
            '--port',
            String(port),
            '--appendonly',
            'yes',
            '--appendfsync',
            'always',
          )
          onTestFinished(() => server.stop())
          await writeFile(workshop.path('ports/6379'), String(port))
        },
      }
