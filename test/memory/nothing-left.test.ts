import type { Packet } from 'mqtt-packet'
import { expect, it, vi } from 'vitest'
import type { MqttBroker } from '../../src/mqtt-broker'
import { Random } from '../model/random'
import { connectClient, startBroker } from '../support/broker'
import type { ConnectOptions, RawClient, Version } from '../support/raw-client'

const topics = ['a', 'a/b', 'a/b/c', 'long/enough-to-be-copied', 'other/enough-to-be-copied', 'ä/ö', '☃/☃'] as const
const filters = ['#', 'a/+', '+/enough-to-be-copied', '$share/g/a/#', '$share/h/a/b', 'a/b/c', '☃/+'] as const
const names = ['one', 'two', 'three', 'four'] as const
const patience = { timeout: 10_000, interval: 20 }

function connectOptions(random: Random, clientId: string): ConnectOptions {
  const protocolVersion = random.pick<Version>([4, 5])
  const payload = Buffer.alloc(random.below(300))
  const will = { topic: random.pick(['a', 'a/b']), payload, qos: 1 as const, retain: random.chance(0.3) }
  const options = { clientId, protocolVersion, clean: random.chance(0.3) }
  const user = random.chance(0.5) ? { username: random.pick(names) } : {}
  if (protocolVersion === 4) return { ...options, ...user, ...(random.chance(0.5) ? { will } : {}) }
  const userProperties = { kind: 'x'.repeat(random.below(100)) }
  const properties = {
    sessionExpiryInterval: random.pick([0, 100]),
    topicAliasMaximum: random.below(4),
    userProperties,
  }
  const delayed = { ...will, properties: { willDelayInterval: random.pick([0, 50]), contentType: 'text' } }
  return { ...options, ...user, properties, ...(random.chance(0.5) ? { will: delayed } : {}) }
}

/** One step of a client: what it sends is read before the next. */
async function act(random: Random, client: RawClient): Promise<void> {
  const topic = random.pick(topics)
  const payload = random.chance(0.2) ? '' : 'x'.repeat(random.below(400))
  const retain = random.chance(0.5)
  const step = random.weighted({ subscribe: 3, unsubscribe: 2, publish: 5, alias: 2, hold: 1 })
  if (step === 'subscribe') client.send(subscribe(random, client))
  else if (step === 'unsubscribe')
    client.send({ cmd: 'unsubscribe', messageId: client.newMessageId(), unsubscriptions: [random.pick(filters)] })
  else if (step === 'publish') client.sendPublish(topic, payload, { qos: random.pick([0, 1] as const), retain })
  else if (step === 'hold') client.sendPublish(topic, payload, { qos: 2, retain })
  else if (client.protocolVersion === 5)
    client.sendPublish(topic, payload, { properties: { topicAlias: 1 + random.below(5) } })
  await client.quiet()
  client.received.length = 0
}

const subscribe = (random: Random, client: RawClient): Packet => ({
  cmd: 'subscribe',
  messageId: client.newMessageId(),
  subscriptions: [{ topic: random.pick(filters), qos: random.pick([0, 1, 2] as const) }],
})

/** Ends all sessions, and clears all that is retained. */
async function clear(broker: MqttBroker): Promise<void> {
  for (const clientId of names) {
    const client = await connectClient(broker, { clientId, clean: true })
    await client.disconnect()
  }
  await vi.waitFor(() => expect(broker.statistics).toMatchObject({ connections: 0, sessions: 0 }), patience)
  for (const topic of topics) await broker.publish({ topic, payload: '', retain: true })
}

it.each([1, 2, 3, 4, 5, 6])(
  'counts nothing once all that clients did is gone, whatever it was: seed %i',
  async (seed) => {
    const random = new Random(seed)
    // the caches of routes have nothing to do with clients that are gone: they have a budget of their own
    const broker = await startBroker()
    await broker.publish({ topic: 'nothing', payload: 'x' })
    const clients = new Map<string, RawClient>()
    for (let n = 0; n < 60; n++) {
      const clientId = random.pick(names)
      const client = clients.get(clientId)
      if (client === undefined || client.isClosed)
        clients.set(clientId, await connectClient(broker, connectOptions(random, clientId)))
      else if (random.chance(0.15)) {
        if (random.chance(0.5)) await client.disconnect()
        else client.destroy()
        clients.delete(clientId)
      } else await act(random, client)
    }
    for (const client of clients.values()) client.destroy()
    await vi.waitFor(() => expect(broker.statistics.connections).toBe(0), patience)
    expect(broker.statistics.memoryBytes).toBeGreaterThan(1000)
    await clear(broker)
    const used = Object.entries(memoryOf(broker)).filter(([name, { used }]) => name !== 'routes' && used !== 0)
    expect(used).toEqual([])
  },
)

/** The budgets of a broker, which only its parts see. */
function memoryOf(broker: MqttBroker): Record<string, { used: number }> {
  return (broker as unknown as { settings: { memory: Record<string, { used: number }> } }).settings.memory
}
