import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { Change } from '../../../src/ports/store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { FailingStore, type Failure } from '../../persistence/failing-store'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'

const failures: Failure[] = ['throws', 'rejects', 'rejects later']
const QUOTA_EXCEEDED = 0x97

async function started() {
  const store = new FailingStore()
  const clock = new SimulatedClock()
  return { store, clock, broker: await startBroker({ store, clock }) }
}

function kept(broker: MqttBroker, clientId: string): Promise<RawClient> {
  const properties = { sessionExpiryInterval: 3600 }
  return connectClient(broker, { clientId, clean: false, protocolVersion: 5, properties })
}

/** `first` has a message of the group that it has not acknowledged; then `second` joins. */
async function unacknowledged(broker: MqttBroker) {
  const first = await kept(broker, 'first')
  first.autoAcknowledge = false
  await first.subscribe('$share/g/a', 1)
  await broker.publish({ topic: 'a', payload: 'x', qos: 1 })
  await first.nextMessage()
  const second = await kept(broker, 'second')
  await second.subscribe('$share/g/a', 1)
  return { first, second }
}

async function leave(broker: MqttBroker, client: RawClient, clientId: string): Promise<void> {
  client.destroy()
  await clientGone(broker, clientId)
}

const waiting = (store: FailingStore, clientId: string): number =>
  (store.queue(clientId, 0, 9) as readonly unknown[]).length

const isMove = (changes: readonly Change[]): boolean => changes.some(({ type }) => type === 'dequeue')

/** Time for all that is tried again. */
async function pass(clock: SimulatedClock, done: () => boolean): Promise<void> {
  await expect
    .poll(() => {
      clock.advance(1000)
      return done()
    })
    .toBe(true)
}

describe.each(failures)('where the store %s, a message of a shared group', (failure) => {
  it('stays with its member while its move is refused, and reaches the other once', async () => {
    const { broker, store, clock } = await started()
    const { first, second } = await unacknowledged(broker)
    store.concerns = isMove
    store.failure = failure
    await leave(broker, first, 'first')
    await expect.poll(() => store.failures).toBeGreaterThan(0)
    expect(await second.quiet()).toEqual([])
    expect(store.queue('first', 0, 9)).toHaveLength(1)
    expect(store.queue('second', 0, 9)).toEqual([])
    store.failure = undefined
    await pass(clock, () => second.received.length > 0 || waiting(store, 'second') > 0)
    const { text, packet } = await second.nextMessage()
    expect(text).toBe('x')
    await second.acknowledge(packet)
    await expect.poll(() => [store.queue('first', 0, 9), store.queue('second', 0, 9)]).toEqual([[], []])
    expect(await second.quiet()).toEqual([])
  })

  it('comes again to its member, if that is back before the move is kept', async () => {
    const { broker, store } = await started()
    const { first, second } = await unacknowledged(broker)
    store.concerns = isMove
    store.failure = failure
    await leave(broker, first, 'first')
    await expect.poll(() => store.failures).toBeGreaterThan(0)
    store.failure = undefined
    const { text, packet } = await (await kept(broker, 'first')).nextMessage()
    expect([text, packet.dup]).toEqual(['x', true])
    expect(await second.quiet()).toEqual([])
  })

  it('survives the end of its session, although the store refuses the end and the move', async () => {
    const { broker, store, clock } = await started()
    const { first, second } = await unacknowledged(broker)
    store.concerns = isMove
    store.failure = failure
    await leave(broker, first, 'first')
    clock.advance(3_601_000)
    await expect.poll(() => broker.statistics.sessions).toBe(1)
    expect(await second.quiet()).toEqual([])
    store.failure = undefined
    await pass(clock, () => waiting(store, 'second') > 0)
    const { text, packet } = await second.nextMessage()
    expect(text).toBe('x')
    await second.acknowledge(packet)
    await pass(clock, () => [...store.sessions()].length === 1)
    expect(store.queue('first', 0, 9)).toEqual([])
  })
})

it('a message that moves is sent once the move is kept, and no sooner', async () => {
  const { broker, store } = await started()
  const { first, second } = await unacknowledged(broker)
  store.wait()
  await leave(broker, first, 'first')
  expect(await second.quiet()).toEqual([])
  store.goOn()
  expect((await second.nextMessage()).text).toBe('x')
})

describe('a QoS 2 message of a shared group whose own commit is open', () => {
  it('is not handed on, and never comes if that commit is refused', async () => {
    const { broker, store } = await started()
    const first = await kept(broker, 'first')
    await first.subscribe('$share/g/a', 2)
    const publisher = await kept(broker, 'publisher')
    const second = await kept(broker, 'second')
    await second.subscribe('$share/g/a', 2)
    store.wait()
    store.failure = 'rejects later'
    store.concerns = (changes) => changes.some(({ type }) => type === 'hold')
    publisher.sendPublish('a', 'x', { qos: 2, messageId: 1 })
    await expect.poll(() => store.waits).toBe(1)
    store.failure = undefined
    await leave(broker, first, 'first')
    store.goOn()
    expect(await publisher.next('pubrec')).toMatchObject({ reasonCode: QUOTA_EXCEEDED })
    expect(await second.quiet()).toEqual([])
    await publisher.publish('a', 'again', { qos: 2, messageId: 2 })
    expect((await second.nextMessage()).text).toBe('again')
  })

  it.each([false, true])('is handed on once when that commit is kept (its session has ended: %s)', async (ends) => {
    const { broker, store } = await started()
    const first = await kept(broker, 'first')
    await first.subscribe('$share/g/a', 2)
    const publisher = await kept(broker, 'publisher')
    const second = await kept(broker, 'second')
    await second.subscribe('$share/g/a', 2)
    store.wait()
    publisher.sendPublish('a', 'x', { qos: 2, messageId: 1 })
    await expect.poll(() => store.waits).toBe(1)
    if (ends) {
      const gone = clientGone(broker, 'first')
      first.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } })
      await gone
    } else await leave(broker, first, 'first')
    expect(await second.quiet()).toEqual([])
    store.goOn()
    expect((await second.nextMessage()).text).toBe('x')
    expect(await second.quiet()).toEqual([])
  })
})
