import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { Verdict } from '../../../src/ports/hooks'
import type { QueueEntry, StoredSessionState } from '../../../src/ports/store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { FailingStore } from '../../persistence/failing-store'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'
import type { ConnectOptions, RawClient } from '../../support/raw-client'

const SECOND = 1000
const theWill = { topic: 'will', payload: Buffer.from('the Will'), qos: 1 as const, retain: false }

/** An `authorizePublish` that thinks, once it is told to. */
class Thinker {
  thinks = false
  private readonly answers: ((verdict: Verdict) => void)[] = []

  get isAsked(): boolean {
    return this.answers.length > 0
  }

  ask(): Verdict | Promise<Verdict> {
    return this.thinks ? new Promise((resolve) => this.answers.push(resolve)) : true
  }

  answer(verdict: Verdict): void {
    this.thinks = false
    for (const resolve of this.answers.splice(0)) resolve(verdict)
  }
}

function kept(broker: MqttBroker, clientId: string, options: ConnectOptions = {}) {
  const properties = { sessionExpiryInterval: 3600, ...options.properties }
  return connectClient(broker, { clientId, clean: false, protocolVersion: 5, ...options, properties })
}

/** A broker whose hook thinks about Wills, a store with a session that waits for them, and a client that leaves one. */
async function started(lamp: ConnectOptions = {}, options: MqttBrokerOptions = {}) {
  const store = new FailingStore()
  const hook = new Thinker()
  const broker = await startBroker({ store, authorizePublish: () => hook.ask(), ...options })
  const absent = await kept(broker, 'absent')
  await absent.subscribe('will', 1)
  await absent.disconnect()
  await clientGone(broker, 'absent')
  const client = await kept(broker, 'lamp', { will: theWill, ...lamp })
  hook.thinks = true
  const head = () => [...store.sessions()].find(({ session }) => session.clientId === 'lamp')?.session
  const queued = () => [...store.sessions()].find(({ session }) => session.clientId === 'absent')!.queuedMessages
  return { broker, store, hook, client, head, queued }
}

/** What the store holds now, as it would be found after the broker was killed. */
function snapshot(store: FailingStore): MemoryStore {
  const copy = new MemoryStore()
  for (const { session, subscriptions, queuedMessages } of store.sessions()) {
    const { clientId } = session
    const entries = store.queue(clientId, 0, queuedMessages)
    copy.commit([
      { type: 'session', session },
      ...subscriptions.map((subscription) => ({ type: 'subscribe', clientId, subscription }) as const),
      ...(entries as readonly QueueEntry[]).map((entry) => ({ type: 'enqueue', clientId, entry }) as const),
    ])
  }
  return copy
}

/** Starts another broker with what the store holds, as if the first had been killed, and counts the Wills that it brings. */
async function willsAfterCrash(store: FailingStore): Promise<number> {
  const clock = new SimulatedClock(Date.now())
  const second = await startBroker({ store: snapshot(store), clock })
  let count = 0
  await second.subscribe('will', () => count++)
  clock.advance(2 * 3600 * SECOND)
  return count
}

describe('a Will that a hook thinks about when the broker is killed', () => {
  const ways: [string, ConnectOptions, (world: Awaited<ReturnType<typeof started>>) => void | Promise<void>][] = [
    ['whose connection broke', {}, ({ client }) => client.destroy()],
    ['whose client left it with DISCONNECT', {}, ({ client }) => client.send({ cmd: 'disconnect', reasonCode: 4 })],
    [
      'whose client ended its session with it',
      {},
      ({ client }) => client.send({ cmd: 'disconnect', reasonCode: 4, properties: { sessionExpiryInterval: 0 } }),
    ],
    [
      'whose connection another took over',
      {},
      async ({ broker, hook }) => {
        const next = await openClient(broker)
        hook.thinks = true
        next.sendConnect({ clientId: 'lamp', clean: false, protocolVersion: 5 })
      },
    ],
    [
      'whose session a clean start ended before its delay was over',
      { will: { ...theWill, properties: { willDelayInterval: 600 } } },
      async ({ broker, client }) => {
        client.destroy()
        await clientGone(broker, 'lamp')
        const next = await openClient(broker)
        next.sendConnect({ clientId: 'lamp', clean: true, protocolVersion: 5 })
      },
    ],
  ]

  it.each(ways)('comes with the next start: %s', async (_what, lamp, leave) => {
    const world = await started(lamp)
    await leave(world)
    await expect.poll(() => world.hook.isAsked).toBe(true)
    expect(await willsAfterCrash(world.store)).toBe(1)
  })

  it('comes with the next start: whose session expired', async () => {
    const clock = new SimulatedClock(Date.now())
    const { broker, client, hook, store } = await started(
      { will: { ...theWill, properties: { willDelayInterval: 600 } }, properties: { sessionExpiryInterval: 10 } },
      { clock },
    )
    client.destroy()
    await clientGone(broker, 'lamp')
    clock.advance(11 * SECOND)
    expect(hook.isAsked).toBe(true)
    expect(await willsAfterCrash(store)).toBe(1)
  })

  it.each(ways)('leaves the store with the commit that publishes it: %s', async (_what, lamp, leave) => {
    const world = await started(lamp)
    const { hook, store, head, queued } = world
    await leave(world)
    await expect.poll(() => hook.isAsked).toBe(true)
    store.wait()
    hook.answer(true)
    await expect.poll(() => store.waits).toBeGreaterThan(0)
    expect(head()?.will).toBeDefined()
    expect(queued()).toBe(0)
    store.goOn()
    await expect.poll(queued).toBe(1)
    expect(head()?.will).toBeUndefined()
    expect(await willsAfterCrash(store)).toBe(0)
  })
})

describe('the record of a Will', () => {
  it('goes when the hook says no', async () => {
    const { client, hook, head, queued, store } = await started()
    client.destroy()
    await expect.poll(() => hook.isAsked).toBe(true)
    hook.answer(false)
    await expect.poll(() => head()?.will).toBeUndefined()
    expect(queued()).toBe(0)
    expect(await willsAfterCrash(store)).toBe(0)
  })

  it('is replaced by that of the next connection once it is published, and not before', async () => {
    const { broker, client, hook, head, queued } = await started()
    client.destroy()
    await expect.poll(() => hook.isAsked).toBe(true)
    hook.thinks = false
    const next = await openClient(broker)
    const will = { ...theWill, payload: Buffer.from('the next Will') }
    next.sendConnect({ clientId: 'lamp', clean: false, protocolVersion: 5, will })
    await expect.poll(() => broker.statistics.clients).toBe(1)
    expect(Buffer.from(head()!.will!.message.payload).toString()).toBe('the Will')
    expect(next.received).toEqual([])
    hook.answer(true)
    expect(await next.next('connack')).toMatchObject({ reasonCode: 0, sessionPresent: true })
    expect(queued()).toBe(1)
    expect(Buffer.from(head()!.will!.message.payload).toString()).toBe('the next Will')
  })

  it('outlives connections that come and take each other over while the hook is thinking', async () => {
    const { broker, client, hook, head, queued, store } = await started()
    client.destroy()
    await expect.poll(() => hook.isAsked).toBe(true)
    const come = async (clean: boolean) => {
      const next = await openClient(broker)
      next.sendConnect({ clientId: 'lamp', clean, protocolVersion: 5, properties: { sessionExpiryInterval: 60 } })
      await expect.poll(() => broker.statistics.clients).toBe(1)
      return next
    }
    const former: RawClient[] = []
    for (const clean of [false, false, true]) {
      const next = await come(clean)
      await former.at(-1)?.closed()
      former.push(next)
    }
    const last = await come(true)
    await former[2]!.closed()
    expect(await willsAfterCrash(store)).toBe(1)
    hook.answer(true)
    expect(await last.next('connack')).toMatchObject({ reasonCode: 0, sessionPresent: false })
    expect(former.flatMap(({ received }) => received)).toEqual([])
    expect(queued()).toBe(1)
    expect(head()).toMatchObject({ expiryInterval: 60, disconnectedAt: 0, will: undefined })
  })

  it('leaves the time alone at which the connection ended', async () => {
    const clock = new SimulatedClock(Date.now())
    const will = { ...theWill, properties: { willDelayInterval: 600 } }
    const { broker, client, hook, head } = await started({ will }, { clock })
    hook.thinks = false
    client.destroy()
    await clientGone(broker, 'lamp')
    const leftAt = clock.wallTime()
    clock.advance(601 * SECOND)
    expect(head()).toMatchObject({ disconnectedAt: leftAt, will: undefined })
  })

  it.each(['throws', 'rejects', 'rejects later'] as const)(
    'stays when the store %s over what it was to bring to somebody absent',
    async (failure) => {
      const clock = new SimulatedClock(Date.now())
      const { broker, client, hook, head, queued, store } = await started({}, { clock })
      hook.thinks = false
      store.failure = failure
      client.destroy()
      await clientGone(broker, 'lamp')
      await expect.poll(() => store.failures).toBe(2)
      store.failure = undefined
      clock.advance(2 * SECOND)
      await expect.poll(() => head()?.disconnectedAt).not.toBe(0)
      expect(head()?.will).toBeDefined()
      expect(queued()).toBe(0)
      expect(await willsAfterCrash(store)).toBe(1)
    },
  )

  it('goes unpublished when its topic has more levels than the next start allows for', async () => {
    const clock = new SimulatedClock(Date.now())
    const store = new MemoryStore()
    const before = await startBroker({ store, clock })
    const will = { ...theWill, topic: 'a/b/c/d', properties: { willDelayInterval: 30 } }
    const client = await kept(before, 'lamp', { will })
    client.destroy()
    await clientGone(before, 'lamp')
    await before.stop()
    await startBroker({ store, clock, limits: { maximumTopicLevels: 3 } })
    const left = () => [...store.sessions()].map(({ session }) => session.will)
    expect(left()).toMatchObject([{ message: { topic: 'a/b/c/d' } }])
    clock.advance(31 * SECOND)
    expect(left()).toEqual([undefined])
  })

  it('goes unpublished below $SYS, where an earlier version had let it in', async () => {
    const clock = new SimulatedClock(Date.now())
    const store = new MemoryStore()
    const before = await startBroker({ store, clock })
    const client = await kept(before, 'lamp', { will: { ...theWill, properties: { willDelayInterval: 30 } } })
    client.destroy()
    await clientGone(before, 'lamp')
    await before.stop()
    const [{ session }] = [...store.sessions()] as [StoredSessionState]
    const will = { ...session.will!, message: { ...session.will!.message, topic: '$SYS/forged' } }
    store.commit([{ type: 'session', session: { ...session, will } }])
    const broker = await startBroker({ store, clock })
    const heard: string[] = []
    await broker.subscribe('$SYS/#', ({ topic }) => void heard.push(topic))
    clock.advance(31 * SECOND)
    expect([...store.sessions()].map((state) => state.session.will)).toEqual([undefined])
    expect(heard).toEqual([])
  })
})
