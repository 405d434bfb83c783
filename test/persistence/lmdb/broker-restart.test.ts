import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { afterEach, expect, it } from 'vitest'
import { MqttBroker } from '../../../src/index'
import { lmdbStore } from '../../../src/persistence/lmdb'
import { scratchFolder, until } from './store-fixture'

const brokers: MqttBroker[] = []
afterEach(async () => {
  for (const broker of brokers.splice(0)) await broker.stop()
})

async function startBroker(folder: string): Promise<MqttBroker> {
  const broker = await MqttBroker.start({ port: 0, store: lmdbStore(folder) })
  brokers.push(broker)
  return broker
}

function client(broker: MqttBroker, options: IClientOptions): MqttClient {
  return connect(`mqtt://127.0.0.1:${broker.port}`, { reconnectPeriod: 0, ...options })
}

it('a broker that starts again has its sessions, their queues and the retained messages', async () => {
  const folder = scratchFolder()
  const reader = { clientId: 'reader', clean: false }
  const first = await startBroker(folder)
  const before = client(first, reader)
  await before.subscribeAsync('news/#', { qos: 2 })
  await before.endAsync()
  const writer = client(first, { clientId: 'writer' })
  for (let i = 0; i < 20; i++) await writer.publishAsync(`news/${i}`, `${i}`, { qos: i % 2 ? 1 : 2 })
  await writer.publishAsync('state', 'kept', { qos: 1, retain: true })
  await writer.endAsync()
  await first.stop()

  const second = await startBroker(folder)
  const received: string[] = []
  const after = client(second, reader)
  after.on('message', (topic, payload) => received.push(`${topic} ${payload}`))
  await until(() => received.length === 20, 'the queue is delivered')
  // in the order of each QoS: what is sent with QoS 2 reaches the application later
  for (const odd of [0, 1]) {
    const expected = Array.from({ length: 10 }, (_, i) => `news/${2 * i + odd} ${2 * i + odd}`)
    expect(received.filter((text) => Number(text.split(' ')[1]) % 2 === odd)).toEqual(expected)
  }
  await after.subscribeAsync('state')
  await until(() => received.length === 21, 'the retained message comes')
  expect(received[20]).toBe('state kept')
  await after.endAsync()
  await second.stop()

  const third = await startBroker(folder)
  const late = client(third, reader)
  const again: string[] = []
  late.on('message', (topic) => again.push(topic))
  await late.publishAsync('news/last', 'x', { qos: 1 })
  await until(() => again.length > 0, 'the last message comes')
  expect(again).toEqual(['news/last'])
  await late.endAsync()
})
