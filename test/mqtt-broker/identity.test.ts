import { describe, expect, expectTypeOf, it, vi } from 'vitest'
import {
  type AuthenticateVerdict,
  type AuthenticationStep,
  type Client,
  type DisconnectReason,
  MqttBroker,
} from '../../src/index'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { clientGone, connectClient, openClient, startBroker } from '../support/broker'
import { nextEvent } from '../support/broker-event'

const patience = { timeout: 5000, interval: 10 }

/** A broker whose clients all get `answer`. */
async function answering(answer: AuthenticateVerdict, more: object = {}) {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock, authenticate: () => answer, ...more })
  return { broker, clock }
}

/** Moves the clock on and lets the broker do what is due by then. */
async function advance(clock: SimulatedClock, ms: number): Promise<void> {
  clock.advance(ms)
  clock.advance(200)
  await new Promise((resolve) => setImmediate(resolve))
}

describe('the identity that authenticate answers with', () => {
  it('is seen by hooks, events and broker.clients', async () => {
    const data = { tenant: 7 }
    const seen: unknown[] = []
    const clock = new SimulatedClock()
    const expiresAt = clock.wallTime() + 60_000
    const broker = await startBroker({
      clock,
      authenticate: async () => ({ success: true, username: 'ada', expiresAt, data }),
      authorizePublish: (client) => seen.push(client.data) > 0,
      authorizeSubscribe: (client) => seen.push(client.data) > 0,
    })
    broker.on('clientConnected', (client) => seen.push(client.data))
    const client = await connectClient(broker, { clientId: 'c', username: 'token' })
    await client.subscribe('a')
    await client.publish('a', '', { qos: 1 })
    expect(seen).toEqual([data, data, data])
    expect(broker.clients.get('c')).toMatchObject({ username: 'ada', data, expiresAt: new Date(expiresAt) })
  })

  it('leaves the user name of the CONNECT where it has none', async () => {
    const broker = await startBroker({ authenticate: () => ({ success: true, data: 7 }) })
    await connectClient(broker, { clientId: 'named', username: 'ada' })
    await connectClient(broker, { clientId: 'nameless' })
    expect(broker.clients.get('named')).toMatchObject({ username: 'ada', data: 7 })
    expect(broker.clients.get('nameless')).toMatchObject({ username: undefined, data: 7 })
  })

  it('leaves what it does not have as it is', async () => {
    const broker = await startBroker({
      authenticate: (client) => {
        client.data = 'set before'
        return { success: true, username: 'ada' }
      },
    })
    await connectClient(broker, { clientId: 'c' })
    expect(broker.clients.get('c')).toMatchObject({ data: 'set before', expiresAt: undefined })
  })

  it.each([
    ['a text', 'tomorrow'],
    ['no number', Number.NaN],
    ['no date', new Date(Number.NaN)],
    ['never', Number.POSITIVE_INFINITY],
    ['null', null],
  ])('denies where expiresAt is %s', async (_what, expiresAt) => {
    const { broker } = await answering({ success: true, username: 'ada', expiresAt } as never)
    const error = nextEvent(broker, 'clientError')
    const client = await openClient(broker)
    expect(await client.connect({ protocolVersion: 5 })).toMatchObject({ reasonCode: 0x87 })
    expect((await error)[0]).toMatchObject({ code: 'GNATMQ_HOOK_FAILED' })
  })

  it('denies where it has expired already', async () => {
    const clock = new SimulatedClock()
    const { broker } = await answering({ success: true, username: 'ada', expiresAt: new Date(clock.wallTime()) })
    const error = nextEvent(broker, 'clientError')
    const client = await openClient(broker)
    expect(await client.connect({ protocolVersion: 5 })).toMatchObject({ reasonCode: 0x87 })
    expect((await error)[0]).toMatchObject({ code: 'GNATMQ_IDENTITY_EXPIRED' })
    const old = await openClient(broker)
    expect(await old.connect({ protocolVersion: 4 })).toMatchObject({ returnCode: 5 })
  })

  it('is typed', async () => {
    const broker = new MqttBroker({
      authenticate: () => ({ success: true, username: 'ada', data: { tenant: 7 } }),
      authorizePublish: (client) => client.data.tenant === 7,
    })
    expectTypeOf(broker).toEqualTypeOf<MqttBroker<{ tenant: number }>>()
    broker.on('clientConnected', (client) => expectTypeOf(client.data.tenant).toBeNumber())
    expectTypeOf(broker.clients).toEqualTypeOf<ReadonlyMap<string, Client<{ tenant: number }>>>()
    expectTypeOf(broker).toExtend<MqttBroker>()
    const plain = new MqttBroker({ authenticate: (client, { username }) => username === client.clientId })
    expectTypeOf(plain).toEqualTypeOf<MqttBroker>()
    plain.on('clientConnected', (client) => expectTypeOf(client.data).toBeUnknown())
    expect(plain.clients.size).toBe(0)
  })
})

describe('an identity that expires', () => {
  it.each([4, 5] as const)('ends the connection: version %d', async (protocolVersion) => {
    const start = new SimulatedClock().wallTime()
    const { broker, clock } = await answering({ success: true, username: 'ada', expiresAt: start + 5_000 })
    const reasons: DisconnectReason[] = []
    broker.on('clientDisconnected', (_client, reason) => reasons.push(reason))
    const client = await connectClient(broker, { clientId: 'c', protocolVersion })
    await advance(clock, 4_000)
    expect(await client.quiet()).toEqual([])
    await advance(clock, 1_000)
    await client.closed()
    const packets = client.received.filter(({ cmd }) => cmd === 'disconnect')
    expect(packets).toMatchObject(protocolVersion === 5 ? [{ reasonCode: 0x87 }] : [])
    expect(reasons).toMatchObject([{ reasonCode: 0x87, byClient: false, error: { code: 'GNATMQ_IDENTITY_EXPIRED' } }])
  })

  it('ends it in the midst of a hook, and nothing is published then', async () => {
    const start = new SimulatedClock().wallTime()
    let answer: (verdict: boolean) => void = () => undefined
    const asked = vi.fn(() => new Promise<boolean>((resolve) => (answer = resolve)))
    const hooks = { authorizePublish: asked }
    const { broker, clock } = await answering({ success: true, username: 'ada', expiresAt: start + 5_000 }, hooks)
    const published = vi.fn()
    broker.on('published', published)
    const client = await connectClient(broker, { clientId: 'c' })
    client.sendPublish('t', 'x', { qos: 1 })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled(), patience)
    const gone = clientGone(broker, 'c')
    await advance(clock, 5_000)
    await gone
    answer(true)
    await client.closed()
    expect(published).not.toHaveBeenCalled()
  })

  it('keeps the session of the client, which goes on with the next identity', async () => {
    const clock = new SimulatedClock()
    const authenticate = () => ({ success: true, username: 'ada', expiresAt: clock.wallTime() + 5_000 }) as const
    const broker = await startBroker({ clock, authenticate })
    const first = await connectClient(broker, { clientId: 'c', clean: false })
    await first.subscribe('t', 1)
    await advance(clock, 5_000)
    await first.closed()
    await broker.publish({ topic: 't', payload: 'kept', qos: 1 })
    const second = await openClient(broker)
    expect(await second.connect({ clientId: 'c', clean: false })).toMatchObject({ sessionPresent: true })
    expect(await second.nextMessage()).toMatchObject({ text: 'kept' })
  })

  it('costs a connection that has closed no deadline', async () => {
    const clock = new SimulatedClock()
    const { broker } = await answering({ success: true, username: 'ada', expiresAt: clock.wallTime() + 5_000 })
    const reasons: DisconnectReason[] = []
    broker.on('clientDisconnected', (_client, reason) => reasons.push(reason))
    const client = await connectClient(broker)
    await client.disconnect()
    await vi.waitFor(() => expect(reasons).toHaveLength(1), patience)
    await advance(clock, 10_000)
    expect(reasons).toMatchObject([{ reasonCode: 0, byClient: true }])
  })
})

describe('a re-authentication', () => {
  const connect = { protocolVersion: 5, properties: { authenticationMethod: 'token' } } as const

  /** A broker with a method whose exchanges end with these answers, one after the other. */
  async function exchanging(terms: (clock: SimulatedClock) => object[]) {
    const clock = new SimulatedClock()
    const answers = terms(clock).map((one) => ({ success: true, username: 'ada', ...one }) as AuthenticationStep)
    const step = () => answers.shift() ?? false
    const broker = await startBroker({ clock, authenticationMethods: { token: () => ({ step }) } })
    return { broker, clock }
  }

  const reauthenticate = { cmd: 'auth', reasonCode: 0x19, properties: { authenticationMethod: 'token' } } as const

  it('with a new expiresAt keeps the connection', async () => {
    const { broker, clock } = await exchanging((now) => [
      { expiresAt: now.wallTime() + 5_000 },
      { expiresAt: now.wallTime() + 20_000 },
    ])
    const client = await connectClient(broker, { clientId: 'c', ...connect })
    await advance(clock, 4_000)
    client.send(reauthenticate as never)
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0 })
    await advance(clock, 10_000)
    expect(await client.quiet()).toEqual([])
    await advance(clock, 6_000)
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  })

  it('without one changes nothing about it', async () => {
    const { broker, clock } = await exchanging((now) => [{ expiresAt: now.wallTime() + 5_000 }, {}])
    const client = await connectClient(broker, { clientId: 'c', ...connect })
    client.send(reauthenticate as never)
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0 })
    await advance(clock, 5_000)
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  })

  it('with one that is over ends the connection', async () => {
    const { broker } = await exchanging((now) => [{}, { expiresAt: now.wallTime() }])
    const client = await connectClient(broker, { clientId: 'c', ...connect })
    client.send(reauthenticate as never)
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  })
})
