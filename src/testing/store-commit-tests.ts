import { rejects, deepStrictEqual as same } from 'node:assert'
import type { Change, Store } from '../ports/store'
import { enqueue, message, session, subscription, type Test } from './store-bench'

export function commitTests(test: Test): void {
  test('apply their changes in order', async (bench) => {
    await bench.commit(
      session('a', { username: 'before' }),
      enqueue('a', 1),
      { type: 'end', clientId: 'a' },
      session('a', { username: 'after' }),
      enqueue('a', 2),
      { type: 'assign', clientId: 'a', position: 2, packetIdentifier: 5 },
      { type: 'retain', message: message('x') },
      { type: 'clear', topic: 'x' },
      { type: 'hold', clientId: 'a', packetIdentifier: 1 },
      { type: 'release', clientId: 'a', packetIdentifier: 1 },
    )
    same(
      (await bench.queue('a')).map(({ position, packetIdentifier }) => [position, packetIdentifier]),
      [[2, 5]],
    )
    same([await bench.held('a'), await bench.retained()], [[], []])
    same((await bench.session('a'))?.session.username, 'after')
  })

  test('may be empty', async (bench) => {
    await bench.commit()
    same(await bench.sessions(), [])
  })

  test('do nothing to a session that does not exist', async (bench) => {
    await bench.commit(
      { type: 'end', clientId: 'a' },
      { type: 'subscribe', clientId: 'a', subscription: subscription('x') },
      { type: 'unsubscribe', clientId: 'a', filter: 'x' },
      enqueue('a', 1),
      { type: 'assign', clientId: 'a', position: 1, packetIdentifier: 1 },
      { type: 'received', clientId: 'a', position: 1 },
      { type: 'dequeue', clientId: 'a', position: 1 },
      { type: 'hold', clientId: 'a', packetIdentifier: 1 },
      { type: 'release', clientId: 'a', packetIdentifier: 1 },
    )
    same([await bench.queue('a'), await bench.held('a'), await bench.sessions()], [[], [], []])
    await bench.commit(session('a'))
    const state = await bench.session('a')
    same([state?.subscriptions, state?.queuedMessages, state?.lastPosition], [[], 0, 0])
    same([await bench.queue('a'), await bench.held('a')], [[], []])
  })

  test('do nothing to an entry that does not exist', async (bench) => {
    await bench.commit(
      session('a'),
      { type: 'assign', clientId: 'a', position: 1, packetIdentifier: 1 },
      { type: 'received', clientId: 'a', position: 1 },
      { type: 'dequeue', clientId: 'a', position: 1 },
    )
    same([await bench.queue('a'), (await bench.session('a'))?.queuedMessages], [[], 0])
  })
}

export function commitOrderTests(test: Test): void {
  test('settle in the order of the calls when no call waits for the one before it', async (bench) => {
    await bench.commit(session('a'))
    const settled: number[] = []
    const all = Array.from({ length: 50 }, (_, n) => n + 1)
    const commits = all.map(async (position) => {
      await bench.store.commit([enqueue('a', position), { type: 'dequeue', clientId: 'a', position: position - 1 }])
      settled.push(position)
    })
    await Promise.all(commits)
    same([settled, await bench.positions('a')], [all, [50]])
    same((await bench.session('a'))?.lastPosition, 50)
  })

  test('survive that the store is closed and opened again, many times', async (bench) => {
    for (let position = 1; position <= 5; position++) {
      await bench.commit(session('a', { disconnectedAt: position }), enqueue('a', position))
      await bench.reopen()
    }
    same([await bench.positions('a'), (await bench.session('a'))?.session.disconnectedAt], [[1, 2, 3, 4, 5], 5])
  })
}

export function failureTests(test: Test, failNextCommit: (store: Store) => void | Promise<void>): void {
  test('leave nothing behind when they fail, and the next one is kept', async (bench) => {
    await bench.commit(session('a', { username: 'before' }), enqueue('a', 1), { type: 'retain', message: message('x') })
    await failNextCommit(bench.store)
    const doomed: Change[] = [
      session('a', { username: 'after' }),
      session('b'),
      enqueue('a', 2),
      { type: 'dequeue', clientId: 'a', position: 1 },
      { type: 'hold', clientId: 'a', packetIdentifier: 1 },
      { type: 'clear', topic: 'x' },
    ]
    await rejects(async () => bench.store.commit(doomed))
    same([await bench.positions('a'), await bench.held('a')], [[1], []])
    await bench.commit(enqueue('a', 3))
    same(
      (await bench.sessions()).map(({ session: head, lastPosition }) => [head.username, lastPosition]),
      [['before', 3]],
    )
    same([await bench.positions('a'), (await bench.retained()).map(({ topic }) => topic)], [[1, 3], ['x']])
  })
}
