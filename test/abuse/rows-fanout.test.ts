import { expect, it, vi } from 'vitest'
import { answered, attacked, client, connect5, v5, WAIT_MS } from './attacked'

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
      async (broker) => {
        await vi.waitFor(
          async () => expect((await broker.measure()).statistics.subscriptions).toBeGreaterThanOrEqual(count),
          { timeout: 100_000, interval: 500 },
        )
      },
    )
    expect(broker.ended).toBeNull()
    expect(gapMs).toBeLessThan(WAIT_MS)
  },
  180_000,
)
