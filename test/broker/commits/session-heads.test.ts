import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { Change, StoredSession } from '../../../src/ports/store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { FailingStore, type Failure } from '../../persistence/failing-store'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import type { ConnectOptions } from '../../support/raw-client'

const SECOND = 1000
const HOUR = 3600 * SECOND

async function started() {
  const store = new FailingStore()
  const clock = new SimulatedClock()
  const broker = await startBroker({ store, clock })
  const heads = (): StoredSession[] => [...store.sessions()].map(({ session }) => session)
  return { broker, store, clock, heads }
}

function kept(broker: MqttBroker, clientId: string, options: ConnectOptions = {}) {
  const properties = { sessionExpiryInterval: 3600, ...options.properties }
  return connectClient(broker, { clientId, clean: false, protocolVersion: 5, ...options, properties })
}

const aHead = (changes: readonly Change[]): boolean => changes.some(({ type }) => type === 'session')

/** A client came and went, and the store did not take note that it went. */
async function leave(broker: MqttBroker, store: FailingStore, clientId: string, options: ConnectOptions = {}) {
  const client = await kept(broker, clientId, options)
  store.failure = 'rejects'
  client.send({ cmd: 'disconnect', reasonCode: options.will === undefined ? 0 : 4 })
  await client.closed()
  await clientGone(broker, clientId)
}

describe.each<Failure>(['throws', 'rejects', 'rejects later'])(
  'the head of a session that a store %s over',
  (failure) => {
    it('is recorded once the store is well again, though nothing else happens', async () => {
      const { broker, store, clock, heads } = await started()
      const client = await kept(broker, 'lamp')
      store.failure = failure
      const leftAt = clock.wallTime()
      client.send({ cmd: 'disconnect', properties: { sessionExpiryInterval: 7200 } })
      await client.closed()
      await clientGone(broker, 'lamp')
      await expect.poll(() => store.failures).toBe(1)
      expect(heads()).toMatchObject([{ disconnectedAt: 0, expiryInterval: 3600 }])
      store.failure = undefined
      clock.advance(SECOND)
      await expect.poll(heads).toMatchObject([{ disconnectedAt: leftAt, expiryInterval: 7200 }])
    })
  },
)

describe('the head of a session that the store has refused', () => {
  it('takes the Will with it that was published, so that it does not come twice', async () => {
    const { broker, store, clock, heads } = await started()
    const will = { topic: 'will', payload: Buffer.from('the Will'), qos: 0 as const, retain: false }
    const watcher = await connectClient(broker)
    await watcher.subscribe('will')
    const client = await kept(broker, 'lamp', { will })
    expect(heads()[0]?.will).toBeDefined()
    store.concerns = aHead
    store.failure = 'rejects'
    client.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'the Will' })
    store.failure = undefined
    clock.advance(SECOND)
    await expect.poll(() => heads()[0]?.will).toBeUndefined()
  })

  it('is tried seldom while the store stays ill, and no more for many than for one', async () => {
    const { broker, store, clock } = await started()
    for (const clientId of ['a', 'b', 'c', 'd']) {
      store.failure = undefined
      await leave(broker, store, clientId)
    }
    await expect.poll(() => store.failures).toBe(4)
    for (let second = 0; second < 600; second++) {
      clock.advance(SECOND)
      await new Promise((resolve) => setImmediate(resolve))
    }
    // after 1, 3, 7, 15, 31, 63, and then each 60 seconds
    expect(store.failures - 4).toBeGreaterThan(10)
    expect(store.failures - 4).toBeLessThan(20)
    store.failure = undefined
    clock.advance(60 * SECOND)
    const open = () => [...store.sessions()].filter(({ session }) => session.disconnectedAt === 0)
    await expect.poll(open).toEqual([])
  })

  it('does not hold up the others when it is the only one that the store never takes', async () => {
    const { broker, store, clock, heads } = await started()
    for (const clientId of ['bad', 'good']) {
      store.failure = undefined
      await leave(broker, store, clientId)
    }
    await expect.poll(() => store.failures).toBe(2)
    store.concerns = (changes) =>
      changes.some((change) => change.type === 'session' && change.session.clientId === 'bad')
    const isOpen = (clientId: string) => heads().find((head) => head.clientId === clientId)?.disconnectedAt === 0
    for (let second = 0; second < 10; second++) {
      clock.advance(SECOND)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect([isOpen('bad'), isOpen('good')]).toEqual([true, false])
    // nor what is published meanwhile
    await broker.publish({ topic: 'r', payload: 'x', qos: 1, retain: true })
  })

  it('does not replace a newer one', async () => {
    const { broker, store, clock, heads } = await started()
    await leave(broker, store, 'lamp')
    await expect.poll(() => store.failures).toBe(1)
    store.failure = undefined
    await kept(broker, 'lamp', { properties: { sessionExpiryInterval: 60 } })
    clock.advance(HOUR / 2)
    await new Promise((resolve) => setImmediate(resolve))
    expect(heads()).toMatchObject([{ disconnectedAt: 0, expiryInterval: 60 }])
  })

  it('is given up with its session', async () => {
    const { broker, store, clock, heads } = await started()
    await leave(broker, store, 'lamp', { properties: { sessionExpiryInterval: 30 } })
    await expect.poll(() => store.failures).toBe(1)
    store.concerns = aHead
    clock.advance(30 * SECOND + 200)
    await expect.poll(heads).toEqual([])
    const { failures } = store
    clock.advance(HOUR)
    await new Promise((resolve) => setImmediate(resolve))
    expect(store.failures).toBe(failures)
    store.failure = undefined
    clock.advance(HOUR)
    await new Promise((resolve) => setImmediate(resolve))
    expect(heads()).toEqual([])
  })

  it('gets a last chance when the broker stops', async () => {
    const { broker, store, clock, heads } = await started()
    await leave(broker, store, 'lamp')
    await expect.poll(() => store.failures).toBe(1)
    store.failure = undefined
    await broker.stop()
    expect(heads()).toMatchObject([{ disconnectedAt: clock.wallTime() }])
  })
})
