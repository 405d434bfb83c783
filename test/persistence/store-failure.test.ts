import type { IPublishPacket } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../src/mqtt-broker'
import type { Change } from '../../src/ports/store'
import { MqttError } from '../../src/protocol/mqtt-error'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { clientGone, connectClient, openClient, startBroker } from '../support/broker'
import type { ConnectOptions, RawClient } from '../support/raw-client'
import { FailingStore, type Failure } from './failing-store'

const failures: Failure[] = ['throws', 'rejects', 'rejects later']
const QUOTA_EXCEEDED = 0x97

/** A broker, and its store with the errors that it told of. */
async function started() {
  const store = new FailingStore()
  const broker = await startBroker({ store })
  const errors: MqttError[] = []
  broker.on('storeError', (error) => errors.push(error))
  return { broker, store, errors }
}

/** A client whose session is kept. */
function kept(broker: MqttBroker, clientId: string, version: 4 | 5 = 5, options: ConnectOptions = {}) {
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
  return connectClient(broker, { clientId, clean: false, protocolVersion: version, ...properties, ...options })
}

/** A session that is subscribed to `a` with QoS 2, without its client. */
async function absentSubscriber(broker: MqttBroker, clientId = 'subscriber'): Promise<void> {
  const client = await kept(broker, clientId)
  await client.subscribe('a', 2)
  await client.disconnect()
  await clientGone(broker, clientId)
}

/** Everything that the client is sent and has not seen, acknowledged. */
async function drain(client: RawClient): Promise<string[]> {
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

const concerning =
  (type: Change['type']) =>
  (changes: readonly Change[]): boolean =>
    changes.some((change) => change.type === type)

const present = (client: RawClient): unknown => (client.received[0] as { sessionPresent: boolean }).sessionPresent

describe.each(failures)('a broker whose store %s', (failure) => {
  it('refuses a message in MQTT 5.0 with 0x97, and takes it once when the store is well again', async () => {
    const { broker, store } = await started()
    await absentSubscriber(broker)
    const publisher = await kept(broker, 'publisher')
    store.failure = failure
    for (const qos of [1, 2] as const)
      expect(await publisher.publish('a', `q${qos}`, { qos, messageId: qos })).toMatchObject({
        cmd: qos === 1 ? 'puback' : 'pubrec',
        reasonCode: QUOTA_EXCEEDED,
      })
    store.failure = undefined
    for (const qos of [1, 2] as const)
      expect((await publisher.publish('a', `q${qos}`, { qos, messageId: qos }))?.reasonCode ?? 0).toBe(0)
    expect(await drain(await kept(broker, 'subscriber'))).toEqual(['q1', 'q2'])
  })

  it.each([1, 2] as const)(
    'closes without a word in MQTT 3.1.1, and takes a QoS %i message once when it is sent again',
    async (qos) => {
      const { broker, store } = await started()
      await absentSubscriber(broker)
      const publisher = await kept(broker, 'publisher', 4)
      store.failure = failure
      publisher.sendPublish('a', 'x', { qos, messageId: 7 })
      await publisher.closed()
      expect(publisher.received.map(({ cmd }) => cmd)).toEqual(['connack'])
      await clientGone(broker, 'publisher')
      store.failure = undefined
      const again = await kept(broker, 'publisher', 4)
      expect(present(again)).toBe(true)
      await again.publish('a', 'x', { qos, messageId: 7, dup: true })
      // the identifier is free, and not held
      await again.publish('a', 'y', { qos, messageId: 7 })
      expect(await drain(await kept(broker, 'subscriber'))).toEqual(['x', 'y'])
    },
  )

  it('goes on with QoS 0, and with sessions that are not kept', async () => {
    const { broker, store } = await started()
    const subscriber = await connectClient(broker)
    await subscriber.subscribe('a', 2)
    const publisher = await connectClient(broker)
    store.failure = failure
    for (const qos of [0, 1, 2] as const) await publisher.publish('a', `q${qos}`, { qos })
    expect(await drain(subscriber)).toEqual(['q0', 'q1', 'q2'])
  })

  it('tells of each commit that failed, with what the store said', async () => {
    const { broker, store, errors } = await started()
    await absentSubscriber(broker)
    store.failure = failure
    await expect(broker.publish({ topic: 'a', qos: 1 })).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
    expect(errors).toHaveLength(store.failures)
    expect(errors[0]).toBeInstanceOf(MqttError)
    expect(errors[0]).toMatchObject({ code: 'GNATMQ_STORE_FAILED', message: expect.stringContaining('ENOSPC') })
  })

  it('does not send a QoS 2 message whose identifier was not kept, and sends it once when it comes again', async () => {
    const { broker, store } = await started()
    const subscriber = await kept(broker, 'subscriber')
    await subscriber.subscribe('a', 2)
    const publisher = await kept(broker, 'publisher')
    store.failure = failure
    await publisher.publish('a', 'x', { qos: 2 })
    expect(await subscriber.quiet()).toEqual([])
    store.failure = undefined
    await publisher.publish('a', 'x', { qos: 2 })
    expect(await drain(subscriber)).toEqual(['x'])
  })

  it('forgets the identifier of a refused message of a client whose session is not kept', async () => {
    const { broker, store } = await started()
    await absentSubscriber(broker)
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    store.failure = failure
    expect(await publisher.publish('a', 'x', { qos: 2, messageId: 7 })).toMatchObject({ reasonCode: QUOTA_EXCEEDED })
    store.failure = undefined
    await publisher.publish('a', 'y', { qos: 2, messageId: 7 })
    expect(await drain(await kept(broker, 'subscriber'))).toEqual(['y'])
  })

  it('says no PUBCOMP for a release that was not kept, and releases when it is asked again', async () => {
    const { broker, store } = await started()
    await absentSubscriber(broker)
    const publisher = await kept(broker, 'publisher')
    publisher.sendPublish('a', 'x', { qos: 2, messageId: 7 })
    await publisher.next('pubrec')
    store.failure = failure
    publisher.send({ cmd: 'pubrel', messageId: 7 })
    await publisher.closed()
    expect(publisher.received.filter(({ cmd }) => cmd === 'pubcomp')).toEqual([])
    await clientGone(broker, 'publisher')
    store.failure = undefined
    const again = await kept(broker, 'publisher')
    expect((await again.release(7)).reasonCode ?? 0).toBe(0)
    await again.publish('a', 'y', { qos: 2, messageId: 7 })
    expect(await drain(await kept(broker, 'subscriber'))).toEqual(['x', 'y'])
  })

  it('says no PUBREL for a PUBREC that was not kept, and sends the PUBLISH again', async () => {
    const { broker, store } = await started()
    const subscriber = await kept(broker, 'subscriber')
    await subscriber.subscribe('a', 2)
    await broker.publish({ topic: 'a', payload: 'x', qos: 2 })
    const { messageId } = await subscriber.next('publish')
    store.failure = failure
    subscriber.send({ cmd: 'pubrec', messageId: messageId! })
    await subscriber.closed()
    expect(subscriber.received.filter(({ cmd }) => cmd === 'pubrel')).toEqual([])
    await clientGone(broker, 'subscriber')
    store.failure = undefined
    const again = await kept(broker, 'subscriber')
    expect(await again.next('publish')).toMatchObject({ messageId, dup: true })
    again.send({ cmd: 'pubrec', messageId: messageId! })
    expect(await again.next('pubrel')).toMatchObject({ messageId })
  })

  it('delivers what waited, although its identifier could not be kept at first, and in its order', async () => {
    const { broker, store } = await started()
    await absentSubscriber(broker)
    for (const payload of ['1', '2', '3']) await broker.publish({ topic: 'a', payload, qos: 2 })
    store.failure = failure
    store.concerns = concerning('assign')
    const subscriber = await kept(broker, 'subscriber')
    expect(await subscriber.quiet()).toEqual([])
    store.failure = undefined
    await broker.publish({ topic: 'a', payload: '4', qos: 2 })
    // each refusal doubles the time until the next attempt
    const sent = () => subscriber.received.some(({ cmd }) => cmd === 'publish')
    await expect.poll(sent, { timeout: 8000 }).toBe(true)
    expect(await drain(subscriber)).toEqual(['1', '2', '3', '4'])
  })

  it('delivers what waited although nothing else happens once the store is well again', async () => {
    const { broker, store } = await started()
    await absentSubscriber(broker)
    await broker.publish({ topic: 'a', payload: 'x', qos: 2 })
    store.failure = failure
    store.concerns = concerning('assign')
    const subscriber = await kept(broker, 'subscriber')
    await subscriber.quiet()
    store.failure = undefined
    expect((await subscriber.nextMessage()).text).toBe('x')
  })

  it('does not bring back what was acknowledged while the store failed', async () => {
    const { broker, store } = await started()
    const subscriber = await kept(broker, 'subscriber')
    await subscriber.subscribe('a', 1)
    await broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    const packet = await subscriber.next('publish')
    store.failure = failure
    await subscriber.acknowledge(packet)
    await subscriber.quiet()
    store.failure = undefined
    await broker.publish({ topic: 'a', payload: 'y', qos: 1 })
    await broker.stop()
    await broker.start()
    expect(await drain(await kept(broker, 'subscriber'))).toEqual(['y'])
  })

  it('grants no subscription that was not kept', async () => {
    const { broker, store } = await started()
    const subscriber = await kept(broker, 'subscriber')
    store.failure = failure
    subscriber.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 1 }] })
    await subscriber.closed()
    expect(subscriber.received.filter(({ cmd }) => cmd === 'suback')).toEqual([])
  })

  it.each([4, 5] as const)('refuses a session that was not kept, and does not know it later (%i)', async (version) => {
    const { broker, store } = await started()
    store.failure = failure
    const refused = await kept(broker, 'lamp', version)
    expect(refused.received[0]).toMatchObject(version === 5 ? { reasonCode: 0x88 } : { returnCode: 3 })
    await refused.closed()
    store.failure = undefined
    expect(present(await kept(broker, 'lamp', version))).toBe(false)
    expect(present(await kept(broker, 'lamp', version))).toBe(true)
  })

  it('keeps a session that it knew when it refuses its client', async () => {
    const { broker, store } = await started()
    await absentSubscriber(broker)
    store.failure = failure
    await (await kept(broker, 'subscriber')).closed()
    store.failure = undefined
    await broker.publish({ topic: 'a', payload: 'x', qos: 2 })
    const again = await kept(broker, 'subscriber')
    expect(present(again)).toBe(true)
    expect(await drain(again)).toEqual(['x'])
  })
})

describe('a commit that fails while later ones are kept', () => {
  it('does not take a retained message away that came after it', async () => {
    const { broker, store } = await started()
    await broker.publish({ topic: 'r', payload: 'old', qos: 1, retain: true })
    store.wait()
    store.failure = 'rejects later'
    store.concerns = concerning('clear')
    const cleared = broker.publish({ topic: 'r', payload: '', qos: 1, retain: true })
    const renewed = broker.publish({ topic: 'r', payload: 'new', qos: 1, retain: true })
    await expect.poll(() => store.waits).toBe(2)
    store.failure = undefined
    store.goOn()
    await expect(cleared).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
    await renewed
    // takes along what is to be tried again
    await broker.publish({ topic: 'other', payload: 'x', qos: 1, retain: true })
    await broker.stop()
    await broker.start()
    const reader = await connectClient(broker)
    await reader.subscribe('r', 1)
    expect(await drain(reader)).toEqual(['new'])
  })

  it('does not take a session away that began after it', async () => {
    const clock = new SimulatedClock(Date.now())
    const store = new FailingStore()
    const broker = await startBroker({ store, clock })
    const options = { properties: { sessionExpiryInterval: 10 } }
    const first = await kept(broker, 'lamp', 5, options)
    await first.disconnect()
    await clientGone(broker, 'lamp')
    store.wait()
    store.failure = 'rejects later'
    clock.advance(10_100)
    await expect.poll(() => store.failures).toBe(1)
    store.failure = undefined
    const connecting = kept(broker, 'lamp', 5, options)
    await expect.poll(() => store.waits).toBe(2)
    store.goOn()
    const second = await connecting
    expect(present(second)).toBe(false)
    await second.subscribe('a', 1)
    await broker.stop()
    await broker.start()
    await broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    expect(await drain(await kept(broker, 'lamp', 5, options))).toEqual(['x'])
  })

  it('does not deliver what it was to keep, under an identifier that the later one kept', async () => {
    const { broker, store } = await started()
    const subscriber = await kept(broker, 'subscriber', 5, {
      properties: { sessionExpiryInterval: 3600, receiveMaximum: 1 },
    })
    await subscriber.subscribe('a', 2)
    await broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    const packet = await subscriber.next('publish')
    store.wait()
    store.failure = 'rejects later'
    store.concerns = concerning('enqueue')
    const refused = broker.publish({ topic: 'a', payload: 'y', qos: 2 })
    await subscriber.acknowledge(packet)
    await expect.poll(() => store.waits).toBe(2)
    store.failure = undefined
    store.goOn()
    await expect(refused).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
    await broker.publish({ topic: 'a', payload: 'y', qos: 2 })
    expect(await drain(subscriber)).toEqual(['y'])
  })
})

describe('a session whose store is slow to answer', () => {
  it('is read once, though its client connects twice meanwhile', async () => {
    const { broker, store } = await started()
    const before = await kept(broker, 'lamp')
    await before.subscribe('a', 2)
    for (const payload of ['x', 'y']) await broker.publish({ topic: 'a', payload, qos: 2 })
    await broker.stop()
    await broker.start()
    store.wait()
    const first = await openClient(broker)
    const options = { clientId: 'lamp', clean: false, properties: { sessionExpiryInterval: 3600 } }
    first.sendConnect({ ...options, protocolVersion: 5 })
    await expect.poll(() => store.waits).toBe(2)
    const second = kept(broker, 'lamp')
    await first.closed()
    await expect.poll(() => store.waits).toBeGreaterThan(2)
    store.goOn()
    expect(await drain(await second)).toEqual(['x', 'y'])
  })
})
