import mqtt from 'mqtt'
import { expect, it, onTestFinished, vi } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'
import { MemoryStore } from '../../src/persistence/memory-store'
import { connectClient } from '../support/broker'

const settled = { timeout: 10_000, interval: 5 }

async function start(options: MqttBrokerOptions = {}): Promise<MqttBroker> {
  const broker = await MqttBroker.start({ port: 0, logger: silent, ...options })
  onTestFinished(() => broker.stop())
  return broker
}

const silence = (): void => undefined
const silent = { info: silence, warn: silence, error: silence }

it.each([1, 2] as const)('QoS %i: what the handler rejects comes again, and the order is kept', async (qos) => {
  const broker = await start()
  const failures = vi.fn()
  broker.on('handlerFailed', failures)
  const begun: string[] = []
  const done: string[] = []
  let refusals = 2
  await broker.subscribe('a/#', { qos }, async (message) => {
    const text = message.payload.toString()
    begun.push(text)
    if (text === '1' && refusals-- > 0) throw new Error('not now')
    done.push(text)
  })
  for (const payload of ['0', '1', '2', '3']) {
    await broker.publish({ topic: 'a/b', payload, qos })
    if (payload === '1') await vi.waitFor(() => expect(failures).toHaveBeenCalled(), settled)
  }
  await vi.waitFor(() => expect(done).toEqual(['0', '1', '2', '3']), settled)
  expect(begun).toEqual(['0', '1', '1', '1', '2', '3'])
  expect(failures.mock.calls.map(([, , { attempts }]) => attempts)).toEqual([1, 2])
})

it('has no more than its Receive Maximum at a time', async () => {
  const broker = await start()
  const waiting: (() => void)[] = []
  await broker.subscribe(
    'a',
    { qos: 1, receiveMaximum: 3 },
    () => new Promise<void>((resolve) => waiting.push(resolve)),
  )
  for (let i = 0; i < 10; i++) await broker.publish({ topic: 'a', qos: 1 })
  await vi.waitFor(() => expect(waiting.length).toBe(3), settled)
  expect(broker.statistics.queuedMessages).toBe(7)
  for (let i = 0; i < 10; i++) {
    await vi.waitFor(() => expect(waiting.length).toBeGreaterThan(i), settled)
    expect(waiting.length).toBeLessThanOrEqual(i + 3)
    waiting[i]!()
  }
  await vi.waitFor(() => expect(broker.statistics.queuedMessages).toBe(0), settled)
})

it('a durable subscription outlasts its absence and the broker, and has no client', async () => {
  const store = new MemoryStore()
  const broker = new MqttBroker({ port: 0, store, logger: silent })
  const connected = vi.fn()
  broker.on('clientConnected', connected)
  await broker.start()
  onTestFinished(() => broker.stop())
  const got: string[] = []
  const take = (message: { payload: Buffer }): void => void got.push(message.payload.toString())
  const end = await broker.subscribe('a', { durable: 'books' }, take)
  expect(broker.clients.size).toBe(0)
  await expect(broker.subscribe('b', { durable: 'books' }, take)).rejects.toMatchObject({
    code: 'GNATMQ_OPTION_INVALID',
  })
  end()
  await vi.waitFor(() => expect(broker.statistics.clients).toBe(0), settled)
  await broker.publish({ topic: 'a', payload: 'absent', qos: 1 })
  expect(broker.statistics.queuedMessages).toBe(1)
  await broker.subscribe('b', { durable: 'books' }, take)
  await vi.waitFor(() => expect(got).toEqual(['absent']), settled)
  await vi.waitFor(() => expect(broker.statistics.subscriptions).toBe(1), settled)
  await broker.stop()
  await broker.start()
  await broker.publish({ topic: 'a', payload: 'former filter', qos: 1 })
  await broker.publish({ topic: 'b', payload: 'again', qos: 1 })
  await vi.waitFor(() => expect(got).toEqual(['absent', 'again']), settled)
  expect(connected).not.toHaveBeenCalled()
})

it('forgets a durable session, and lets it expire', async () => {
  const broker = await start()
  const end = await broker.subscribe('a', { durable: 'one' }, silence)
  end({ forget: true })
  await vi.waitFor(() => expect(broker.statistics.sessions).toBe(0), settled)
  const leave = await broker.subscribe('a', { durable: 'two', expiresAfter: 1 }, silence)
  leave()
  await vi.waitFor(() => expect(broker.statistics.clients).toBe(0), settled)
  expect(broker.statistics.sessions).toBe(1)
  await vi.waitFor(() => expect(broker.statistics.sessions).toBe(0), settled)
})

it('members of a group share, noLocal leaves out the application, a signal ends', async () => {
  const broker = await start()
  const members = [0, 0]
  const ends = new AbortController()
  const { signal } = ends
  await broker.subscribe('g', { group: 'team', signal }, () => void members[0]!++)
  await broker.subscribe('g', { group: 'team', qos: 1, signal }, () => void members[1]!++)
  const foreign: string[] = []
  await broker.subscribe('#', { noLocal: true, signal }, ({ topic }) => void foreign.push(topic))
  for (let i = 0; i < 10; i++) await broker.publish({ topic: 'g', qos: 1 })
  const client = await connectClient(broker)
  client.send({ cmd: 'publish', topic: 'from/client', payload: '', qos: 0, dup: false, retain: false })
  await vi.waitFor(() => expect(foreign).toEqual(['from/client']), settled)
  await vi.waitFor(() => expect(members).toEqual([5, 5]), settled)
  ends.abort()
  await vi.waitFor(() => expect(broker.statistics.sessions).toBe(1), settled)
})

it('asks no hook about the application, and no client gets its Client Identifiers', async () => {
  const no = vi.fn(() => false)
  const broker = await start({ authenticate: () => true, authorizeSubscribe: no, authorizeDelivery: no })
  const got = vi.fn()
  await broker.subscribe('a', { durable: 'mine' }, got)
  await broker.publish({ topic: 'a', qos: 1 })
  await vi.waitFor(() => expect(got).toHaveBeenCalledTimes(1), settled)
  expect(no).not.toHaveBeenCalled()
  const thief = new mqtt.MqttClient(() => broker.connect(), {
    clientId: '$application/durable/mine',
    clean: false,
    reconnectPeriod: 0,
    protocolVersion: 5,
  })
  const error = await new Promise<unknown>((resolve) => thief.once('error', resolve))
  expect(error).toMatchObject({ code: 0x85 })
  await thief.endAsync(true)
  await broker.publish({ topic: 'a', qos: 1 })
  await vi.waitFor(() => expect(got).toHaveBeenCalledTimes(2), settled)
})

it('connects MQTT.js without a listener', async () => {
  const broker = await start({ listeners: [] })
  const client = new mqtt.MqttClient(() => broker.connect(), { reconnectPeriod: 0 })
  await client.subscribeAsync('a')
  const message = new Promise((resolve) => client.once('message', (topic) => resolve(topic)))
  await broker.publish({ topic: 'a' })
  expect(await message).toBe('a')
  await client.endAsync()
})

it.each([
  [{ qos: 3 }],
  [{ durable: '' }],
  [{ durable: 'a', qos: 0 }],
  [{ group: 'a/b' }],
  [{ group: 'a', noLocal: true }],
  [{ expiresAfter: 1 }],
  [{ receiveMaximum: 0 }],
  [{ signal: 1 }],
])('refuses %j', async (options) => {
  const broker = new MqttBroker()
  await expect(broker.subscribe('a', options as object, silence)).rejects.toMatchObject({
    code: 'GNATMQ_OPTION_INVALID',
  })
})
