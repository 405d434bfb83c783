import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { StoredSessionState } from '../../../src/ports/store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import { stores } from '../../support/stores'

const MINUTE_MS = 60_000

async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of list) items.push(item)
  return items
}

/** Has so many sessions of absent clients, whose Client Identifiers are numbers. */
class FullStore extends MemoryStore {
  constructor(private readonly count: number) {
    super()
  }

  override *sessions(): Generator<StoredSessionState> {
    for (let n = 0; n < this.count; n++) {
      const session = {
        clientId: String((n * 7919) % this.count),
        username: undefined,
        expiryInterval: 3600,
        disconnectedAt: 0,
        will: undefined,
      }
      yield { session, subscriptions: [], queuedMessages: 0, queuedBytes: 0, lastPosition: 0 }
    }
  }
}

/** Every look takes its time. */
class TakingClock extends SimulatedClock {
  private looks = 0

  override now(): number {
    return super.now() + this.looks++ * 0.3
  }
}

describe('a session tells', () => {
  it('its client, its bounds and what waits in it', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, limits: { maximumQueuedMessages: 3, maximumInflight: 4 } })
    const publisher = await connectClient(broker, { protocolVersion: 5 })
    const client = await connectClient(broker, {
      clientId: 'one',
      username: 'user',
      protocolVersion: 5,
      clean: false,
      properties: { receiveMaximum: 2, maximumPacketSize: 200, sessionExpiryInterval: 60 },
      will: { topic: 'gone', payload: Buffer.from('will'), qos: 1, retain: true },
    })
    await client.subscribe(['a', 'b/#'], 1)
    clock.advance(MINUTE_MS)
    const came = new Date(clock.wallTime())
    for (let n = 0; n < 6; n++) await publisher.publish('a', 'xx', { qos: 1 })
    await publisher.publish('a', 'x'.repeat(200), { qos: 0 })
    await publisher.quiet()
    clock.advance(MINUTE_MS)
    const { client: shown, ...session } = (await broker.session('one'))!
    expect(shown).toBe(broker.clients.get('one'))
    expect(session).toEqual({
      clientId: 'one',
      username: 'user',
      durable: true,
      expiryInterval: 60,
      expiresAt: undefined,
      limits: expect.objectContaining({ maximumPacketSize: 200, topicAliasMaximum: 0, maximumQueuedMessages: 3 }),
      window: 2,
      inflightMessages: 2,
      inflightBytes: 6,
      heldMessages: 0,
      queue: { messages: 3, bytes: 9, storedMessages: 0, oldestAt: came },
      outgoingBytes: 0,
      dropped: { slowReader: 0, queueFull: 1, expired: 0, tooLarge: 1, notAuthorized: 0 },
      subscriptions: 2,
      will: { topic: 'gone', qos: 1, retain: true, size: 4, delayInterval: 0, dueAt: undefined },
    })
    expect(await broker.session('two')).toBeUndefined()
  })

  it('when it ends and its Will is due, once its client has gone', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    const client = await connectClient(broker, {
      clientId: 'one',
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 100 },
      will: { topic: 'gone', payload: Buffer.from('w'), qos: 0, retain: false, properties: { willDelayInterval: 10 } },
    })
    const gone = clientGone(broker, 'one')
    client.destroy()
    await gone
    const now = clock.wallTime()
    expect(await broker.session('one')).toMatchObject({
      client: undefined,
      expiresAt: new Date(now + 100_000),
      will: { topic: 'gone', delayInterval: 10, dueAt: new Date(now + 10_000) },
    })
  })

  it.each(stores())('what waits in $name after a restart', async ({ make }) => {
    const store = make()
    const first = await startBroker({ store })
    const client = await connectClient(first, { clientId: 'one', clean: false })
    await client.subscribe('a', 1)
    await client.disconnect()
    for (let n = 0; n < 3; n++) await first.publish({ topic: 'a', payload: 'x', qos: 1, retain: true })
    await first.stop()
    const second = await startBroker({ store })
    const [session] = await all(second.sessions())
    expect(session).toMatchObject({ clientId: 'one', durable: true, subscriptions: 1 })
    expect(session?.queue).toMatchObject({ messages: 3, oldestAt: undefined })
    expect((await all(second.retained())).map(({ topic }) => topic)).toEqual(['a'])
    expect(await all(second.subscriptions())).toMatchObject([{ clientId: 'one', filter: 'a', qos: 1 }])
    expect(await second.deleteSession('one')).toBe(true)
    expect(await second.deleteRetained('a')).toBe(true)
    await second.stop()
    const third = await startBroker({ store })
    expect([await all(third.sessions()), await all(third.retained())]).toEqual([[], []])
  })
})

describe('lists', () => {
  it('are in order, and go on behind an item that is not there any more', async () => {
    const broker = await startBroker({ store: new FullStore(3000) })
    const names = Array.from({ length: 3000 }, (_, n) => String(n)).sort()
    expect((await all(broker.sessions())).map(({ clientId }) => clientId)).toEqual(names)
    const pages: string[] = []
    for (let after: string | undefined, more = true; more; ) {
      const page = await all(broker.sessions({ after, limit: 700 }))
      pages.push(...page.map(({ clientId }) => clientId))
      after = page.at(-1)?.clientId
      more = page.length > 0
      if (more) expect(await broker.deleteSession(after!)).toBe(true)
    }
    expect(pages).toEqual(names)
  })

  it('have the subscriptions of each session, page by page', async () => {
    const broker = await startBroker()
    for (const clientId of ['b', 'a', 'c']) {
      const client = await connectClient(broker, { clientId, protocolVersion: 5 })
      await client.subscribe(['z', 'y', '$share/group/x'], 1, { nl: false, rap: true, rh: 2 })
    }
    const filters = ['$share/group/x', 'y', 'z']
    const expected = ['a', 'b', 'c'].flatMap((clientId) => filters.map((filter) => `${clientId} ${filter}`))
    const seen: string[] = []
    for (let after: { clientId: string; filter: string } | undefined, more = true; more; ) {
      const page = await all(broker.subscriptions({ after, limit: 2 }))
      seen.push(...page.map(({ clientId, filter }) => `${clientId} ${filter}`))
      after = page.at(-1)
      more = page.length > 0
    }
    expect(seen).toEqual(expected)
    const [shared] = await all(broker.subscriptions({ clientId: 'b' }))
    expect(shared).toEqual({
      clientId: 'b',
      filter: '$share/group/x',
      qos: 1,
      noLocal: false,
      retainAsPublished: true,
      retainHandling: 2,
      subscriptionIdentifier: undefined,
      shareName: 'group',
    })
    expect(await all(broker.subscriptions({ clientId: 'nobody' }))).toEqual([])
  })

  it('have the retained messages of a filter', async () => {
    const broker = await startBroker()
    for (const topic of ['b', 'a/2', 'a/1', 'a']) await broker.publish({ topic, payload: topic, retain: true })
    const topics = async (...list: Parameters<typeof broker.retained>): Promise<string[]> =>
      (await all(broker.retained(...list))).map(({ topic, payload }) => `${topic}=${payload}`)
    expect(await topics()).toEqual(['a=a', 'a/1=a/1', 'a/2=a/2', 'b=b'])
    expect(await topics('a/+')).toEqual(['a/1=a/1', 'a/2=a/2'])
    expect(await topics('#', { after: 'a/1', limit: 1 })).toEqual(['a/2=a/2'])
  })

  it('let others have their turn, however many items there are', async () => {
    const count = Number(process.env.GNATMQ_SESSIONS ?? 5000)
    const clock = new TakingClock()
    const broker = await startBroker({ clock, store: new FullStore(count), limits: { maximumSessions: count } })
    let turns = 0
    let goesOn = true
    const watch = (async () => {
      for (; goesOn; turns++) await nextTurn()
    })()
    const items = await all(broker.sessions())
    goesOn = false
    await watch
    expect(items).toHaveLength(count)
    // 128 units between two looks, and the slice is over after the fourth
    expect(turns).toBeGreaterThan((count * 32) / 128 / 8)
  })

  it('end with their signal, and with the broker', async () => {
    const broker = await startBroker({ clock: new TakingClock(), store: new FullStore(2000) })
    const aborter = new AbortController()
    let seen = 0
    for await (const _ of broker.sessions({ signal: aborter.signal })) if (++seen === 10) aborter.abort()
    expect(seen).toBe(10)
    expect(await all(broker.retained('#', { signal: AbortSignal.abort() }))).toEqual([])
    const read = (async () => {
      for await (const { clientId } of broker.sessions()) if (clientId === '100') await broker.stop()
    })()
    await expect(read).rejects.toMatchObject({ code: 'GNATMQ_NOT_RUNNING' })
  })

  it('leave out what ends while they are read', async () => {
    const broker = await startBroker()
    const clients = await Promise.all(['a', 'b', 'c'].map((clientId) => connectClient(broker, { clientId })))
    const seen: string[] = []
    for await (const { clientId } of broker.sessions()) {
      seen.push(clientId)
      if (clientId !== 'a') continue
      await clients[1]!.disconnect()
      await vi.waitFor(() => expect(broker.statistics.sessions).toBe(2))
    }
    expect(seen).toEqual(['a', 'c'])
  })

  it('hold what hostile clients call themselves as it is', async () => {
    const broker = await startBroker({ lenientClientIdentifiers: true })
    const clientId = 'a\u0001\u001b[2J\u2028<script>'
    await connectClient(broker, { clientId })
    expect((await all(broker.sessions())).map((session) => session.clientId)).toEqual([clientId])
    expect(broker.disconnect(clientId)).toBe(true)
  })

  it('refuse wrong arguments, and a broker that does not run', async () => {
    const broker = await startBroker()
    const code = 'GNATMQ_OPTION_INVALID'
    expect(() => broker.sessions({ limit: 0 })).toThrow(expect.objectContaining({ code }))
    expect(() => broker.sessions({ after: 1 as never })).toThrow(expect.objectContaining({ code }))
    expect(() => broker.sessions({ signal: {} as never })).toThrow(expect.objectContaining({ code }))
    expect(() => broker.subscriptions({ after: 'a' as never })).toThrow(expect.objectContaining({ code }))
    expect(() => broker.subscriptions({ filter: 'a' } as never)).toThrow(/there is no subscriptions.filter/)
    expect(() => broker.retained('a/#/b')).toThrow(expect.objectContaining({ code: 'GNATMQ_TOPIC_FILTER_INVALID' }))
    await expect(broker.session(null as never)).rejects.toMatchObject({ code })
    await broker.stop()
    expect(() => broker.sessions()).toThrow(expect.objectContaining({ code: 'GNATMQ_NOT_RUNNING' }))
    await expect(broker.deleteSession('a')).rejects.toMatchObject({ code: 'GNATMQ_NOT_RUNNING' })
  })
})

describe('an application ends', () => {
  it('a connection', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { clientId: 'one', protocolVersion: 5 })
    expect(broker.disconnect('one', 0x8b, { reasonString: 'maintenance' })).toBe(true)
    expect(await client.next('disconnect')).toMatchObject({
      reasonCode: 0x8b,
      properties: { reasonString: 'maintenance' },
    })
    await client.closed()
    expect([broker.disconnect('one'), broker.disconnect('two')]).toEqual([false, false])
  })

  it('a session, with its connection; its Will is published', async () => {
    const broker = await startBroker()
    const heir = await connectClient(broker)
    await heir.subscribe('gone', 1)
    const client = await connectClient(broker, {
      clientId: 'one',
      clean: false,
      will: { topic: 'gone', payload: Buffer.from('w'), qos: 1, retain: false },
    })
    await client.subscribe('a', 1)
    expect(await broker.deleteSession('one')).toBe(true)
    await client.closed()
    expect(await heir.nextMessage()).toMatchObject({ topic: 'gone', text: 'w' })
    expect([await broker.session('one'), await broker.deleteSession('one')]).toEqual([undefined, false])
    const again = await connectClient(broker, { clientId: 'one', clean: false })
    expect(again.received[0]).toMatchObject({ sessionPresent: false })
  })

  it('a retained message', async () => {
    const broker = await startBroker()
    await broker.publish({ topic: 'a', payload: 'x', retain: true })
    expect([await broker.deleteRetained('a'), await broker.deleteRetained('a')]).toEqual([true, false])
    expect(broker.statistics.retainedMessages).toBe(0)
  })

  it('nothing of what it subscribes to itself', async () => {
    const broker = await startBroker()
    const end = await broker.subscribe('a', { qos: 1, durable: 'own' }, () => undefined)
    const [own] = await all(broker.sessions())
    expect(broker.disconnect(own!.clientId)).toBe(false)
    expect(await broker.deleteSession(own!.clientId)).toBe(false)
    end()
    await vi.waitFor(async () => expect((await broker.session(own!.clientId))?.client).toBeUndefined())
    expect(await broker.deleteSession(own!.clientId)).toBe(true)
    onTestFinished(() => broker.stop())
  })

  it('nothing that the store does not forget', async () => {
    class Refusing extends MemoryStore {
      refuses = false

      override commit(changes: Parameters<MemoryStore['commit']>[0]): void {
        if (this.refuses) throw new Error('the disk is full')
        super.commit(changes)
      }
    }
    const store = new Refusing()
    const broker = await startBroker({ store })
    await broker.publish({ topic: 'a', payload: 'x', retain: true })
    store.refuses = true
    await expect(broker.deleteRetained('a')).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
    expect((await all(broker.retained())).map(({ topic }) => topic)).toEqual(['a'])
  })
})
