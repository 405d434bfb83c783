import { describe, expect, it, vi } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import { JumpingClock } from '../../support/jumping-clock'
import type { RawClient } from '../../support/raw-client'
import { stores } from '../../support/stores'

const kept = {
  clientId: 'kept',
  clean: false,
  protocolVersion: 5,
  properties: { sessionExpiryInterval: 360_000 },
} as const

/** A session that has subscribed to `a` and has left. */
async function leave(broker: MqttBroker): Promise<void> {
  const client = await connectClient(broker, kept)
  await client.subscribe('a', 1)
  await client.disconnect()
  await clientGone(broker, 'kept')
}

async function publish(broker: MqttBroker, text: string, count: number, seconds?: number): Promise<void> {
  const properties = seconds === undefined ? {} : { messageExpiryInterval: seconds }
  const all = Array.from({ length: count }, (_, n) =>
    broker.publish({ topic: 'a', payload: `${text} ${n}`, qos: 1, properties }),
  )
  await Promise.all(all)
}

/** What the session gets when its client comes back, in order. */
async function collect(broker: MqttBroker, count: number): Promise<string[]> {
  const client = await connectClient(broker, kept)
  const texts = await read(client, count)
  expect(await client.quiet()).toEqual([])
  return texts
}

async function read(client: RawClient, count: number): Promise<string[]> {
  const texts: string[] = []
  while (texts.length < count) {
    const { text, packet } = await client.nextMessage()
    texts.push(text)
    client.send({ cmd: 'puback', messageId: packet.messageId! })
  }
  return texts
}

const numbered = (text: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${text} ${n}`)

describe.each(stores())('with $name', ({ make }) => {
  it('a hundred expired messages are in the way of no hundred fresh ones', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, store: make(), limits: { maximumQueuedMessages: 100 } })
    await leave(broker)
    await publish(broker, 'old', 100, 1)
    clock.advance(2200)
    await publish(broker, 'new', 100)
    expect(await collect(broker, 100)).toEqual(numbered('new', 100))
  })

  it('those that the store alone has are in nobody’s way either', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, store: make(), limits: { maximumQueuedMessages: 1500 } })
    await leave(broker)
    await publish(broker, 'lasting', 1100)
    await publish(broker, 'old', 400, 1)
    clock.advance(2200)
    await publish(broker, 'new', 401)
    expect(await collect(broker, 1500)).toEqual([...numbered('lasting', 1100), ...numbered('new', 400)])
    expect(broker.statistics.queuedMessages).toBe(0)
  })

  it.each([
    ['that were still good when the broker started', 30, 31],
    ['that were not when the broker started', 70, 0],
  ])('those of a former run neither, %s, once the queue has been read through', async (_, before, after) => {
    const clock = new SimulatedClock()
    const store = make()
    const pages = vi.spyOn(store, 'queue')
    const broker = await startBroker({ clock, store, limits: { maximumQueuedMessages: 600 } })
    await leave(broker)
    await publish(broker, 'lasting', 300)
    await publish(broker, 'old', 300, 60)
    await broker.stop()
    clock.advance(before * 1000)
    pages.mockClear()
    await broker.start()
    const witness = await connectClient(broker, { clientId: 'witness' })
    await vi.waitFor(() => expect(pages).toHaveBeenCalledTimes(3))
    await Promise.all(pages.mock.results.map(({ value }) => value))
    await witness.quiet()
    clock.advance(after * 1000)
    await publish(broker, 'new', 301)
    expect(await collect(broker, 600)).toEqual([...numbered('lasting', 300), ...numbered('new', 300)])
  })

  it('nor are they once a message found no room for them', async () => {
    const clock = new SimulatedClock()
    const store = make()
    const limits = { maximumTotalQueuedMessages: 40 }
    const broker = await startBroker({ clock, store, limits })
    await leave(broker)
    await publish(broker, 'old', 40, 60)
    await broker.stop()
    clock.advance(70_000)
    await broker.start()
    const pages = vi.spyOn(store, 'queue')
    await publish(broker, 'early', 1)
    await vi.waitFor(() => expect(pages).toHaveBeenCalled())
    await Promise.all(pages.mock.results.map(({ value }) => value))
    const witness = await connectClient(broker, { clientId: 'witness' })
    await witness.quiet()
    await publish(broker, 'new', 41)
    expect(await collect(broker, 40)).toEqual(numbered('new', 40))
  })

  it.each([
    ['forward', 2 * 3600_000],
    ['back', -2 * 3600_000],
  ])('the wall clock may jump %s while messages wait', async (_, jump) => {
    const clock = new JumpingClock()
    const broker = await startBroker({ clock, store: make() })
    await leave(broker)
    await publish(broker, 'kept', 1100, 3600)
    await publish(broker, 'brief', 100, 10)
    clock.jump(jump)
    clock.advance(10_000)
    const client = await connectClient(broker, kept)
    const messages = []
    for (let n = 0; n < 1100; n++) {
      const { text, packet } = await client.nextMessage()
      messages.push(`${text} for ${packet.properties?.messageExpiryInterval}`)
      client.send({ cmd: 'puback', messageId: packet.messageId! })
    }
    expect(messages).toEqual(numbered('kept', 1100).map((text) => `${text} for 3590`))
    expect(await client.quiet()).toEqual([])
  })

  it('a wall clock that jumps after a restart changes nothing for what was read before or is read later', async () => {
    const clock = new JumpingClock()
    const broker = await startBroker({ clock, store: make() })
    await leave(broker)
    const retained = {
      topic: 'r',
      payload: 'state',
      qos: 1,
      retain: true,
      properties: { messageExpiryInterval: 3600 },
    } as const
    await broker.publish(retained)
    await publish(broker, 'kept', 300, 3600)
    await broker.stop()
    clock.advance(600_000)
    await broker.start()
    clock.jump(24 * 3600_000)
    clock.advance(1000)
    const client = await connectClient(broker, kept)
    for (let n = 0; n < 300; n++) {
      const { text, packet } = await client.nextMessage()
      expect([text, packet.properties?.messageExpiryInterval]).toEqual([`kept ${n}`, 2999])
      client.send({ cmd: 'puback', messageId: packet.messageId! })
    }
    await client.subscribe('r', 0)
    expect((await client.nextMessage()).packet.properties?.messageExpiryInterval).toBe(2999)
  })

  it('a wall clock that was set back before a restart lengthens no session and no Will Delay', async () => {
    const clock = new JumpingClock()
    const broker = await startBroker({ clock, store: make() })
    const properties = { sessionExpiryInterval: 100 }
    const will = {
      topic: 'w',
      payload: Buffer.from('gone'),
      qos: 1,
      retain: false,
      properties: { willDelayInterval: 50 },
    } as const
    const client = await connectClient(broker, { ...kept, properties, will })
    client.destroy()
    await clientGone(broker, 'kept')
    await broker.stop()
    clock.jump(-365 * 24 * 3600_000)
    await broker.start()
    const watcher = await connectClient(broker, { clientId: 'watcher' })
    await watcher.subscribe('w', 1)
    clock.advance(49_000)
    expect(await watcher.quiet()).toEqual([])
    clock.advance(1100)
    expect((await watcher.nextMessage()).text).toBe('gone')
    clock.advance(50_000)
    const back = await connectClient(broker, kept)
    expect(back.received[0]).toMatchObject({ sessionPresent: false })
  })
})
