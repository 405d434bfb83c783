import { once } from 'node:events'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { inProcess, type MqttBrokerOptions } from '../../src/index'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { type TestBroker, testBroker } from '../../src/testing/test-broker'

const patience = { timeout: 5000, interval: 5 }

async function started(options: MqttBrokerOptions = {}): Promise<TestBroker> {
  const broker = await testBroker(options)
  onTestFinished(() => broker.stop())
  return broker
}

async function connected(broker: TestBroker, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(broker.url, { reconnectPeriod: 0, ...options })
  client.on('error', () => undefined)
  onTestFinished(() => void client.end(true))
  return client
}

describe('a test broker', () => {
  it('remembers what is published, by clients and by the application', async () => {
    const broker = await started()
    const lamp = await connected(broker, { clientId: 'lamp' })
    await lamp.publishAsync('lamp/1', 'on', { qos: 1 })
    await broker.publish({ topic: 'all/off', payload: 'now' })
    expect(broker.received().map(({ topic, publisher }) => [topic, publisher])).toEqual([
      ['lamp/1', 'lamp'],
      ['all/off', undefined],
    ])
    expect(broker.received('lamp/+').map(({ payload }) => payload.toString())).toEqual(['on'])
    broker.clear()
    expect(broker.received()).toEqual([])
    expect(() => broker.received('a/#/b')).toThrow(expect.objectContaining({ code: 'GNATMQ_TOPIC_FILTER_INVALID' }))
  })

  it('waits for a message that is there already, or comes later, or is the one', async () => {
    const broker = await started()
    await broker.publish({ topic: 'lamp/1', payload: 'on' })
    expect((await broker.waitFor('lamp/+')).payload.toString()).toBe('on')
    const off = broker.waitFor('lamp/1', { where: ({ payload }) => payload.toString() === 'off' })
    await broker.publish({ topic: 'lamp/1', payload: 'dim' })
    await broker.publish({ topic: 'lamp/1', payload: 'off' })
    expect((await off).payload.toString()).toBe('off')
  })

  it('says what was published instead of what a test waits for', async () => {
    const broker = await started()
    const waits = broker.waitFor('lamp/2', { timeout: 20 })
    await expect(waits).rejects.toMatchObject({ code: 'GNATMQ_WAIT_TIMEOUT', message: /nothing was published/ })
    await broker.publish({ topic: 'lamp/1', payload: 'on' })
    await expect(broker.waitFor('lamp/2', { timeout: 20 })).rejects.toThrow(/lamp\/1 \(2 bytes\)/)
    await expect(broker.waitUntil(() => false, { timeout: 20 })).rejects.toMatchObject({ code: 'GNATMQ_WAIT_TIMEOUT' })
    await expect(broker.waitUntil(() => broker.received('x/#/y'))).rejects.toMatchObject({
      code: 'GNATMQ_TOPIC_FILTER_INVALID',
    })
  })

  it('shows a Will after an hour of delay at once', async () => {
    const clock = new SimulatedClock()
    const broker = await started({ clock })
    const will = { topic: 'gone', payload: Buffer.from('lamp'), properties: { willDelayInterval: 3600 } }
    const properties = { sessionExpiryInterval: 7200 }
    await connected(broker, { clientId: 'lamp', protocolVersion: 5, clean: false, properties, will })
    broker.link('lamp').cut()
    await broker.waitUntil(() => broker.clients.size === 0)
    clock.advance(3599_000)
    expect(broker.received('gone')).toEqual([])
    clock.advance(2000)
    expect((await broker.waitFor('gone')).payload.toString()).toBe('lamp')
  })

  it('serves other listeners too', async () => {
    const local = inProcess()
    const broker = await started({ listeners: [local] })
    expect(broker.addresses).toHaveLength(1)
    const stream = local.connect()
    stream.on('error', () => undefined)
    stream.write(Buffer.from('100d00044d5154540402003c000178', 'hex'))
    const [connack] = await once(stream, 'data')
    expect(connack).toEqual(Buffer.from('20020000', 'hex'))
    broker.link('x').cut()
    await once(stream, 'close')
  })
})

describe('the link of a client', () => {
  it('holds back everything while it is partitioned, and no other client', async () => {
    const broker = await started()
    const link = broker.link('lamp')
    const lamp = await connected(broker, { clientId: 'lamp' })
    const other = await connected(broker, { clientId: 'other' })
    const received: string[] = []
    lamp.on('message', (_topic, payload) => received.push(payload.toString()))
    await lamp.subscribeAsync('to/lamp', { qos: 1 })
    link.partition()
    const published = lamp.publishAsync('from/lamp', 'x', { qos: 1 })
    for (const payload of ['1', '2', '3']) await other.publishAsync('to/lamp', payload, { qos: 1 })
    expect(broker.received('from/lamp')).toEqual([])
    expect(received).toEqual([])
    link.heal()
    await published
    await vi.waitFor(() => expect(received).toEqual(['1', '2', '3']), patience)
    expect(broker.received('from/lamp')).toHaveLength(1)
  })

  it('hides the end of a connection while it is partitioned, until Keep Alive tells of it', async () => {
    const clock = new SimulatedClock()
    const broker = await started({ clock })
    const lamp = await connected(broker, { clientId: 'lamp', keepalive: 60 })
    broker.link('lamp').partition()
    lamp.end(true)
    await broker.publish({ topic: 'a', payload: '' })
    expect([...broker.clients.keys()]).toEqual(['lamp'])
    clock.advance(91_000)
    await broker.waitUntil(() => broker.clients.size === 0)
  })

  it('loses packets, so that QoS 1 comes again', async () => {
    const broker = await started()
    const lamp = await connected(broker, { clientId: 'lamp', reconnectPeriod: 1, clean: false })
    broker.link('lamp').drop({ direction: 'toClient', packet: 'puback', times: 1 })
    const published = lamp.publishAsync('lamp/1', 'on', { qos: 1 })
    await broker.waitFor('lamp/1')
    broker.link('lamp').cut()
    await published
    expect(broker.received('lamp/1')).toHaveLength(2)
  })

  it('delays packets by the clock of the broker, in their order', async () => {
    const clock = new SimulatedClock()
    const broker = await started({ clock })
    const lamp = await connected(broker, { clientId: 'lamp' })
    const end = broker.link('lamp').delay(5000, { packet: 'publish' })
    lamp.publish('a', '1')
    await broker.waitUntil(() => clock.pending > 1)
    end()
    lamp.publish('a', '2')
    await lamp.publishAsync('a', '3').catch(() => undefined)
    expect(broker.received()).toEqual([])
    clock.advance(5000)
    await broker.waitUntil(() => broker.received('a').length === 3)
    expect(broker.received('a').map(({ payload }) => payload.toString())).toEqual(['1', '2', '3'])
  })

  it('splits packets into bytes', async () => {
    const broker = await started()
    broker.link('lamp').split(1)
    const lamp = await connected(broker, { clientId: 'lamp', protocolVersion: 5 })
    await lamp.subscribeAsync('a', { qos: 2 })
    const message = new Promise<string>((resolve) =>
      lamp.once('message', (_topic, payload) => resolve(String(payload))),
    )
    await lamp.publishAsync('a', 'in pieces', { qos: 2 })
    expect(await message).toBe('in pieces')
  })

  it('corrupts packets, so that the connection ends', async () => {
    const broker = await started()
    const errors: string[] = []
    broker.on('clientError', ({ code }) => errors.push(code))
    const lamp = await connected(broker, { clientId: 'lamp', protocolVersion: 5 })
    const spoil = (packet: Buffer): Buffer => Buffer.concat([packet.subarray(0, 2), Buffer.from([0xff, 0xff])])
    broker.link('lamp').corrupt(spoil, { packet: 'publish', direction: 'toBroker', times: 1 })
    lamp.publish('a', 'four')
    await broker
      .waitUntil(() => errors.length > 0 || broker.clients.size === 0, { timeout: 500 })
      .catch(() => undefined)
    broker.link('lamp').restore()
    lamp.publish('a', 'more')
    await broker.waitUntil(() => errors.length > 0)
    expect(errors[0]).toMatch(/^GNATMQ_(MALFORMED_PACKET|PROTOCOL_ERROR|TOPIC_NAME_INVALID)$/)
  })

  it('refuses faults that are none', async () => {
    const broker = await started()
    expect(() => broker.link('x').delay(-1)).toThrow(RangeError)
    expect(() => broker.link('x').split(0)).toThrow(RangeError)
  })
})
