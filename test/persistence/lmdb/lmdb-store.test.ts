import { describe, expect, it } from 'vitest'
import type { Change } from '../../../src/ports/store'
import {
  collect,
  dequeue,
  end,
  enqueue,
  entry,
  message,
  openStore,
  scratchFolder,
  session,
  subscription,
  until,
} from './store-fixture'

describe('a durable store', () => {
  it('brings back a session whole', async () => {
    const folder = scratchFolder()
    const store = await openStore(folder)
    const will = { message: message('will', 'gone'), retain: true, delayInterval: 5, messageExpiryInterval: 60 }
    const head = session('c', { username: 'u', expiryInterval: 0xffffffff, disconnectedAt: 1234.5, will })
    const filter = subscription('$share/g/a/+', {
      qos: 2,
      retainHandling: 2,
      noLocal: true,
      subscriptionIdentifier: 268435455,
    })
    const more = {
      retain: true,
      qos: 2,
      packetIdentifier: 65535,
      received: true,
      subscriptionIdentifiers: [1, 268435455],
      share: { filter: '$share/g/a/+', retain: true },
    } as const
    const queued = entry(7, message('a/b', 'x', { properties: Buffer.of(1, 0), expiresAt: 1e12 + 0.25, qos: 2 }), more)
    await store.commit([
      head,
      { type: 'subscribe', clientId: 'c', subscription: filter },
      { type: 'hold', clientId: 'c', packetIdentifier: 65535 },
      enqueue('c', queued),
    ])
    await store.close()
    const again = await openStore(folder)
    expect(await collect(again.sessions())).toEqual([
      {
        session: (head as Extract<Change, { type: 'session' }>).session,
        subscriptions: [filter],
        queuedMessages: 1,
        queuedBytes: 1,
        lastPosition: 7,
      },
    ])
    expect(await again.queue('c', 0, 10)).toEqual([queued])
    expect(await again.held('c')).toEqual([65535])
    expect(again.verify()).toEqual([])
  })

  it('pages through a queue in the order of positions', async () => {
    const store = await openStore()
    const positions = [1, 2, 255, 256, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 40]
    await store.commit([session('c'), ...positions.map((at) => enqueue('c', entry(at, message('t', `${at}`))))])
    await store.commit([session('d'), enqueue('d', entry(1, message('t', 'other')))])
    const read = async (after: number, limit: number) => (await store.queue('c', after, limit)).map((of) => of.position)
    expect(await read(0, 100)).toEqual(positions)
    expect(await read(2, 2)).toEqual([255, 256])
    expect(await read(2 ** 32, 100)).toEqual([2 ** 40])
    expect(await read(2 ** 40, 100)).toEqual([])
    expect(await read(0, 0)).toEqual([])
  })

  it.each(['__proto__', 'constructor', '', ' ', '\u{1F99F}', 'a\u0001b', 'x'.repeat(481), 'é'.repeat(30_000)])(
    'keeps apart client identifiers and topics of any kind: %s',
    async (name) => {
      const folder = scratchFolder()
      const store = await openStore(folder)
      await store.commit([
        session(name),
        session(`${name}2`),
        { type: 'subscribe', clientId: name, subscription: subscription(name) },
        enqueue(name, entry(1, message(name, 'p'))),
        { type: 'retain', message: message(name, 'r') },
      ])
      await store.close()
      const again = await openStore(folder)
      expect((await collect(again.sessions())).map((of) => of.session.clientId).sort()).toEqual(
        [name, `${name}2`].sort(),
      )
      expect((await again.queue(name, 0, 9)).map((of) => of.message.topic)).toEqual([name])
      expect((await collect(again.retained())).map((of) => of.topic)).toEqual([name])
      await again.commit([end(name), { type: 'clear', topic: name }])
      expect(again.statistics()).toMatchObject({ sessions: 1, messages: 0, retainedMessages: 0 })
      expect(again.verify()).toEqual([])
    },
  )

  it('keeps what stays a message once, however many refer to it, until the last one goes', async () => {
    const store = await openStore()
    const shared = message('t', 'p'.repeat(3000))
    const clients = ['a', 'b', 'c']
    await store.commit([
      ...clients.map((clientId) => session(clientId)),
      ...clients.map((clientId) => enqueue(clientId, entry(1, shared))),
      { type: 'retain', message: shared },
    ])
    expect(store.statistics()).toMatchObject({ messages: 1, queuedEntries: 3, retainedMessages: 1 })
    await store.commit([session('d'), enqueue('d', entry(1, shared))])
    const [read] = await store.queue('d', 0, 1)
    await store.commit([session('e'), enqueue('e', entry(1, read!.message))])
    expect(store.statistics().messages).toBe(1)
    await store.commit([dequeue('a', 1), end('b'), { type: 'clear', topic: 't' }, dequeue('d', 1), end('e')])
    expect(store.verify()).toEqual([])
    expect(store.statistics().messages).toBe(1)
    await store.commit([dequeue('c', 1)])
    expect(store.statistics().messages).toBe(0)
    await store.commit([enqueue('c', entry(2, shared))])
    expect((await store.queue('c', 0, 9)).map((of) => of.message)).toEqual([shared])
    expect(store.verify()).toEqual([])
  })

  it('replaces the retained message of a topic', async () => {
    const store = await openStore()
    await store.commit([{ type: 'retain', message: message('t', '1') }])
    await store.commit([
      { type: 'retain', message: message('t', '2') },
      { type: 'retain', message: message('t', '3') },
    ])
    expect((await collect(store.retained())).map((of) => of.payload.toString())).toEqual(['3'])
    expect(store.statistics().messages).toBe(1)
  })

  it('does nothing for a session that is not there', async () => {
    const store = await openStore()
    await store.commit([
      enqueue('ghost', entry(1, message('t', 'p'))),
      { type: 'hold', clientId: 'ghost', packetIdentifier: 1 },
      session('ghost'),
      { type: 'assign', clientId: 'ghost', position: 4, packetIdentifier: 1 },
      dequeue('ghost', 5),
    ])
    expect(await store.queue('ghost', 0, 9)).toEqual([])
    expect(await store.held('ghost')).toEqual([])
    await store.commit([end('ghost'), enqueue('ghost', entry(1, message('t', 'p')))])
    expect(store.statistics()).toMatchObject({ sessions: 0, messages: 0, queuedEntries: 0 })
    expect(store.verify()).toEqual([])
  })

  it('begins anew when a session ends and starts again in one commit', async () => {
    const store = await openStore()
    await store.commit([
      session('c'),
      enqueue('c', entry(9, message('t', 'old'))),
      { type: 'hold', clientId: 'c', packetIdentifier: 3 },
    ])
    await store.commit([end('c'), session('c'), enqueue('c', entry(1, message('t', 'new')))])
    expect((await store.queue('c', 0, 9)).map((of) => of.message.payload.toString())).toEqual(['new'])
    expect(await store.held('c')).toEqual([])
    expect((await collect(store.sessions()))[0]).toMatchObject({ queuedMessages: 1, lastPosition: 1 })
    expect(store.verify()).toEqual([])
  })

  it('removes a session with a long queue without holding anybody up', async () => {
    const folder = scratchFolder()
    const store = await openStore(folder, { durability: 'none' })
    const one = message('t', 'p')
    await store.commit([session('c'), session('d')])
    for (let from = 1; from <= 50_000; from += 10_000) {
      await store.commit(
        Array.from({ length: 10_000 }, (_, i) => enqueue('c', entry(from + i, i % 2 ? one : message('t', `${i}`)))),
      )
    }
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }, 1)
    await store.commit([end('c')])
    expect(await store.queue('c', 0, 10)).toEqual([])
    await store.commit([session('c'), enqueue('d', entry(1, one))])
    await store.close()
    const again = await openStore(folder, { durability: 'none' })
    await until(() => again.statistics().queuedEntries === 1, 'the queue of the ended session is gone')
    clearInterval(timer)
    expect(longest).toBeLessThan(1000)
    expect(again.verify()).toEqual([])
    expect(again.statistics()).toMatchObject({ messages: 1, sessions: 2 })
  })
})
