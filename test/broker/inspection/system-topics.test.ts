import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/index'
import { VERSION } from '../../../src/ports/version'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { connectClient, startBroker } from '../../support/broker'
import { project } from '../../support/build'
import { stores } from '../../support/stores'

async function topicsOf(broker: MqttBroker): Promise<Record<string, string>> {
  const topics: Record<string, string> = {}
  for await (const { topic, payload } of broker.retained('$SYS/#')) topics[topic.slice(12)] = `${payload}`
  return topics
}

it('counts are published below $SYS, at once and each interval', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock, sysInterval: 10_000 })
  expect(await topicsOf(broker)).toMatchObject({ uptime: '0 seconds', 'clients/connected': '0', 'bytes/received': '0' })
  const client = await connectClient(broker)
  await client.subscribe('$SYS/broker/clients/connected')
  expect(await client.nextMessage()).toMatchObject({ text: '0', retain: true })
  clock.advance(10_000)
  expect(await client.nextMessage()).toMatchObject({ text: '1', retain: false })
  // what has not changed is not published again
  clock.advance(10_000)
  expect(await client.quiet()).toEqual([])
  expect(await topicsOf(broker)).toMatchObject({ uptime: '20 seconds', version: `gnatmq version ${VERSION}` })
  const { version } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { version: string }
  expect(VERSION).toBe(version)
})

it('averages are those of mosquitto', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock, sysInterval: 10_000 })
  const client = await connectClient(broker)
  for (let n = 0; n < 30; n++) await client.publish('a', 'x', { qos: 1 })
  clock.advance(10_000)
  // 30 in 10 s are 180 a minute, and exp(-10/60) of what was before stays
  const [one, five, fifteen] = [1, 5, 15].map((minutes) => 180 * (1 - Math.exp(-10 / (60 * minutes))))
  const name = 'load/publish/received'
  expect(await topicsOf(broker)).toMatchObject({
    [`${name}/1min`]: one!.toFixed(2),
    [`${name}/5min`]: five!.toFixed(2),
    [`${name}/15min`]: fifteen!.toFixed(2),
  })
  clock.advance(10_000)
  expect((await topicsOf(broker))[`${name}/1min`]).toBe((one! * Math.exp(-10 / 60)).toFixed(2))
})

it('# does not match them, no client publishes there, and authorizeSubscribe says who reads them', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({
    clock,
    sysInterval: 1000,
    authorizeSubscribe: ({ clientId }, { filter }) => !filter.startsWith('$SYS') || clientId === 'admin',
  })
  const published: string[] = []
  broker.on('published', ({ topic }) => published.push(topic))
  broker.on('retainedChanged', (topic) => published.push(topic))
  const client = await connectClient(broker, { protocolVersion: 5 })
  expect((await client.subscribe('$SYS/#')).granted).toEqual([0x87])
  expect((await client.subscribe('#')).granted).toEqual([0])
  expect(await client.publish('$SYS/broker/uptime', 'x', { qos: 1 })).toMatchObject({ reasonCode: 0x87 })
  clock.advance(3000)
  expect(await client.quiet()).toEqual([])
  const admin = await connectClient(broker, { clientId: 'admin', protocolVersion: 5 })
  expect((await admin.subscribe('$SYS/broker/uptime')).granted).toEqual([0])
  expect(await admin.nextMessage()).toMatchObject({ text: '3 seconds' })
  expect(published).toEqual([])
})

it.each(stores())('$name keeps none of them', async ({ make }) => {
  const store = make()
  const clock = new SimulatedClock()
  const first = await startBroker({ clock, store, sysInterval: 1000 })
  clock.advance(2000)
  expect(Object.keys(await topicsOf(first)).length).toBeGreaterThan(20)
  expect(first.statistics.commits).toBe(0)
  await first.stop()
  expect(clock.pending).toBe(0)
  const second = await startBroker({ clock, store })
  expect(await topicsOf(second)).toEqual({})
})

it('a broker that retains nothing publishes them all the same', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock, sysInterval: 1000, retainAvailable: false })
  const client = await connectClient(broker)
  await client.subscribe('$SYS/broker/uptime')
  clock.advance(1000)
  expect(await client.nextMessage()).toMatchObject({ text: '1 seconds', retain: false })
})
