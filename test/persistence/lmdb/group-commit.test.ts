import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CommitGroup } from '../../../src/persistence/lmdb/commit-group'
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
  until,
} from './store-fixture'

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('commits of one turn', () => {
  it('are one transaction with one flush, and settle in their order', async () => {
    const store = await openStore()
    const before = store.statistics()
    const settled: number[] = []
    const commits = Array.from({ length: 50 }, (_, i) =>
      Promise.resolve(store.commit([session(`c${i}`)])).then(() => settled.push(i)),
    )
    await Promise.all(commits)
    const after = store.statistics()
    expect(settled).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(after.transactions - before.transactions).toBe(1)
    expect(after.flushes - before.flushes).toBe(1)
    expect(after.commits - before.commits).toBe(50)
  })

  it('that arrive while a transaction is in flight form the next one', async () => {
    const store = await openStore()
    const first = store.commit([session('a')])
    await nextTurn()
    const others = [store.commit([session('b')]), store.commit([session('c')])]
    await nextTurn()
    others.push(store.commit([session('d')]))
    await first
    await Promise.all(others)
    expect(store.statistics().transactions).toBe(2)
  })

  it('are answered at once when they undo themselves', async () => {
    const store = await openStore()
    await store.commit([session('c')])
    const { transactions } = store.statistics()
    const published = store.commit([enqueue('c', entry(1, message('t', 'p')))])
    const held = store.commit([{ type: 'hold', clientId: 'c', packetIdentifier: 9 }])
    expect(published).toBeInstanceOf(Promise)
    store.commit([{ type: 'assign', clientId: 'c', position: 1, packetIdentifier: 4 }])
    store.commit([dequeue('c', 1)])
    store.commit([{ type: 'release', clientId: 'c', packetIdentifier: 9 }])
    await Promise.all([published, held])
    expect(store.commit([enqueue('c', entry(2, message('t', 'p'))), dequeue('c', 2)])).toBeUndefined()
    expect(store.statistics().transactions).toBe(transactions)
  })

  it('that undo themselves still settle behind the transaction in flight', async () => {
    const store = await openStore()
    const order: string[] = []
    const first = Promise.resolve(store.commit([session('c')])).then(() => order.push('first'))
    await nextTurn()
    const empty = store.commit([enqueue('c', entry(1, message('t', 'p'))), dequeue('c', 1)])
    expect(empty).toBeInstanceOf(Promise)
    const second = Promise.resolve(empty).then(() => order.push('second'))
    await Promise.all([first, second])
    expect(order).toEqual(['first', 'second'])
    expect(store.statistics().transactions).toBe(1)
  })

  it('remember the positions of entries that came and went', async () => {
    const folder = scratchFolder()
    const store = await openStore(folder)
    await store.commit([session('c')])
    await store.commit([enqueue('c', entry(41, message('t', 'p'))), dequeue('c', 41)])
    await store.close()
    const again = await openStore(folder)
    expect((await collect(again.sessions()))[0]).toMatchObject({ lastPosition: 41, queuedMessages: 0 })
  })

  it('are seen by a read that comes after them, awaited or not', async () => {
    const store = await openStore()
    void store.commit([session('c'), { type: 'hold', clientId: 'c', packetIdentifier: 1 }])
    void store.commit([enqueue('c', entry(1, message('t', 'p')))])
    expect(await store.queue('c', 0, 9)).toHaveLength(1)
    expect(await store.held('c')).toEqual([1])
  })

  it('all settle before close() does', async () => {
    const store = await openStore()
    const settled: number[] = []
    for (let i = 0; i < 5; i++) {
      void Promise.resolve(store.commit([session(`c${i}`)])).then(() => settled.push(i))
      await nextTurn()
    }
    await store.close()
    expect(settled).toEqual([0, 1, 2, 3, 4])
    expect(() => store.commit([session('late')])).toThrow('is not open')
  })
})

describe('a store with durability interval', () => {
  it('flushes what was written, once, and not what was not', async () => {
    const store = await openStore(scratchFolder(), { durability: 'interval', flushIntervalMs: 20 })
    await Promise.all(Array.from({ length: 10 }, (_, i) => store.commit([session(`c${i}`)])))
    await until(() => store.statistics().flushes === 1, 'the interval is over')
    await store.commit([session('more')])
    await until(() => store.statistics().flushes === 2, 'the next interval is over')
    await store.backup(join(scratchFolder(), 'backup'))
    expect(store.statistics()).toMatchObject({ flushes: 2, transactions: 2 })
  })
})

describe('a group of commits', () => {
  const nobody = () => false
  const somebody = () => true

  it('folds what is sent into what is queued', () => {
    const group = new CommitGroup()
    group.add(enqueue('c', entry(1, message('t', 'p'))), somebody)
    group.add({ type: 'assign', clientId: 'c', position: 1, packetIdentifier: 5 }, somebody)
    group.add({ type: 'received', clientId: 'c', position: 1 }, somebody)
    expect(group.size).toBe(1)
    expect(group.sessions.get('c')!.queue.get(1)!.entry).toMatchObject({ packetIdentifier: 5, received: true })
  })

  it('does not take a hold that follows a release for one that can vanish', () => {
    const group = new CommitGroup()
    const release = { type: 'release', clientId: 'c', packetIdentifier: 5 } as const
    group.add(release, somebody)
    group.add({ ...release, type: 'hold' }, somebody)
    group.add(release, somebody)
    expect(group.sessions.get('c')!.held.get(5)).toBe('release')
  })

  it('counts nothing for steps before a session that did not exist', () => {
    const group = new CommitGroup()
    group.add(enqueue('c', entry(1, message('t', 'p'))), nobody)
    group.add(session('c'), nobody)
    expect(group.size).toBe(1)
    group.add(end('c'), nobody)
    expect(group.size).toBe(1)
  })
})
