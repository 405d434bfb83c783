import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { Change } from '../../../src/ports/store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { FailingStore, type Failure } from '../../persistence/failing-store'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'

const failures: Failure[] = ['throws', 'rejects', 'rejects later']

interface Place {
  readonly broker: MqttBroker
  readonly store: FailingStore
  readonly clock: SimulatedClock
  readonly bad: RawClient
}

function kept(broker: MqttBroker, clientId: string, sessionExpiryInterval = 3600): Promise<RawClient> {
  const properties = { sessionExpiryInterval }
  return connectClient(broker, { clientId, clean: false, protocolVersion: 5, properties })
}

const stored = (store: FailingStore, clientId: string) =>
  [...store.sessions()].find(({ session }) => session.clientId === clientId)

/** What only forgets: how it is refused, how the store refuses it, and whether it has been kept in the end. */
const cases: {
  name: string
  refuse: (place: Place) => Promise<void>
  concerns: (changes: readonly Change[]) => boolean
  isDone: (store: FailingStore) => boolean
}[] = [
  {
    name: 'the end of a session',
    concerns: (changes) => changes.some((change) => change.type === 'end'),
    async refuse({ broker, bad, clock }) {
      bad.destroy()
      await clientGone(broker, 'bad')
      clock.advance(11_000)
    },
    isDone: (store) => stored(store, 'bad') === undefined,
  },
  {
    name: 'the end of a subscription',
    concerns: (changes) => changes.some((change) => change.type === 'unsubscribe'),
    async refuse({ bad }) {
      bad.send({ cmd: 'unsubscribe', messageId: 5, unsubscriptions: ['bad'] })
      await bad.closed()
    },
    isDone: (store) => stored(store, 'bad')?.subscriptions.length === 0,
  },
  {
    name: 'a retained message that has expired',
    concerns: (changes) => changes.some((change) => change.type === 'clear'),
    async refuse({ clock }) {
      clock.advance(11_000)
    },
    isDone: (store) => [...store.retained()].length === 0,
  },
]

describe.each(failures)('where the store %s', (failure) => {
  it.each(cases)('$name that it refuses fails nobody else, and is tried by itself until it is kept', async (one) => {
    const store = new FailingStore()
    const clock = new SimulatedClock()
    const broker = await startBroker({ store, clock })
    const bad = await kept(broker, 'bad', one.name === cases[0]!.name ? 10 : 3600)
    await bad.subscribe('bad', 1)
    await broker.publish({ topic: 'r', payload: 'x', retain: true, properties: { messageExpiryInterval: 10 } })
    const good = await kept(broker, 'good')
    await good.subscribe('good', 1)
    store.failure = failure
    store.concerns = one.concerns
    await one.refuse({ broker, store, clock, bad })
    await expect.poll(() => store.failures).toBeGreaterThan(0)
    for (let second = 0; second < 100; second++) {
      if (second % 10 === 0) {
        await broker.publish({ topic: 'good', payload: String(second), qos: 1 })
        const { text, packet } = await good.nextMessage()
        expect(text).toBe(String(second))
        await good.acknowledge(packet)
      }
      clock.advance(1000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(store.failures).toBeGreaterThan(3)
    expect(store.failures).toBeLessThan(12)
    expect(one.isDone(store)).toBe(false)
    store.failure = undefined
    await expect
      .poll(() => {
        clock.advance(61_000)
        return one.isDone(store)
      })
      .toBe(true)
    expect(store.queue('good', 0, 9)).toEqual([])
  })
})
