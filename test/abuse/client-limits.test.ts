import { describe, expect, it, vi } from 'vitest'
import type { ClientLimits, MqttBroker } from '../../src/index'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { clientGone, connectClient, openClient, startBroker } from '../support/broker'
import type { RawClient } from '../support/raw-client'

const patience = { timeout: 5000, interval: 5 }

const count = (client: RawClient): number => client.received.filter(({ cmd }) => cmd === 'publish').length

/** A broker where clients have the limits of their user name. */
async function bounded(limits: Record<string, ClientLimits>, more: object = {}): Promise<MqttBroker> {
  return startBroker({
    authenticate: (_client, { username = 'all' }) => ({ success: true, username, limits: limits[username] }),
    ...more,
  })
}

const as = (username: string, more: object = {}) => ({ username, password: 'x', clientId: username, ...more })

/** Moves the clock on by `ms`, and lets the broker do what that brings about. */
async function pass(clock: SimulatedClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100)
    for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('rates of a client', () => {
  it.each([0, 1] as const)('hold up what is too fast, lose nothing and change no order: QoS %d', async (qos) => {
    const clock = new SimulatedClock()
    const broker = await bounded({ ada: { messagesPerSecond: 100 } }, { clock })
    const watcher = await connectClient(broker)
    await watcher.subscribe('#')
    const ada = await connectClient(broker, as('ada'))
    for (let i = 0; i < 1000; i++) ada.sendPublish('t', `${i}`, { qos })
    const pong = ada.quiet()
    await vi.waitFor(() => expect(count(watcher)).toBeGreaterThan(0), patience)
    await watcher.quiet()
    const atOnce = count(watcher)
    expect(atOnce).toBeLessThan(30)
    await pass(clock, 3000)
    await watcher.quiet()
    expect(count(watcher) - atOnce).toBeGreaterThan(250)
    expect(count(watcher) - atOnce).toBeLessThan(350)
    await pass(clock, 8000)
    await pong
    await watcher.quiet()
    const texts = watcher.received.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))
    expect(texts).toEqual(Array.from({ length: 1000 }, (_, i) => `${i}`))
    expect(broker.clients.has('ada')).toBe(true)
  })

  it('hold up nobody else, and do not count as silence', async () => {
    const clock = new SimulatedClock()
    const broker = await bounded({ ada: { bytesPerSecond: 100 } }, { clock })
    const ada = await connectClient(broker, as('ada', { keepalive: 1 }))
    const other = await connectClient(broker, as('other'))
    await other.subscribe('#')
    for (let i = 0; i < 20; i++) ada.sendPublish('t', Buffer.alloc(100))
    for (let i = 0; i < 100; i++) other.sendPublish('u')
    await vi.waitFor(() => expect(count(other)).toBeGreaterThanOrEqual(100), patience)
    await pass(clock, 10_000)
    expect(broker.clients.has('ada')).toBe(true)
  })

  it.each([4, 5] as const)('end the connection after rateTolerance: version %d', async (protocolVersion) => {
    const clock = new SimulatedClock()
    const broker = await bounded({ ada: { messagesPerSecond: 10, rateTolerance: 3 } }, { clock })
    const gone = vi.fn()
    broker.on('clientDisconnected', (_client, { error, reasonCode }) => gone(error?.code, reasonCode))
    const ada = await connectClient(broker, as('ada', { protocolVersion }))
    for (let i = 0; i < 1000; i++) ada.sendPublish('t', `${i}`)
    await vi.waitFor(async () => {
      await pass(clock, 500)
      expect(gone).toHaveBeenCalledWith('GNATMQ_MESSAGE_RATE', 0x96)
    }, patience)
    await ada.closed()
    const ends = ada.received.filter(({ cmd }) => cmd === 'disconnect')
    expect(ends).toMatchObject(protocolVersion === 5 ? [{ reasonCode: 0x96 }] : [])
  })

  it('come from the option, from the identity, and from setLimits while the client is held up', async () => {
    const clock = new SimulatedClock()
    const clientLimits = { messagesPerSecond: 10, maximumSubscriptions: 1 }
    const broker = await bounded({ ada: { messagesPerSecond: 100 } }, { clock, clientLimits })
    const watcher = await connectClient(broker)
    await watcher.subscribe('#')
    const ada = await connectClient(broker, as('ada'))
    expect((await ada.subscribe(['a', 'b'])).granted).toEqual([0, 0x80])
    for (let i = 0; i < 500; i++) ada.sendPublish('t')
    await pass(clock, 2000)
    await watcher.quiet()
    expect(count(watcher)).toBeGreaterThan(150)
    expect(count(watcher)).toBeLessThan(250)
    const client = broker.clients.get('ada')!
    client.setLimits(undefined)
    expect(client.limits).toBe(undefined)
    const before = count(watcher)
    await pass(clock, 2000)
    await watcher.quiet()
    expect(count(watcher) - before).toBeLessThan(40)
    client.setLimits({ messagesPerSecond: 10_000, maximumSubscriptions: 2 })
    await pass(clock, 1000)
    await vi.waitFor(() => expect(count(watcher)).toBe(500), patience)
    expect((await ada.subscribe('b')).granted).toEqual([0])
  })
})

describe('bounds of a client', () => {
  it('are the connections of its user; one that is taken over counts no more', async () => {
    const broker = await bounded({ ada: { maximumConnections: 2 } })
    const first = await connectClient(broker, as('ada', { clientId: 'a1' }))
    await connectClient(broker, as('ada', { clientId: 'a2' }))
    const third = await openClient(broker)
    expect(await third.connect(as('ada', { clientId: 'a3', protocolVersion: 5 }))).toMatchObject({ reasonCode: 0x97 })
    const old = await openClient(broker)
    expect(await old.connect(as('ada', { clientId: 'a3' }))).toMatchObject({ returnCode: 3 })
    await connectClient(broker, as('bob'))
    const again = await openClient(broker)
    expect(await again.connect(as('ada', { clientId: 'a2' }))).toMatchObject({ returnCode: 0 })
    await first.disconnect()
    await clientGone(broker, 'a1')
    const fourth = await openClient(broker)
    expect(await fourth.connect(as('ada', { clientId: 'a4' }))).toMatchObject({ returnCode: 0 })
    const fifth = await openClient(broker)
    expect(await fifth.connect(as('ada', { clientId: 'a5' }))).toMatchObject({ returnCode: 3 })
  })

  it('are not passed by clients that connect at the same time', async () => {
    const broker = await bounded({ ada: { maximumConnections: 3 } })
    const clients = await Promise.all(Array.from({ length: 10 }, () => openClient(broker)))
    const codes = await Promise.all(
      clients.map(async (client, i) => (await client.connect(as('ada', { clientId: `c${i}` }))).returnCode),
    )
    expect(codes.filter((code) => code === 0)).toHaveLength(3)
    expect(broker.clients.size).toBe(3)
  })

  it('are what waits in its session, in messages and bytes', async () => {
    const queues = { few: { maximumQueuedMessages: 2 }, small: { maximumQueuedBytes: 1000 } }
    const broker = await bounded(queues)
    for (const name of ['few', 'small', 'all']) {
      const client = await connectClient(broker, as(name, { clean: false }))
      await client.subscribe('t', 1)
      await client.disconnect()
      await clientGone(broker, name)
    }
    for (let i = 0; i < 5; i++) await broker.publish({ topic: 't', payload: Buffer.alloc(300), qos: 1 })
    const counts: number[] = []
    for (const name of ['few', 'small', 'all']) {
      const client = await connectClient(broker, as(name, { clean: false }))
      counts.push((await client.quiet()).length)
    }
    expect(counts).toEqual([2, 3, 5])
  })

  it.each<[string, object]>([
    ['a rate of 0', { messagesPerSecond: 0 }],
    ['a negative rate', { bytesPerSecond: -1 }],
    ['an endless rate', { bytesPerSecond: Number.POSITIVE_INFINITY }],
    ['a half of a subscription', { maximumSubscriptions: 1.5 }],
    ['a text', { maximumConnections: '5' }],
    ['another name', { maximumConnection: 5 }],
  ])('deny a client, throw from setLimits and from the constructor: %s', async (_what, limits) => {
    const broker = await bounded({ ada: limits })
    const ada = await openClient(broker)
    expect(await ada.connect(as('ada', { protocolVersion: 5 }))).toMatchObject({ reasonCode: 0x87 })
    await connectClient(broker, as('bob'))
    expect(() => broker.clients.get('bob')!.setLimits(limits)).toThrow(expect.objectContaining({ name: 'MqttError' }))
    await expect(startBroker({ clientLimits: limits })).rejects.toMatchObject({ name: 'MqttError' })
  })
})
