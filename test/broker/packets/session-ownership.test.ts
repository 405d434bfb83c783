import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { MqttBrokerOptions } from '../../../src/options'
import { lmdbStore } from '../../../src/persistence/lmdb/index'
import { MemoryStore } from '../../../src/persistence/memory-store'
import { connectClient, openClient, startBroker } from '../../support/broker'
import { nextEvent } from '../../support/broker-event'
import type { ConnectOptions } from '../../support/raw-client'

const anyUser: MqttBrokerOptions = { authenticate: () => true, host: '127.0.0.1' }
const victim: ConnectOptions = { clientId: 'sensor', username: 'ada', clean: false }
const thief: ConnectOptions = { ...victim, username: 'mallory' }

describe('a session that a user has opened', () => {
  it.each([
    { version: 5 as const, code: 0x87 },
    { version: 4 as const, code: 5 },
    { version: 3 as const, code: 5 },
  ])('is refused to another user of MQTT $version, and its client stays connected', async ({ version, code }) => {
    const broker = await startBroker(anyUser)
    const client = await connectClient(broker, victim)
    for (const clean of [true, false]) {
      const told = nextEvent(broker, 'clientError')
      const other = await openClient(broker)
      const { reasonCode, returnCode } = await other.connect({ ...thief, clean, protocolVersion: version })
      expect(version === 5 ? reasonCode : returnCode).toBe(code)
      expect((await told)[0].code).toBe('GNATMQ_SESSION_OWNER')
    }
    expect(await client.quiet()).toEqual([])
  })

  it('is refused to a client without a user name', async () => {
    const broker = await startBroker(anyUser)
    const client = await connectClient(broker, victim)
    const other = await openClient(broker)
    expect((await other.connect({ clientId: 'sensor' })).returnCode).toBe(5)
    expect(await client.quiet()).toEqual([])
  })

  it('is taken over by the same user', async () => {
    const broker = await startBroker(anyUser)
    const client = await connectClient(broker, victim)
    const again = await openClient(broker)
    expect(await again.connect(victim)).toMatchObject({ returnCode: 0, sessionPresent: true })
    await client.closed()
  })

  it('is free once it has ended, or has expired', async () => {
    const broker = await startBroker(anyUser)
    const client = await connectClient(broker, { ...victim, clean: true })
    await client.disconnect()
    const next = await connectClient(broker, { ...thief, clean: true })
    await next.disconnect()
    expect((await (await openClient(broker)).connect(victim)).returnCode).toBe(0)
  })

  it('belongs to the user that authenticate names', async () => {
    const broker = await startBroker({
      ...anyUser,
      authenticate: (_client, { username }) => ({ success: true, username: username!.split(':')[0]! }),
    })
    await connectClient(broker, { ...victim, username: 'ada:token 1' })
    expect(broker.clients.get('sensor')!.username).toBe('ada')
    const again = await openClient(broker)
    expect((await again.connect({ ...victim, username: 'ada:token 2' })).returnCode).toBe(0)
    const other = await openClient(broker)
    expect((await other.connect({ ...victim, username: 'bob:token 1' })).returnCode).toBe(5)
  })

  it.each([
    { name: 'in memory', store: async () => new MemoryStore() },
    { name: 'in a file', store: async () => lmdbStore(await mkdtemp(join(tmpdir(), 'owned-'))) },
  ])('belongs to that user after a restart, where the store keeps it $name', async ({ store }) => {
    const broker = await startBroker({ ...anyUser, store: await store() })
    await (await connectClient(broker, victim)).disconnect()
    await broker.stop()
    await broker.start()
    const other = await openClient(broker)
    expect((await other.connect(thief)).returnCode).toBe(5)
    const again = await openClient(broker)
    expect(await again.connect(victim)).toMatchObject({ returnCode: 0, sessionPresent: true })
  })

  it('goes to anybody where the broker is told so, and where nobody is authenticated', async () => {
    for (const options of [{ ...anyUser, sessionOwnership: false }, {}]) {
      const broker = await startBroker(options)
      const client = await connectClient(broker, victim)
      const other = await openClient(broker)
      expect(await other.connect(thief)).toMatchObject({ returnCode: 0, sessionPresent: true })
      await client.closed()
    }
  })
})

describe('a session without a user name', () => {
  it('belongs to nobody, and from then on to the user that resumes it', async () => {
    const broker = await startBroker(anyUser)
    await connectClient(broker, { clientId: 'sensor', clean: false })
    const user = await openClient(broker)
    expect(await user.connect(victim)).toMatchObject({ returnCode: 0, sessionPresent: true })
    const other = await openClient(broker)
    expect((await other.connect(thief)).returnCode).toBe(5)
  })
})
