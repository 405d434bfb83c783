import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { MemoryStore } from '../../../src/persistence/memory-store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { FailingStore } from '../../persistence/failing-store'
import { connectClient, startBroker } from '../../support/broker'
import type { Version } from '../../support/raw-client'

const QUOTA_EXCEEDED = 0x97

async function started(options: MqttBrokerOptions = {}) {
  const clock = new SimulatedClock()
  const store = new FailingStore()
  const broker = await startBroker({ store, clock, ...options })
  const topics = (): string[] => [...store.retained()].map(({ topic }) => topic)
  return { clock, store, broker, topics }
}

function retain(broker: MqttBroker, topic: string, messageExpiryInterval: number | undefined, payload = 'x') {
  const properties = messageExpiryInterval === undefined ? {} : { messageExpiryInterval }
  return broker.publish({ topic, payload, qos: 1, retain: true, properties })
}

describe('a retained message that expires', () => {
  it('leaves memory, store and count with nobody looking for it', async () => {
    const { clock, broker, topics } = await started()
    await retain(broker, 'short', 10)
    await retain(broker, 'long', 20)
    await retain(broker, 'ever', undefined)
    clock.advance(9_900)
    expect(broker.statistics).toMatchObject({ retainedMessages: 3 })
    clock.advance(100)
    expect(broker.statistics).toMatchObject({ retainedMessages: 2, retainedBytes: 'longxeverx'.length })
    expect(topics()).toEqual(['long', 'ever'])
    clock.advance(10_000)
    await expect.poll(() => broker.statistics.retainedMessages).toBe(1)
    expect(topics()).toEqual(['ever'])
  })

  it.each<Version>([4, 5])(
    'makes room for a new one of version %s before anything else has looked for it',
    async (protocolVersion) => {
      const { clock, broker, topics } = await started({ limits: { maximumRetainedMessages: 2 } })
      await retain(broker, 'a', 10)
      await retain(broker, 'b', 10)
      const publisher = await connectClient(broker, { protocolVersion })
      const early = await publisher.publish('c', 'early', { qos: 1, retain: true })
      if (protocolVersion === 5) expect(early).toMatchObject({ reasonCode: QUOTA_EXCEEDED })
      expect(topics()).toEqual(['a', 'b'])
      clock.advance(10_000)
      expect((await publisher.publish('c', 'late', { qos: 1, retain: true }))?.reasonCode ?? 0).not.toBe(QUOTA_EXCEEDED)
      await expect.poll(topics).toEqual(['c'])
    },
  )

  it('makes room by its bytes too', async () => {
    const { clock, broker, topics } = await started({ limits: { maximumRetainedBytes: 100 } })
    await retain(broker, 'a', 10, 'x'.repeat(90))
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    const payload = 'y'.repeat(50)
    expect(await publisher.publish('b', payload, { qos: 1, retain: true })).toMatchObject({
      reasonCode: QUOTA_EXCEEDED,
    })
    clock.advance(10_000)
    expect((await publisher.publish('b', payload, { qos: 1, retain: true }))?.reasonCode).not.toBe(QUOTA_EXCEEDED)
    expect(topics()).toEqual(['b'])
  })

  it('takes nothing with it that came in its place', async () => {
    const { clock, broker, topics } = await started()
    await retain(broker, 'for ever', 10)
    await retain(broker, 'for ever', undefined)
    await retain(broker, 'longer', 10)
    await retain(broker, 'longer', 30)
    await retain(broker, 'cleared', 10)
    await retain(broker, 'cleared', undefined, '')
    clock.advance(20_000)
    await nextTurn()
    expect(topics()).toEqual(['for ever', 'longer'])
    expect(broker.statistics.retainedMessages).toBe(2)
  })

  it('expires after a restart as it would have before, whatever the calendar does meanwhile', async () => {
    const store = new MemoryStore()
    const first = new SimulatedClock()
    const before = await startBroker({ store, clock: first })
    await retain(before, 'soon', 10)
    await retain(before, 'later', 20)
    first.advance(1_000)
    await before.stop()
    const second = new SimulatedClock(first.wallTime() + 4_000)
    const after = await startBroker({ store, clock: second })
    expect(after.statistics.retainedMessages).toBe(2)
    // only a monotonic clock counts while the broker runs
    second.wallTime = () => first.wallTime() + 1_000_000_000
    second.advance(4_900)
    expect(after.statistics.retainedMessages).toBe(2)
    second.advance(200)
    expect(after.statistics.retainedMessages).toBe(1)
    expect([...store.retained()].map(({ topic }) => topic)).toEqual(['later'])
  })

  it('is not given to the application once it has expired', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    await retain(broker, 'a', 10)
    // no tick of the broker has come yet
    clock.now = () => 10_000
    const got: string[] = []
    await broker.subscribe('#', ({ topic }) => got.push(topic))
    expect(got).toEqual([])
  })

  it.each(['throws', 'rejects', 'rejects later'] as const)(
    'leaves the store once a store that %s takes its removal',
    async (failure) => {
      const { clock, store, broker, topics } = await started()
      await retain(broker, 'a', 10)
      store.failure = failure
      clock.advance(10_000)
      await expect.poll(() => store.failures).toBeGreaterThan(0)
      expect(broker.statistics.retainedMessages).toBe(0)
      expect(topics()).toEqual(['a'])
      store.failure = undefined
      const later = (): string[] => {
        clock.advance(1_000)
        return topics()
      }
      await expect.poll(later).toEqual([])
    },
  )
})

it('ten thousand retained messages that expire together leave in steps', async () => {
  const { clock, broker, topics } = await started()
  for (let i = 0; i < 10_000; i++) void retain(broker, `a/${i}`, 10)
  clock.advance(10_000)
  expect(broker.statistics.retainedMessages).toBeGreaterThan(5_000)
  await expect.poll(() => broker.statistics.retainedMessages).toBe(0)
  expect(topics()).toEqual([])
})
