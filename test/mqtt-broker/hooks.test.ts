import { describe, expect, it, vi } from 'vitest'
import type { Client, MqttError, Verdict } from '../../src/index'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { connectClient, openClient, startBroker } from '../support/broker'
import { nextEvent } from '../support/broker-event'

/** Everything that is not plainly true denies. */
const refusals: [string, () => Verdict | Promise<Verdict>][] = [
  ['says false', () => false],
  ['says false later', async () => false],
  [
    'throws',
    () => {
      throw new Error('broken')
    },
  ],
  ['rejects', () => Promise.reject(new Error('broken'))],
  ['says nothing', () => undefined as unknown as Verdict],
  ['says "yes"', () => 'yes' as unknown as Verdict],
  ['says 1 later', async () => 1 as unknown as Verdict],
  ['says a Reason Code of success', () => ({ reasonCode: 0 })],
]
const never = (): Promise<Verdict> => new Promise(() => undefined)

describe('authenticate', () => {
  it.each(refusals)('denies when it %s', async (_what, authenticate) => {
    const broker = await startBroker({ authenticate })
    const events = { clientConnected: vi.fn(), clientDisconnected: vi.fn(), clientError: vi.fn() }
    for (const [name, listener] of Object.entries(events)) broker.on(name as 'clientError', listener)
    const modern = await openClient(broker)
    const options = { username: 'u', password: 'p' }
    const { reasonCode } = await modern.connect({ protocolVersion: 5, ...options })
    expect([0x86, 0x87]).toContain(reasonCode)
    const old = await openClient(broker)
    const { returnCode } = await old.connect({ protocolVersion: 4, ...options })
    expect([4, 5]).toContain(returnCode)
    await Promise.all([modern.closed(), old.closed()])
    expect(events.clientConnected).not.toHaveBeenCalled()
    expect(events.clientDisconnected).not.toHaveBeenCalled()
    expect(events.clientError).toHaveBeenCalledTimes(2)
    expect(broker.clients.size).toBe(0)
  })

  it('denies when it does not answer within hookTimeout', async () => {
    const clock = new SimulatedClock()
    const asked = vi.fn(never)
    const broker = await startBroker({ clock, hookTimeout: 2_000, authenticate: asked })
    const client = await openClient(broker)
    const connack = client.connect({ protocolVersion: 5 })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled())
    clock.advance(2_000)
    expect(await connack).toMatchObject({ reasonCode: 0x87 })
    await client.closed()
  })

  it.each([
    ['at once', (_client: Client, { password }: { password: Buffer | undefined }) => String(password) === 'right'],
    ['later', async (_client: Client, { password }: { password: Buffer | undefined }) => String(password) === 'right'],
  ])('lets in who it says true for, %s', async (_when, authenticate) => {
    const broker = await startBroker({ authenticate })
    const right = await openClient(broker)
    expect(await right.connect({ username: 'u', password: 'right' })).toMatchObject({ returnCode: 0 })
    const wrong = await openClient(broker)
    expect(await wrong.connect({ username: 'u', password: 'wrong' })).toMatchObject({ returnCode: 4 })
    expect(broker.clients.size).toBe(1)
  })

  it('may say with which Reason Code and why', async () => {
    const userProperties: [string, string][] = [['until', 'noon']]
    const authenticate = () => ({ reasonCode: 0x8a, reasonString: 'banned', userProperties })
    const broker = await startBroker({ authenticate })
    const client = await openClient(broker)
    const connack = await client.connect({ protocolVersion: 5 })
    expect(connack).toMatchObject({ reasonCode: 0x8a, properties: { reasonString: 'banned' } })
    expect({ ...connack.properties?.userProperties }).toEqual({ until: 'noon' })
  })

  it('does not hold up other clients while it thinks', async () => {
    const answers = new Map<string, (verdict: boolean) => void>()
    const broker = await startBroker({
      authenticate: ({ clientId }) =>
        clientId === 'quick' || new Promise<boolean>((resolve) => answers.set(clientId, resolve)),
    })
    const slow = await openClient(broker)
    // packets may follow CONNECT at once (section 3.1.4)
    slow.sendConnect({ clientId: 'slow' })
    slow.send({ cmd: 'publish', topic: 'a', payload: 'from slow', qos: 1, messageId: 1, retain: false, dup: false })
    const quick = await connectClient(broker, { clientId: 'quick' })
    await quick.subscribe('a', 1)
    await quick.publish('a', 'from quick', { qos: 1 })
    expect(await quick.nextMessage()).toMatchObject({ text: 'from quick' })
    expect(await quick.quiet()).toEqual([])
    expect(slow.received).toEqual([])
    await vi.waitFor(() => expect(answers.size).toBe(1))
    answers.get('slow')?.(true)
    expect(await slow.next()).toMatchObject({ cmd: 'connack', returnCode: 0 })
    expect(await slow.next()).toMatchObject({ cmd: 'puback', messageId: 1 })
    expect(await quick.nextMessage()).toMatchObject({ text: 'from slow' })
  })

  it('leaves nothing behind of a client that has gone meanwhile', async () => {
    let answer: (verdict: boolean) => void = () => undefined
    const asked = vi.fn(() => new Promise<boolean>((resolve) => (answer = resolve)))
    const broker = await startBroker({ authenticate: asked })
    const events: string[] = []
    broker.on('clientConnected', () => events.push('connected'))
    broker.on('clientDisconnected', () => events.push('disconnected'))
    const client = await openClient(broker)
    client.sendConnect()
    await vi.waitFor(() => expect(asked).toHaveBeenCalled())
    client.destroy()
    await client.closed()
    answer(true)
    // nobody reads while a hook is open: the broker may learn of the end after its CONNACK
    await vi.waitFor(() => expect([[], ['connected', 'disconnected']]).toContainEqual(events))
    await broker.stop()
    expect([[], ['connected', 'disconnected']]).toContainEqual(events)
  })
})

describe('userAuth', () => {
  it('may be assigned, replaced and taken away while the broker runs', async () => {
    const broker = await startBroker()
    const returnCode = async (password?: string) => {
      const client = await openClient(broker)
      return (await client.connect(password === undefined ? {} : { username: 'u', password })).returnCode
    }
    expect(await returnCode()).toBe(0)
    broker.userAuth = (username, password) => username === 'u' && password === 'grün'
    expect(await returnCode('grün')).toBe(0)
    expect(await returnCode('wrong')).toBe(4)
    expect(await returnCode()).toBe(5)
    broker.userAuth = async () => false
    expect(await returnCode('grün')).toBe(4)
    broker.userAuth = null
    expect(broker.userAuth).toBeNull()
    expect(await returnCode('wrong')).toBe(0)
  })

  it('gives the authenticate hook its place back when it is taken away', async () => {
    const broker = await startBroker({ authenticate: () => false })
    broker.userAuth = () => true
    await connectClient(broker)
    broker.userAuth = null
    expect(await (await openClient(broker)).connect()).toMatchObject({ returnCode: 5 })
  })
})

describe('authorizePublish', () => {
  it.each(refusals)('denies when it %s, and the client stays', async (_what, verdict) => {
    const broker = await startBroker({ authorizePublish: (_client, { topic }) => topic !== 'no' || verdict() })
    const seen: string[] = []
    await broker.subscribe('#', ({ topic }) => seen.push(topic))
    const errors: MqttError[] = []
    broker.on('clientError', (error) => errors.push(error))
    const client = await connectClient(broker, { protocolVersion: 5 })
    expect(await client.publish('no', 'x', { qos: 1 })).toMatchObject({ cmd: 'puback', reasonCode: 0x87 })
    expect(await client.publish('no', 'x', { qos: 2 })).toMatchObject({ cmd: 'pubrec', reasonCode: 0x87 })
    await client.publish('no', 'x')
    await client.publish('yes', 'x', { qos: 1 })
    expect(seen).toEqual(['yes'])
    expect(errors.map(({ reasonCode }) => reasonCode)).toEqual([0x87, 0x87, 0x87])
    // before 5.0 there is no word for it, so that the message is acknowledged and goes nowhere
    const old = await connectClient(broker)
    await old.publish('no', 'x', { qos: 1 })
    await old.publish('no', 'x', { qos: 2 })
    expect(seen).toEqual(['yes'])
  })

  it('denies when it does not answer within hookTimeout', async () => {
    const clock = new SimulatedClock()
    const asked = vi.fn(never)
    const broker = await startBroker({ clock, hookTimeout: 2_000, authorizePublish: asked })
    const client = await connectClient(broker, { protocolVersion: 5 })
    const puback = client.publish('a', 'x', { qos: 1 })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled())
    clock.advance(2_000)
    expect(await puback).toMatchObject({ reasonCode: 0x87 })
  })

  it('that thinks keeps the later packets of its client in order, and nobody else waits', async () => {
    const answers: ((verdict: boolean) => void)[] = []
    const broker = await startBroker({
      authorizePublish: (client, { topic, payload }) =>
        client.clientId !== 'slow' ||
        topic !== 'ask' ||
        new Promise<boolean>((resolve) => answers.push(() => resolve(payload.toString() !== '2'))),
    })
    const seen: string[] = []
    await broker.subscribe('#', ({ topic, payload }) => seen.push(`${topic} ${payload}`))
    const slow = await connectClient(broker, { clientId: 'slow', protocolVersion: 5 })
    const quick = await connectClient(broker, { clientId: 'quick' })
    for (const text of ['1', '2', '3']) slow.sendPublish('ask', text, { qos: 1 })
    slow.sendPublish('free', '4', { qos: 1 })
    slow.send({ cmd: 'pingreq' })
    await vi.waitFor(() => expect(answers).toHaveLength(1))
    for (let i = 0; i < 20; i++) await quick.publish('quick', String(i), { qos: 2 })
    expect(seen).toHaveLength(20)
    expect(slow.received.map(({ cmd }) => cmd)).toEqual(['connack'])
    for (let asked = 1; asked <= 3; asked++) {
      await vi.waitFor(() => expect(answers).toHaveLength(asked))
      answers[asked - 1]!(true)
    }
    const pubacks = [await slow.next(), await slow.next(), await slow.next(), await slow.next()]
    expect(pubacks.map(({ messageId }) => messageId)).toEqual([1, 2, 3, 4])
    expect(pubacks.map((packet) => (packet.cmd === 'puback' ? packet.reasonCode : packet.cmd))).toEqual([0, 0x87, 0, 0])
    expect(await slow.next()).toMatchObject({ cmd: 'pingresp' })
    expect(seen.slice(20)).toEqual(['ask 1', 'ask 3', 'free 4'])
  })

  it('is asked about a Will at CONNECT, and again when it is published', async () => {
    let mayPublish = true
    const questions: string[] = []
    const broker = await startBroker({
      authorizePublish(client, { topic, will }) {
        if (will) questions.push(`${client.clientId} ${topic}`)
        return !will || (topic === 'will' && mayPublish)
      },
    })
    const seen: string[] = []
    await broker.subscribe('#', ({ payload }) => seen.push(payload.toString()))
    const connect = async (clientId: string, topic: string) => {
      const client = await openClient(broker)
      const will = { topic, payload: Buffer.from(clientId), qos: 1 as const, retain: false }
      const connack = await client.connect({ clientId, protocolVersion: 5, will })
      return { client, connack }
    }
    expect((await connect('refused', 'other')).connack).toMatchObject({ reasonCode: 0x87 })
    for (const clientId of ['published', 'revoked']) {
      const { client, connack } = await connect(clientId, 'will')
      expect(connack).toMatchObject({ reasonCode: 0 })
      mayPublish = clientId === 'published'
      const gone = nextEvent(broker, 'clientDisconnected')
      client.destroy()
      await gone
    }
    expect(seen).toEqual(['published'])
    expect(questions).toEqual(['refused other', 'published will', 'published will', 'revoked will', 'revoked will'])
  })
})

describe('authorizeSubscribe', () => {
  it.each(refusals)('denies a filter when it %s, and grants the others', async (_what, verdict) => {
    const broker = await startBroker({ authorizeSubscribe: (_client, { filter }) => filter !== 'no' || verdict() })
    const subscribed: string[] = []
    broker.on('subscribed', (_client, { filter }) => subscribed.push(filter))
    const client = await connectClient(broker, { protocolVersion: 5 })
    expect((await client.subscribe(['a', 'no', 'b'], 1)).granted).toEqual([1, 0x87, 1])
    expect(subscribed).toEqual(['a', 'b'])
    await broker.publish({ topic: 'no', qos: 1 })
    await broker.publish({ topic: 'a', qos: 1 })
    expect(await client.nextMessage()).toMatchObject({ topic: 'a' })
    const old = await connectClient(broker)
    expect((await old.subscribe(['no', 'b'], 1)).granted).toEqual([0x80, 1])
  })

  it('denies when it does not answer within hookTimeout', async () => {
    const clock = new SimulatedClock()
    const asked = vi.fn(never)
    const broker = await startBroker({ clock, hookTimeout: 2_000, authorizeSubscribe: asked })
    const client = await connectClient(broker, { protocolVersion: 5 })
    const suback = client.subscribe('a')
    await vi.waitFor(() => expect(asked).toHaveBeenCalled())
    clock.advance(2_000)
    expect((await suback).granted).toEqual([0x87])
  })

  it('may grant less than was asked for', async () => {
    const broker = await startBroker({ authorizeSubscribe: () => ({ qos: 1 }) })
    const client = await connectClient(broker)
    expect((await client.subscribe('a', 2)).granted).toEqual([1])
    expect((await client.subscribe('a', 0)).granted).toEqual([0])
  })

  it('is asked again when a session resumes, and what it denies then is gone', async () => {
    const forbidden = new Set<string>()
    const broker = await startBroker({ authorizeSubscribe: (_client, { filter }) => !forbidden.has(filter) })
    const first = await connectClient(broker, { clientId: 'kept', clean: false })
    await first.subscribe(['a', 'b'], 1)
    await first.disconnect()
    forbidden.add('a')
    const second = await openClient(broker)
    expect(await second.connect({ clientId: 'kept', clean: false })).toMatchObject({ sessionPresent: true })
    await broker.publish({ topic: 'a', qos: 1 })
    await broker.publish({ topic: 'b', qos: 1 })
    expect(await second.nextMessage()).toMatchObject({ topic: 'b' })
  })
})
