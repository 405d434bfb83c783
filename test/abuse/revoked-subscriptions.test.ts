import { describe, expect, it, vi } from 'vitest'
import type { Store, SubscribeRequest, SubscribeVerdict } from '../../src/index'
import type { MqttBroker } from '../../src/mqtt-broker'
import { MemoryStore } from '../../src/persistence/memory-store'
import { clientGone, connectClient, startBroker } from '../support/broker'
import type { RawClient } from '../support/raw-client'
import { stores } from '../support/stores'

const patience = { timeout: 10_000, interval: 10 }
const reader = { clientId: 'reader', clean: false } as const

/** Topic, payload and QoS of all that came. */
const messages = (client: RawClient): string[] =>
  client.received.flatMap((packet) =>
    packet.cmd === 'publish' ? [`${packet.topic} ${packet.payload} QoS ${packet.qos}`] : [],
  )

interface Rights {
  /** What `authorizeSubscribe` answers about the client `reader`. */
  verdict: (request: SubscribeRequest) => SubscribeVerdict
}

async function guarded(store: Store): Promise<{ broker: MqttBroker; rights: Rights }> {
  const rights: Rights = { verdict: () => true }
  const broker = await startBroker({
    store,
    authorizeSubscribe: (client, request) => client.clientId !== 'reader' || rights.verdict(request),
  })
  return { broker, rights }
}

/** The reader subscribes and leaves. */
async function subscribeAndLeave(broker: MqttBroker, filters: string[], qos: 1 | 2 = 2): Promise<void> {
  const client = await connectClient(broker, reader)
  await client.subscribe(filters, qos)
  await client.disconnect()
  await clientGone(broker, 'reader')
}

/** What the reader gets when it comes back: so many messages, and no more. */
async function comeBack(broker: MqttBroker, count: number): Promise<string[]> {
  const client = await connectClient(broker, reader)
  client.autoAcknowledge = true
  await vi.waitFor(() => expect(messages(client).length).toBeGreaterThanOrEqual(count), patience)
  // its acknowledgements have been received, and what they made room for has been sent
  await client.quiet()
  await client.quiet()
  const all = messages(client)
  await client.disconnect()
  await clientGone(broker, 'reader')
  return all
}

/** Several pages of the store: more than a session keeps in memory. */
const MANY = 2000

describe.each(stores())(
  'a session that resumes after authorizeSubscribe took a filter away, with $name',
  ({ make }) => {
    it.each([1, 2] as const)('gets nothing of QoS %d that only this filter brought', async (qos) => {
      const { broker, rights } = await guarded(make())
      await subscribeAndLeave(broker, ['secret/#', 'open'], qos)
      for (const topic of ['secret/a', 'open', 'secret/b']) await broker.publish({ topic, payload: 'x', qos })
      rights.verdict = ({ filter }) => filter !== 'secret/#'
      expect(await comeBack(broker, 1)).toEqual([`open x QoS ${qos}`])
      expect(broker.statistics.queuedMessages).toBe(0)
      expect(broker.statistics.droppedMessages).toBe(2)
      rights.verdict = () => true
      expect(await comeBack(broker, 0)).toEqual([])
    })

    it('gets what another of its filters brought as well, with the QoS of that one', async () => {
      const { broker, rights } = await guarded(make())
      await subscribeAndLeave(broker, ['a/#', '$share/g/#'])
      const client = await connectClient(broker, reader)
      await client.subscribe('+/b', 1)
      await client.unsubscribe('$share/g/#')
      await client.disconnect()
      await clientGone(broker, 'reader')
      for (const topic of ['a/b', 'a/c', 'd/b']) await broker.publish({ topic, payload: 'x', qos: 2 })
      rights.verdict = ({ filter }) => filter !== 'a/#'
      expect(await comeBack(broker, 2)).toEqual(['a/b x QoS 1', 'd/b x QoS 1'])
    })

    it('still gets what a filter brought that the client itself has given up', async () => {
      const { broker, rights } = await guarded(make())
      const client = await connectClient(broker, {
        ...reader,
        protocolVersion: 5,
        properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
      })
      await client.subscribe(['kept', 'taken'], 1)
      for (const payload of ['1', '2']) await broker.publish({ topic: 'kept', payload, qos: 1 })
      await client.unsubscribe('kept')
      client.end()
      await clientGone(broker, 'reader')
      rights.verdict = ({ filter }) => filter !== 'taken'
      expect(await comeBack(broker, 2)).toEqual(['kept 1 QoS 1', 'kept 2 QoS 1'])
    })

    it('is spared what lies in the store alone, and that holds after a restart', async () => {
      const store = make()
      const { broker, rights } = await guarded(store)
      await subscribeAndLeave(broker, ['secret', 'open'], 1)
      for (let n = 0; n < MANY; n++)
        void broker.publish({ topic: n % 500 === 0 ? 'open' : 'secret', payload: `${n}`, qos: 1 })
      await vi.waitFor(() => expect(broker.statistics.queuedMessages).toBe(MANY), patience)
      rights.verdict = ({ filter }) => filter !== 'secret'
      const client = await connectClient(broker, {
        ...reader,
        protocolVersion: 5,
        properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
      })
      expect(broker.statistics.queuedMessages + 1).toBe(MANY / 500)
      client.destroy()
      await broker.stop()
      const second = await startBroker({ store })
      expect(await comeBack(second, 4)).toEqual(['0', '500', '1000', '1500'].map((n) => `open ${n} QoS 1`))
    })

    it('keeps to a lower QoS that holds from now on, also after a restart', async () => {
      const store = make()
      const { broker, rights } = await guarded(store)
      await subscribeAndLeave(broker, ['a', 'b'])
      for (let n = 0; n < MANY; n++) void broker.publish({ topic: n % 2 === 0 ? 'a' : 'b', payload: `${n}`, qos: 2 })
      await vi.waitFor(() => expect(broker.statistics.queuedMessages).toBe(MANY), patience)
      rights.verdict = ({ filter }) => ({ qos: filter === 'a' ? 1 : 2 })
      const client = await connectClient(broker, {
        ...reader,
        protocolVersion: 5,
        properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
      })
      expect((await client.nextMessage()).qos).toBe(1)
      client.destroy()
      await broker.stop()
      const second = await startBroker({ store })
      await second.publish({ topic: 'a', payload: 'new', qos: 2 })
      const got = await comeBack(second, MANY + 1)
      expect(got.filter((text) => text.startsWith('b '))).toHaveLength(MANY / 2)
      expect(got.filter((text) => text.startsWith('b ')).every((text) => text.endsWith('QoS 2'))).toBe(true)
      expect(got.filter((text) => text.startsWith('a '))).toHaveLength(MANY / 2 + 1)
      expect(got.filter((text) => text.startsWith('a ')).every((text) => text.endsWith('QoS 1'))).toBe(true)
    })

    it('is sent nothing again that it had not acknowledged', async () => {
      const { broker, rights } = await guarded(make())
      const client = await connectClient(broker, reader)
      await client.subscribe(['secret', 'open'], 2)
      for (const qos of [1, 2] as const) {
        await broker.publish({ topic: 'secret', payload: 'x', qos })
        await broker.publish({ topic: 'open', payload: 'x', qos })
      }
      for (let n = 0; n < 4; n++) await client.nextMessage()
      client.destroy()
      await clientGone(broker, 'reader')
      rights.verdict = ({ filter }) => filter !== 'secret'
      expect(await comeBack(broker, 2)).toEqual(['open x QoS 1', 'open x QoS 2'])
    })

    it('has what came through a shared group handed to another member', async () => {
      const { broker, rights } = await guarded(make())
      const group = '$share/g/t'
      const other = await connectClient(broker, { clientId: 'other', clean: false })
      await other.subscribe(group, 2)
      await other.disconnect()
      await clientGone(broker, 'other')
      await subscribeAndLeave(broker, [group, 't'], 2)
      for (let n = 0; n < 6; n++) await broker.publish({ topic: 't', payload: `${n}`, qos: 2 })
      rights.verdict = ({ shareName, topicFilter }) => {
        expect(topicFilter).toBe('t')
        return shareName === undefined
      }
      // of its own subscription it has all
      expect(await comeBack(broker, 6)).toEqual(['0', '1', '2', '3', '4', '5'].map((n) => `t ${n} QoS 2`))
      const again = await connectClient(broker, { clientId: 'other', clean: false })
      again.autoAcknowledge = true
      await vi.waitFor(() => expect(new Set(messages(again)).size).toBe(6), patience)
    })

    it('is asked about again when the store had not kept the answer', async () => {
      const store = make()
      const { broker, rights } = await guarded(store)
      await subscribeAndLeave(broker, ['secret', 'open'], 1)
      for (const topic of ['secret', 'open']) await broker.publish({ topic, payload: 'x', qos: 1 })
      rights.verdict = ({ filter }) => filter !== 'secret'
      const commit = store.commit.bind(store)
      store.commit = (changes) => {
        if (changes.some(({ type }) => type === 'dequeue' || type === 'unsubscribe')) throw new Error('full')
        return commit(changes)
      }
      const refused = await connectClient(broker, reader)
      expect(refused.received[0]).toMatchObject({ cmd: 'connack', returnCode: 3 })
      store.commit = commit
      expect(await comeBack(broker, 1)).toEqual(['open x QoS 1'])
    })
  },
)

describe('a session that resumes with retained messages still to come', () => {
  it('gets no more of those once authorizeSubscribe denies their filter', async () => {
    const { broker, rights } = await guarded(new MemoryStore())
    for (let n = 0; n < 20; n++) await broker.publish({ topic: `r/${n}`, payload: 'x', qos: 1, retain: true })
    const options = {
      ...reader,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
    } as const
    const client = await connectClient(broker, options)
    await client.subscribe('r/#', 1)
    await client.nextMessage()
    client.destroy()
    await clientGone(broker, 'reader')
    rights.verdict = () => false
    expect(await comeBack(broker, 0)).toEqual([])
    rights.verdict = () => true
    expect(await comeBack(broker, 0)).toEqual([])
  })
})
