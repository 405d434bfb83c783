import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import { MemoryStore } from '../../../src/persistence/memory-store'
import { SlowStore } from '../../model/slow-store'
import { FailingStore } from '../../persistence/failing-store'
import { clientGone, connectClient, startBroker } from '../../support/broker'

const QUOTA_EXCEEDED = 0x97

/** A broker whose `authorizeDelivery` publishes `within` each time that `t` is about to be sent. */
async function started(within: () => void = () => undefined) {
  const store = new FailingStore()
  const nested: Promise<unknown>[] = []
  const broker: MqttBroker = await startBroker({
    store,
    authorizeDelivery: (_client, { topic }) => {
      if (topic !== 't') return true
      within()
      nested.push(broker.publish({ topic: 'u', payload: 'within', qos: 1 }).catch((error: unknown) => error))
      return true
    },
  })
  return { broker, store, nested }
}

function kept(broker: MqttBroker, clientId: string) {
  const properties = { sessionExpiryInterval: 3600 }
  return connectClient(broker, { clientId, clean: false, protocolVersion: 5, properties })
}

/** Subscribed to `t` and `u`: one that is connected, and one that is not. */
async function subscribers(broker: MqttBroker) {
  const absent = await kept(broker, 'absent')
  await absent.subscribe(['t', 'u'], 1)
  await absent.disconnect()
  await clientGone(broker, 'absent')
  const present = await kept(broker, 'present')
  await present.subscribe(['t', 'u'], 1)
  return present
}

describe('what authorizeDelivery publishes in the midst of a message', () => {
  it('does not let the message be acknowledged before all of it is kept', async () => {
    const { broker, store } = await started()
    const present = await kept(broker, 'present')
    await present.subscribe('t', 1)
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    store.wait()
    publisher.sendPublish('t', 'x', { qos: 1, messageId: 7 })
    await expect.poll(() => store.waits).toBeGreaterThan(0)
    expect(await publisher.quiet()).toEqual([])
    store.goOn()
    expect(await publisher.next('puback')).toMatchObject({ messageId: 7 })
  })

  it('is refused with the message that it is committed with', async () => {
    const { broker, store, nested } = await started()
    const present = await subscribers(broker)
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    store.failure = 'rejects later'
    // what is left of the message once something within it was committed
    store.concerns = () => store.failures === 0
    const answer = await publisher.publish('t', 'x', { qos: 1 })
    expect(answer).toMatchObject({ reasonCode: QUOTA_EXCEEDED })
    expect(await Promise.all(nested)).toEqual([expect.objectContaining({ code: 'GNATMQ_STORE_FAILED' })])
    store.failure = undefined
    await present.quiet()
    const absent = await kept(broker, 'absent')
    expect(await absent.quiet()).toEqual([])
  })

  it('arrives once the store has answered, and so does the message', async () => {
    const { broker, store, nested } = await started()
    const present = await subscribers(broker)
    store.wait()
    const published = broker.publish({ topic: 't', payload: 'x', qos: 1 })
    await expect.poll(() => store.waits).toBe(1)
    store.goOn()
    await published
    expect(await Promise.all(nested)).toEqual([undefined])
    const texts = [await present.nextMessage(), await present.nextMessage()].map(({ text }) => text)
    expect(texts.sort()).toEqual(['within', 'x'])
    const absent = await kept(broker, 'absent')
    const later = [await absent.nextMessage(), await absent.nextMessage()].map(({ text }) => text)
    expect(later.sort()).toEqual(['within', 'x'])
  })

  it('does not send a QoS 2 message of the queue before its identifier is kept', async () => {
    const { broker, store } = await started(() => store.wait())
    const before = await kept(broker, 'reader')
    await before.subscribe(['t', 'v'], 2)
    await before.disconnect()
    await clientGone(broker, 'reader')
    await broker.publish({ topic: 'v', payload: 'exactly once', qos: 2 })
    await broker.publish({ topic: 't', payload: 'at least once', qos: 1 })
    const reader = await kept(broker, 'reader')
    expect(await reader.nextMessage()).toMatchObject({ text: 'at least once' })
    expect(await reader.quiet()).toEqual([])
    store.goOn()
    expect(await reader.nextMessage()).toMatchObject({ text: 'exactly once' })
  })

  it('keeps a connection that the hook ends from committing half of a message', async () => {
    const ended: { end(): void } = { end: () => undefined }
    const { broker, store } = await started(() => ended.end())
    await subscribers(broker)
    const other = await kept(broker, 'other')
    await other.subscribe('u', 1)
    ended.end = () => broker.clients.get('other')?.disconnect()
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    store.wait()
    publisher.sendPublish('t', 'x', { qos: 1 })
    await other.closed()
    expect(await publisher.quiet()).toEqual([])
    expect(store.waits).toBe(1)
    store.goOn()
    await publisher.next('puback')
  })

  it.each([
    ['answers at once', false],
    ['takes its time', true],
  ])(
    'loses nothing of a queue that lies in a store that %s',
    async (_what, slow) => {
      const store = slow ? new SlowStore() : new MemoryStore()
      const broker: MqttBroker = await startBroker({
        store,
        limits: { maximumQueuedMessages: 10_000 },
        authorizeDelivery: (_client, { topic }) => {
          if (topic === 't') void broker.publish({ topic: 'u', qos: 1 })
          return true
        },
      })
      const before = await kept(broker, 'reader')
      await before.subscribe(['t', 'u'], 2)
      await before.disconnect()
      await clientGone(broker, 'reader')
      // more than a session keeps in memory
      const count = 1500
      const published = Array.from({ length: count }, (_, i) =>
        broker.publish({ topic: 't', payload: `${i}`, qos: i % 2 === 0 ? 1 : 2 }),
      )
      await Promise.all(published)
      const reader = await kept(broker, 'reader')
      reader.autoAcknowledge = true
      const received = (topic: string) =>
        reader.received.flatMap((packet) => (packet.cmd === 'publish' && packet.topic === topic ? [packet] : []))
      await expect.poll(() => received('t').length, { timeout: 20_000 }).toBe(count)
      await expect.poll(() => received('u').length, { timeout: 20_000 }).toBe(count)
      const numbers = received('t').map(({ payload }) => Number(payload.toString()))
      expect(new Set(numbers).size).toBe(count)
    },
    30_000,
  )
})
