import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MqttClient } from 'mqtt'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import { lmdbStore } from '../../src/persistence/lmdb'
import { MemoryStore } from '../../src/persistence/memory-store'
import type { Store } from '../../src/ports/store'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { skipped, type Target, versionName } from '../interop/foreign-clients'
import { mosquitto } from '../interop/mosquitto'
import { mqttJsClient } from '../interop/mqtt-js'
import { clientGone, connectClient } from '../support/broker'
import type { ConnectOptions, RawClient } from '../support/raw-client'
import { redisStores } from '../support/redis-stores'

const patience = { timeout: 15_000, interval: 10 }
const stores: { name: string; make: () => Store }[] = [
  { name: 'LMDB', make: () => lmdbStore(scratchFolder()) },
  { name: 'one MemoryStore object', make: () => new MemoryStore() },
  ...redisStores(),
]
const versions = [4, 5] as const

function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gnatmq-stop-start-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A broker under a clock that the test moves. */
async function startWith(store: Store): Promise<{ broker: MqttBroker; clock: SimulatedClock }> {
  const clock = new SimulatedClock(Date.now())
  const broker = await MqttBroker.start({ port: 0, store, clock })
  onTestFinished(() => broker.stop())
  return { broker, clock }
}

/** Stops the broker, lets time go by, and starts it again. */
async function restart(broker: MqttBroker, clock?: SimulatedClock, downSeconds = 0): Promise<void> {
  await broker.stop()
  clock?.advance(downSeconds * 1000)
  await broker.start()
}

const target = (broker: MqttBroker, version: 4 | 5): Target => ({
  version,
  host: '127.0.0.1',
  port: broker.port,
  caFile: undefined,
})

/** A raw client with a session that is kept, as far as its options do not say otherwise. */
function rawKept(broker: MqttBroker, version: 4 | 5, clientId: string, options: ConnectOptions = {}) {
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
  return connectClient(broker, { clientId, clean: false, protocolVersion: version, ...properties, ...options })
}

const present = (client: RawClient): unknown => (client.received[0] as { sessionPresent: boolean }).sessionPresent

describe.each(stores)('a broker that is stopped and started again on $name', ({ make }) => {
  describe.each(versions.map((version) => ({ version, name: versionName[version] })))(
    'with $name clients',
    ({ version }) => {
      it('has sessions with their subscriptions, and what came meanwhile, in order', async () => {
        const { broker } = await startWith(make())
        const before = await rawKept(broker, version, 'lamp')
        await before.subscribe('a/+', 2)
        await before.disconnect()
        for (let i = 0; i < 300; i++) await broker.publish({ topic: 'a/b', payload: `${i}`, qos: i % 2 === 0 ? 1 : 2 })
        await restart(broker)
        await broker.publish({ topic: 'a/b', payload: '300', qos: 1 })
        const messages: string[] = []
        const client = await connectedWith(broker, version, 'lamp', messages)
        await broker.publish({ topic: 'a/c', payload: '302', qos: 1 })
        await vi.waitFor(() => expect(messages).toHaveLength(302), patience)
        // order is promised for each QoS of its own
        const all = [...Array.from({ length: 301 }, (_, i) => i), 302]
        const numbers = messages.map(Number)
        for (const parity of [0, 1])
          expect(numbers.filter((n) => n % 2 === parity)).toEqual(all.filter((n) => n % 2 === parity))
        await client.endAsync()
      })

      it.skipIf(skipped(mosquitto.name, mosquitto.missing))('has them for mosquitto_sub -c', async () => {
        const { broker } = await startWith(make())
        const subscribed = new Promise<void>((resolve) => broker.once('subscribed', () => resolve()))
        const options = { filters: ['a'], qos: 2, clientId: 'sub', persistent: true } as const
        const first = mosquitto.subscribe(target(broker, version), { ...options, filters: ['a'], leaves: true })
        await subscribed
        await vi.waitFor(() => expect(broker.clients.size).toBe(0), patience)
        for (const qos of [1, 2] as const) await broker.publish({ topic: 'a', payload: `q${qos}`, qos })
        await restart(broker)
        const second = mosquitto.subscribe(target(broker, version), { ...options, filters: ['a'] })
        await vi.waitFor(() => expect(second.received).toHaveLength(2), patience)
        expect(first.received).toEqual([])
        expect(second.received).toEqual([
          { topic: 'a', payload: 'q1', qos: 1, retain: false },
          { topic: 'a', payload: 'q2', qos: 2, retain: false },
        ])
        await second.kill()
      })

      it('has retained messages, and none that was cleared', async () => {
        const { broker } = await startWith(make())
        await broker.publish({ topic: 'r/old', payload: 'old', qos: 1, retain: true })
        await broker.publish({ topic: 'r/old', payload: 'new', qos: 1, retain: true })
        await broker.publish({ topic: 'r/gone', payload: 'gone', qos: 2, retain: true })
        await broker.publish({ topic: 'r/gone', payload: '', qos: 2, retain: true })
        await broker.publish({ topic: 'r/most once', payload: 'zero', retain: true })
        await restart(broker)
        const client = await connectClient(broker, { protocolVersion: version })
        await client.subscribe('r/#', 2)
        const found = (await client.quiet()).map((packet) =>
          packet.cmd === 'publish' ? [packet.topic, packet.payload.toString(), packet.qos, packet.retain] : packet,
        )
        expect(found.sort()).toEqual([
          ['r/most once', 'zero', 0, true],
          ['r/old', 'new', 1, true],
        ])
      })

      it('sends again what was in flight, under its identifiers and no further back than it was', async () => {
        const { broker } = await startWith(make())
        const before = await rawKept(broker, version, 'lamp')
        await before.subscribe('a', 2)
        for (const qos of [1, 2, 2] as const) await broker.publish({ topic: 'a', payload: 'x', qos })
        const sent = [await before.next('publish'), await before.next('publish'), await before.next('publish')]
        const ofQoS1 = sent.find(({ qos }) => qos === 1)!
        const [first, second] = sent.filter(({ qos }) => qos === 2)
        before.send({ cmd: 'pubrec', messageId: first!.messageId! })
        await before.next('pubrel')
        await restart(broker)
        const after = await rawKept(broker, version, 'lamp')
        expect(present(after)).toBe(true)
        const again = (await after.quiet()).map((packet) => ({
          cmd: packet.cmd,
          messageId: packet.messageId,
          dup: 'dup' in packet && packet.dup,
        }))
        expect(again).toHaveLength(3)
        expect(again).toEqual(
          expect.arrayContaining([
            { cmd: 'publish', messageId: ofQoS1.messageId, dup: true },
            { cmd: 'pubrel', messageId: first!.messageId, dup: false },
            { cmd: 'publish', messageId: second!.messageId, dup: true },
          ]),
        )
      })

      it('knows a QoS 2 message that it has received', async () => {
        const { broker } = await startWith(make())
        const subscriber = await rawKept(broker, version, 'subscriber')
        await subscriber.subscribe('a', 2)
        const publisher = await rawKept(broker, version, 'publisher')
        publisher.sendPublish('a', 'once', { qos: 2, messageId: 7 })
        await publisher.next('pubrec')
        await restart(broker)
        const again = await rawKept(broker, version, 'publisher')
        again.sendPublish('a', 'once', { qos: 2, messageId: 7, dup: true })
        await again.next('pubrec')
        await again.release(7)
        await again.publish('a', 'next', { qos: 2, messageId: 7 })
        const back = await rawKept(broker, version, 'subscriber')
        const texts: string[] = []
        while (!texts.includes('next')) {
          const { packet, text } = await back.nextMessage()
          texts.push(text)
          await back.acknowledge(packet)
        }
        expect(texts).toEqual(['once', 'next'])
      })

      it('ends a session that ended while it was stopped, from its first moment on', async () => {
        const { broker, clock } = await startWith(make())
        // 3.1.1 has no expiry of its own, so its sessions stay
        const options = version === 5 ? { properties: { sessionExpiryInterval: 100 } } : {}
        for (const clientId of ['early', 'late']) {
          const client = await rawKept(broker, version, clientId, options)
          await client.subscribe('a', 1)
          await client.disconnect()
        }
        await restart(broker, clock, 99)
        const early = await rawKept(broker, version, 'early', options)
        expect(present(early)).toBe(true)
        await restart(broker, clock, 2)
        const late = await rawKept(broker, version, 'late', options)
        expect(present(late)).toBe(version === 4)
      })

      it('drops what expired while it was stopped, and tells what is left of the time of the rest', async () => {
        const { broker, clock } = await startWith(make())
        const before = await rawKept(broker, version, 'lamp')
        await before.subscribe('a', 2)
        await before.disconnect()
        const publish = (payload: string, messageExpiryInterval: number) =>
          broker.publish({ topic: 'a', payload, qos: 2, retain: true, properties: { messageExpiryInterval } })
        await publish('short', 50)
        await publish('long', 100)
        await restart(broker, clock, 60)
        const after = await rawKept(broker, version, 'lamp')
        const { text, packet } = await after.nextMessage()
        expect(text).toBe('long')
        if (version === 5) expect(packet.properties?.messageExpiryInterval).toBe(40)
        expect(await after.quiet()).toEqual([])
        await restart(broker, clock, 41)
        const reader = await connectClient(broker, { protocolVersion: version })
        await reader.subscribe('a', 2)
        expect(await reader.quiet()).toEqual([])
      })
    },
  )

  describe('with a Will that waits', () => {
    const will = (willDelayInterval: number): ConnectOptions => ({
      will: { topic: 'w', payload: Buffer.from('gone'), qos: 2, retain: false, properties: { willDelayInterval } },
    })

    /** A subscriber to the Will, and its client, which has gone without a word. */
    async function left(delay: number) {
      const { broker, clock } = await startWith(make())
      const watcher = await rawKept(broker, 5, 'watcher')
      await watcher.subscribe('w', 2)
      const mortal = await rawKept(broker, 5, 'mortal', will(delay))
      mortal.destroy()
      await clientGone(broker, 'mortal')
      return { broker, clock }
    }

    it('publishes it when its delay is over, the time of the stop included', async () => {
      const { broker, clock } = await left(60)
      clock.advance(20_000)
      await restart(broker, clock, 20)
      const watcher = await rawKept(broker, 5, 'watcher')
      clock.advance(19_000)
      expect(await watcher.quiet()).toEqual([])
      clock.advance(1_100)
      expect((await watcher.nextMessage()).text).toBe('gone')
    })

    it('publishes it at once when its delay was over before the start', async () => {
      const { broker, clock } = await left(60)
      await restart(broker, clock, 61)
      const watcher = await rawKept(broker, 5, 'watcher')
      clock.advance(100)
      expect((await watcher.nextMessage()).text).toBe('gone')
    })

    it('publishes it when its delay was over before the start and its client is back at once', async () => {
      const { broker, clock } = await left(60)
      await restart(broker, clock, 61)
      await rawKept(broker, 5, 'mortal')
      const watcher = await rawKept(broker, 5, 'watcher')
      expect((await watcher.nextMessage()).text).toBe('gone')
    })

    it('does not publish it when its client is back before', async () => {
      const { broker, clock } = await left(60)
      await restart(broker, clock, 59)
      await rawKept(broker, 5, 'mortal')
      clock.advance(60_000)
      const watcher = await rawKept(broker, 5, 'watcher')
      expect(await watcher.quiet()).toEqual([])
    })

    it('publishes it once, though it is stopped again', async () => {
      const { broker, clock } = await left(60)
      await restart(broker, clock, 61)
      clock.advance(100)
      await restart(broker, clock, 61)
      clock.advance(100)
      const watcher = await rawKept(broker, 5, 'watcher')
      const { packet } = await watcher.nextMessage()
      await watcher.acknowledge(packet)
      expect(await watcher.quiet()).toEqual([])
    })

    it('publishes it when the session ends before its delay is over', async () => {
      const { broker, clock } = await startWith(make())
      const watcher = await rawKept(broker, 5, 'watcher')
      await watcher.subscribe('w', 2)
      const mortal = await rawKept(broker, 5, 'mortal', { ...will(60), properties: { sessionExpiryInterval: 30 } })
      mortal.destroy()
      await clientGone(broker, 'mortal')
      await restart(broker, clock, 31)
      clock.advance(100)
      const again = await rawKept(broker, 5, 'watcher')
      expect((await again.nextMessage()).text).toBe('gone')
    })
  })
})

/** MQTT.js with a session that is kept, listening before it connects, as the messages come with CONNACK. */
async function connectedWith(
  broker: MqttBroker,
  version: 4 | 5,
  clientId: string,
  messages: string[],
): Promise<MqttClient> {
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
  const client = mqttJsClient(target(broker, version), { clientId, clean: false, manualConnect: true, ...properties })
  client.on('message', (_, payload) => messages.push(payload.toString()))
  const present = new Promise<boolean>((resolve) =>
    client.once('connect', (connack) => resolve(connack.sessionPresent)),
  )
  client.connect()
  expect(await present).toBe(true)
  return client
}
