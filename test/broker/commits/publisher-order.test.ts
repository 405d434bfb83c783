import type { IPublishPacket } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { Change } from '../../../src/ports/store'
import { FailingStore, type Failure } from '../../persistence/failing-store'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'

const QUOTA_EXCEEDED = 0x97
const failures: Failure[] = ['throws', 'rejects', 'rejects later']

function kept(broker: MqttBroker, clientId: string, version: 4 | 5 = 5): Promise<RawClient> {
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
  return connectClient(broker, { clientId, clean: false, protocolVersion: version, ...properties })
}

/** A session that is subscribed to `a` with QoS 2, without its client; and a publisher. */
async function started(version: 4 | 5) {
  const store = new FailingStore()
  const broker = await startBroker({ store })
  const subscriber = await kept(broker, 'subscriber')
  await subscriber.subscribe('a', 2)
  await subscriber.disconnect()
  await clientGone(broker, 'subscriber')
  return { store, broker, publisher: await kept(broker, 'publisher', version) }
}

const publish = (payload: string, messageId: number, retain = false): IPublishPacket => ({
  cmd: 'publish',
  topic: 'a',
  payload,
  qos: 2,
  messageId,
  retain,
  dup: false,
})

const concerns =
  (payload: string) =>
  (changes: readonly Change[]): boolean =>
    changes.some((change) => {
      const message =
        change.type === 'enqueue' ? change.entry.message : change.type === 'retain' ? change.message : null
      return message !== null && Buffer.from(message.payload).toString() === payload
    })

const queued = (store: FailingStore): string[] =>
  (store.queue('subscriber', 0, 99) as readonly { message: { payload: Uint8Array } }[]).map(({ message }) =>
    Buffer.from(message.payload).toString(),
  )

/** What the subscriber gets in the end. */
async function drained(broker: MqttBroker): Promise<string[]> {
  const client = await kept(broker, 'subscriber')
  const texts: string[] = []
  for (;;) {
    const packets = (await client.quiet()).filter((packet): packet is IPublishPacket => packet.cmd === 'publish')
    if (packets.length === 0) return texts
    for (const packet of packets) {
      texts.push(packet.payload.toString())
      await client.acknowledge(packet)
    }
  }
}

describe.each(failures)(
  'after the store %s one message of an MQTT 3.1.1 client, that closes the connection',
  (failure) => {
    it.each([false, true])(
      'none that the client sent behind it is kept, so that they come in their order (open: %s)',
      async (open) => {
        const { store, broker, publisher } = await started(4)
        if (open) store.wait()
        store.concerns = concerns('A')
        store.failure = failure
        publisher.send(publish('A', 1), publish('B', 2), publish('C', 3))
        if (open) await expect.poll(() => store.failures).toBe(1)
        store.goOn()
        await publisher.closed()
        await expect.poll(() => [queued(store), store.held('publisher')]).toEqual([[], []])
        store.failure = undefined
        const again = await kept(broker, 'publisher', 4)
        for (const [i, payload] of ['A', 'B', 'C'].entries())
          await again.publish('a', payload, { qos: 2, messageId: i + 1, dup: true })
        expect(await drained(broker)).toEqual(['A', 'B', 'C'])
      },
    )

    it('the topic retains in the end what was published last', async () => {
      const { store, broker, publisher } = await started(4)
      store.concerns = concerns('A')
      store.failure = failure
      publisher.send(publish('A', 1, true), publish('B', 2, true))
      await publisher.closed()
      await expect.poll(() => [...store.retained()]).toEqual([])
      expect(broker.statistics.retainedMessages).toBe(0)
      store.failure = undefined
      const again = await kept(broker, 'publisher', 4)
      for (const [i, payload] of ['A', 'B'].entries())
        await again.publish('a', payload, { qos: 2, messageId: i + 1, dup: true, retain: true })
      expect([...store.retained()].map(({ payload }) => Buffer.from(payload).toString())).toEqual(['B'])
      expect(await drained(broker)).toEqual(['A', 'B'])
    })
  },
)

it('an MQTT 5.0 client that has gone before its 0x97 has the messages behind it refused too', async () => {
  const { store, broker, publisher } = await started(5)
  store.wait()
  store.concerns = concerns('A')
  store.failure = 'rejects later'
  publisher.send(publish('A', 1), publish('B', 2))
  await expect.poll(() => store.waits).toBe(2)
  publisher.destroy()
  await clientGone(broker, 'publisher')
  store.goOn()
  await expect.poll(() => [queued(store), store.held('publisher')]).toEqual([[], []])
  store.failure = undefined
  const again = await kept(broker, 'publisher')
  for (const [i, payload] of ['A', 'B'].entries())
    await again.publish('a', payload, { qos: 2, messageId: i + 1, dup: true })
  expect(await drained(broker)).toEqual(['A', 'B'])
})

it.each(failures)('an MQTT 5.0 client that learns of it loses that message alone: the store %s', async (failure) => {
  const { store, broker, publisher } = await started(5)
  store.concerns = concerns('A')
  store.failure = failure
  publisher.send(publish('A', 1), publish('B', 2))
  expect(await publisher.next('pubrec')).toMatchObject({ messageId: 1, reasonCode: QUOTA_EXCEEDED })
  expect(await publisher.next('pubrec')).toMatchObject({ messageId: 2, reasonCode: 0 })
  expect(await drained(broker)).toEqual(['B'])
})

it.each(failures)('a refused SUBSCRIBE refuses the messages behind it: the store %s', async (failure) => {
  const { store, broker, publisher } = await started(5)
  store.concerns = (changes) => changes.some(({ type }) => type === 'subscribe')
  store.failure = failure
  publisher.send(
    { cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: 'other', qos: 1 }] },
    publish('A', 1),
    publish('B', 2),
  )
  await publisher.closed()
  await expect.poll(() => queued(store)).toEqual([])
  expect(broker.statistics.subscriptions).toBe(1)
})
