import { expect, it, vi } from 'vitest'
import { answered, attacked, client, connect5, v5, WAIT_MS } from './attacked'
import type { HostileBroker } from './hostile-broker'
import { closedStream, flood } from './raw-attack'

const patience = { timeout: 100_000, interval: 200 }

async function hasSubscriptions(broker: HostileBroker, count: number): Promise<void> {
  await vi.waitFor(
    async () => expect((await broker.measure()).statistics.subscriptions).toBeGreaterThanOrEqual(count),
    patience,
  )
}

it.each([0, 1, 2] as const)(
  'one PUBLISH of QoS %i to 50,000 subscribers',
  async (qos) => {
    const count = 50_000
    const { gapMs, broker } = await attacked(
      async (broker) => {
        const publisher = await client(broker.port, { ...connect5, clientId: 'wide' })
        const before = (await broker.measure()).statistics
        const publish = { cmd: 'publish', topic: 'wide', payload: 'x', qos, dup: false, retain: false } as const
        publisher.write(v5(qos === 0 ? publish : { ...publish, messageId: 1 }))
        publisher.write(v5({ cmd: 'pingreq' }))
        await answered(publisher, qos === 0 ? 2 : 6)
        const after = (await broker.measure()).statistics
        // those of the honest pair are a few besides
        expect(after.sentMessages[`qos${qos}`] - before.sentMessages[`qos${qos}`]).toBeGreaterThanOrEqual(count)
        publisher.destroy()
      },
      { scenarios: { 'many-subscribers': { count, topic: 'wide', qos } }, heapMegabytes: 2048 },
      (broker) => hasSubscriptions(broker, count),
    )
    expect(broker.ended).toBeNull()
    expect(gapMs).toBeLessThan(WAIT_MS)
  },
  180_000,
)

/** Publishes `count` messages of QoS 1, a thousand at a time, and waits until the last one is acknowledged. */
async function published(broker: HostileBroker, topic: string, count: number): Promise<void> {
  const publisher = await client(broker.port, { ...connect5, clientId: 'publisher' })
  for (let sent = 0; sent < count; sent += 1000) {
    const packets = Array.from({ length: 1000 }, (_, n) =>
      v5({ cmd: 'publish', topic, payload: 'x', qos: 1, messageId: n + 1, dup: false, retain: false }),
    )
    await flood(publisher, packets)
    await answered(publisher, 4 * packets.length)
  }
  publisher.destroy()
}

it('20,000 absent members of one shared group, and messages for it', async () => {
  const count = 20_000
  let sent = 0
  const argument = { count, topic: '$share/g/a', qos: 1, expirySeconds: 3600 }
  const { gapMs, broker } = await attacked(
    async (broker) => {
      await published(broker, 'a', 5000)
      sent += 5000
      // what a member has not acknowledged goes to others when it leaves
      for (let n = 1; n <= 20; n++) {
        const properties = { sessionExpiryInterval: 3600 }
        const member = await client(broker.port, { ...connect5, clean: false, properties, clientId: `s${n}` })
        member.destroy()
        await closedStream(member)
      }
    },
    { scenarios: { 'many-subscribers': argument } },
    (broker) => hasSubscriptions(broker, count),
  )
  await vi.waitFor(
    async () => expect((await broker.measure()).statistics.queuedMessages + 20).toBeGreaterThanOrEqual(sent),
    patience,
  )
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 180_000)

it('110 absent sessions whose queues fill the memory for them, and end together', async () => {
  const { gapMs } = await attacked(async (broker) => {
    const properties = { sessionExpiryInterval: 5 }
    for (let n = 0; n < 110; n++) {
      const member = await client(broker.port, { ...connect5, clean: false, properties, clientId: `absent ${n}` })
      member.write(v5({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'b', qos: 1 }] }))
      await answered(member, 6)
      member.destroy()
      await closedStream(member)
    }
    await published(broker, 'b', 5000)
    expect((await broker.measure()).statistics.queuedMessages).toBeGreaterThan(100_000)
    await vi.waitFor(async () => expect((await broker.measure()).statistics.queuedMessages).toBe(0), patience)
  })
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 180_000)
