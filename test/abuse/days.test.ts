import { describe, expect, it, vi } from 'vitest'
import { MemoryStore } from '../../src/persistence/memory-store'
import type { Change } from '../../src/ports/store'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { packet, string, u16 } from '../protocol/packet-bytes'
import { connectClient, openClient, startBroker } from '../support/broker'
import { RawClient } from '../support/raw-client'

const patience = { timeout: 15_000, interval: 10 }

/** A store that answers when the test says so. */
class GatedStore extends MemoryStore {
  gated = false
  private readonly waiting: (() => void)[] = []

  get owed(): number {
    return this.waiting.length
  }

  override commit(changes: readonly Change[]): void | Promise<void> {
    if (!this.gated) return super.commit(changes)
    return new Promise((resolve) =>
      this.waiting.push(() => {
        super.commit(changes)
        resolve()
      }),
    )
  }

  /** Answers all that it owes, and from now on at once. */
  answer(): void {
    this.gated = false
    for (const settle of this.waiting.splice(0)) settle()
  }
}

describe('a store that is far behind', () => {
  it.each([0, 1] as const)('holds its publishers up, of QoS %d too, and nobody else', async (qos) => {
    const store = new GatedStore()
    const broker = await startBroker({ store })
    const reader = await connectClient(broker, { clientId: 'kept', clean: false })
    await reader.subscribe('t/#', 1)
    const friend = await connectClient(broker)
    const publisher = await connectClient(broker)
    store.gated = true
    const count = 20_000
    const one = (n: number): Buffer =>
      qos === 0 ? packet(0x31, string(`t/${n}`), 0x78) : packet(0x32, string('t'), u16(n + 1), 0x78)
    publisher.sendBytes(Buffer.concat(Array.from({ length: count }, (_, n) => one(n))))
    await vi.waitFor(() => expect(store.owed).toBeGreaterThan(1000), patience)
    for (let n = 0; n < 20; n++) expect(await friend.quiet()).toEqual([])
    expect(store.owed).toBeLessThan(5000)
    store.answer()
    if (qos === 0) await vi.waitFor(() => expect(broker.statistics.retainedMessages).toBe(count), patience)
    else {
      const acknowledged = (): number => publisher.received.filter(({ cmd }) => cmd === 'puback').length
      await vi.waitFor(() => expect(acknowledged()).toBe(count), patience)
    }
  })
})

describe('stop() under load', () => {
  it('tells everybody 0x8B, ends in time, loses nothing acknowledged, and may be called again and again', async () => {
    const store = new MemoryStore()
    const broker = await startBroker({ store, stopTimeout: 1000 })
    const kept = await connectClient(broker, { clientId: 'kept', clean: false })
    await kept.subscribe('t', 1)
    await kept.disconnect()
    const publishers = await Promise.all(
      Array.from({ length: 20 }, () => connectClient(broker, { protocolVersion: 5 })),
    )
    const deaf = await connectClient(broker)
    await deaf.subscribe('t')
    deaf.pause()
    const half = await openClient(broker)
    half.sendBytes('10')
    for (const publisher of publishers) for (let n = 0; n < 500; n++) publisher.sendPublish('t', `${n}`, { qos: 1 })
    await vi.waitFor(() => expect(publishers[0]!.received.length).toBeGreaterThan(10), patience)
    const begin = performance.now()
    await Promise.all([broker.stop(), broker.stop()])
    await broker.stop()
    expect(performance.now() - begin).toBeLessThan(5000)
    await Promise.all(publishers.map((publisher) => publisher.closed()))
    for (const publisher of publishers)
      expect(publisher.received.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x8b })
    const acknowledged = publishers.flatMap(({ received }) => received.filter(({ cmd }) => cmd === 'puback')).length
    expect(store.queue('kept', 0, 1_000_000).length).toBeGreaterThanOrEqual(acknowledged)
    await broker.start()
    const again = await connectClient(broker, { clientId: 'kept', clean: false })
    again.autoAcknowledge = true
    const distinct = (): number => again.received.filter(({ cmd }) => cmd === 'publish').length
    await vi.waitFor(() => expect(distinct()).toBeGreaterThanOrEqual(acknowledged), patience)
  })
})

describe('a wall clock that jumps', () => {
  it.each([-3_600_000, 3_600_000])(
    'by %d ms ends no connection, and no message and session in memory',
    async (jump) => {
      class JumpingClock extends SimulatedClock {
        jump = 0
        override wallTime(): number {
          return super.wallTime() + this.jump
        }
      }
      const clock = new JumpingClock()
      const broker = await startBroker({ clock })
      const client = await connectClient(broker, { keepalive: 60 })
      const options = {
        clientId: 'kept',
        clean: false,
        protocolVersion: 5,
        properties: { sessionExpiryInterval: 100 },
      } as const
      const kept = await connectClient(broker, options)
      await kept.subscribe('t', 1)
      await kept.disconnect()
      await broker.publish({ topic: 't', payload: 'x', qos: 1, properties: { messageExpiryInterval: 100 } })
      clock.jump = jump
      clock.advance(10_000)
      expect(await client.quiet()).toEqual([])
      const again = await connectClient(broker, options)
      expect(await again.nextMessage()).toMatchObject({
        text: 'x',
        packet: { properties: { messageExpiryInterval: 90 } },
      })
    },
  )
})

describe('a member of a shared group that ends with its session', () => {
  it('leaves what waited for it to the others', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { protocolVersion: 5, properties: { receiveMaximum: 1 } })
    await first.subscribe(['own', '$share/g/t'], 1)
    await broker.publish({ topic: 'own', payload: 'fills the window', qos: 1 })
    await broker.publish({ topic: 't', payload: 'acknowledged', qos: 1 })
    const second = await connectClient(broker)
    await second.subscribe('$share/g/t', 1)
    first.destroy()
    expect((await second.nextMessage()).text).toBe('acknowledged')
  })
})

describe('10,000 odd lives', () => {
  it('leave nothing behind: whenever the client breaks off, and however', async () => {
    const broker = await startBroker({ limits: { maximumSessionExpiryInterval: 1 } })
    const friend = await connectClient(broker)
    const lives = packet(
      0x10,
      Buffer.concat([string('MQTT'), Buffer.from([5, 0x0e, 0, 0]), Buffer.from([5, 0x11, 0, 0, 0, 1])]),
      Buffer.concat([string('same'), Buffer.from([0]), string('will'), string('w')]),
    )
    const all = Buffer.concat([
      lives,
      packet(0x82, u16(1), 0, string('#'), 2, string('$share/g/#'), 1),
      packet(0x35, string('t'), u16(1), 0, 0x78),
      packet(0x33, string('t'), u16(2), 0, 0x78),
      packet(0x62, u16(1)),
      packet(0xa2, u16(2), 0, string('#')),
      packet(0xe0),
    ])
    const one = async (n: number): Promise<void> => {
      const client = await RawClient.open(broker.port)
      client.protocolVersion = 5
      const bytes = Buffer.from(all.subarray(0, n % (all.length + 1)))
      client.sendBytes(bytes)
      // the same identifier for some, so that they take over from one another
      if (n % 3 === 0) client.destroy()
      else client.end()
      await client.closed()
    }
    for (let n = 0; n < 10_000; n += 100) await Promise.all(Array.from({ length: 100 }, (_, at) => one(n + at)))
    expect(await friend.quiet()).toEqual([])
    await vi.waitFor(
      () =>
        expect(broker.statistics).toMatchObject({
          connections: 1,
          clients: 1,
          sessions: 1,
          subscriptions: 0,
          queuedMessages: 0,
          queuedBytes: 0,
        }),
      patience,
    )
  }, 60_000)
})
