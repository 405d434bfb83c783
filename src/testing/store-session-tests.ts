import { deepStrictEqual as same } from 'node:assert'
import type { Change, StoredWill } from '../ports/store'
import {
  awkwardNames,
  bytes,
  byUnits,
  enqueue,
  message,
  plainSession,
  plainSubscription,
  type StoreBench,
  session,
  subscription,
  type Test,
} from './store-bench'

export function sessionTests(test: Test): void {
  test('is empty at first', async (bench) => {
    same([await bench.sessions(), await bench.retained()], [[], []])
    same([await bench.queue('a'), await bench.held('a')], [[], []])
  })

  test('with all that they have', async (bench) => {
    const will: StoredWill = {
      message: message('will', { properties: bytes('properties'), expiresAt: 1_700_000_000_123 }),
      retain: true,
      delayInterval: 60,
      messageExpiryInterval: 7,
    }
    const parts = { username: 'user', expiryInterval: 0xffffffff, disconnectedAt: 1_700_000_000_123, will }
    const change = session('a', parts)
    await bench.commit(change, session('b'))
    const found = await bench.sessions()
    same(
      found.map(({ session: head }) => plainSession(head)),
      [change, session('b')].map(headOf),
    )
    same(
      found.map(({ queuedMessages, queuedBytes, lastPosition }) => [queuedMessages, queuedBytes, lastPosition]),
      [
        [0, 0, 0],
        [0, 0, 0],
      ],
    )
  })

  test('and replaces only the head of one that exists', async (bench) => {
    await bench.commit(
      session('a', { username: 'before' }),
      { type: 'subscribe', clientId: 'a', subscription: subscription('x') },
      enqueue('a', 5),
      { type: 'hold', clientId: 'a', packetIdentifier: 9 },
    )
    await bench.commit(session('a', { username: 'after', disconnectedAt: 77 }))
    const state = await bench.session('a')
    same([state?.session.username, state?.session.disconnectedAt, state?.lastPosition], ['after', 77, 5])
    same([state?.subscriptions.length, await bench.positions('a'), await bench.held('a')], [1, [5], [9]])
  })
}

export function endOfSessionTests(test: Test): void {
  test('until they end, with everything that was theirs', async (bench) => {
    for (const clientId of ['a', 'b'])
      await bench.commit(
        session(clientId),
        { type: 'subscribe', clientId, subscription: subscription('x') },
        enqueue(clientId, 5),
        { type: 'hold', clientId, packetIdentifier: 9 },
      )
    await bench.commit({ type: 'end', clientId: 'a' })
    same([await bench.positions('a'), await bench.held('a')], [[], []])
    same(
      (await bench.sessions()).map(({ session: head }) => head.clientId),
      ['b'],
    )
    await bench.commit(session('a'))
    const state = await bench.session('a')
    same([state?.subscriptions, state?.queuedMessages, state?.lastPosition], [[], 0, 0])
    same([await bench.positions('a'), await bench.held('a'), await bench.positions('b')], [[], [], [5]])
  })

  test('apart from each other, whatever they are called', async (bench) => {
    for (const [n, clientId] of awkwardNames.entries())
      await bench.commit(
        session(clientId, { username: clientId }),
        { type: 'subscribe', clientId, subscription: subscription(clientId) },
        enqueue(clientId, n + 1, { message: message(clientId) }),
        { type: 'hold', clientId, packetIdentifier: n + 1 },
      )
    await bench.commit({ type: 'end', clientId: 'a' })
    const left = awkwardNames.filter((clientId) => clientId !== 'a')
    const found = await bench.sessions()
    same(
      found.map(({ session: head }) => head.clientId),
      [...left].sort(byUnits),
    )
    for (const { session: head, subscriptions } of found)
      same([head.username, subscriptions[0]?.filter], [head.clientId, head.clientId])
    for (const clientId of left) {
      const n = awkwardNames.indexOf(clientId) + 1
      same([await bench.positions(clientId), await bench.held(clientId)], [[n], [n]])
    }
  })
}

function headOf(change: Change): object | undefined {
  return change.type === 'session' ? plainSession(change.session) : undefined
}

export function subscriptionTests(test: Test): void {
  const subscribe = (filter: string, parts = {}): Change => ({
    type: 'subscribe',
    clientId: 'a',
    subscription: subscription(filter, parts),
  })

  async function filters(bench: StoreBench): Promise<object[]> {
    const { subscriptions = [] } = (await bench.session('a')) ?? {}
    return [...subscriptions].sort((a, b) => byUnits(a.filter, b.filter)).map(plainSubscription)
  }

  test('with all their options', async (bench) => {
    const full = {
      qos: 2,
      noLocal: true,
      retainAsPublished: true,
      retainHandling: 2,
      subscriptionIdentifier: 268_435_455,
    } as const
    await bench.commit(
      session('a'),
      subscribe('x/#', full),
      subscribe('$share/group/x/+', { qos: 1, retainHandling: 1 }),
    )
    const wanted = [subscription('$share/group/x/+', { qos: 1, retainHandling: 1 }), subscription('x/#', full)]
    same(await filters(bench), wanted.map(plainSubscription))
  })

  test('one for each filter, the last one', async (bench) => {
    await bench.commit(session('a'), subscribe('x', { qos: 2 }), subscribe('y'))
    await bench.commit(subscribe('x', { qos: 1, noLocal: true }))
    same(await filters(bench), [subscription('x', { qos: 1, noLocal: true }), subscription('y')].map(plainSubscription))
  })

  test('until they are removed, once or twice', async (bench) => {
    await bench.commit(session('a'), subscribe('x'), subscribe('y'), subscribe('x/y'))
    await bench.commit(
      { type: 'unsubscribe', clientId: 'a', filter: 'x' },
      { type: 'unsubscribe', clientId: 'a', filter: 'x' },
    )
    same(await filters(bench), [subscription('x/y'), subscription('y')].map(plainSubscription))
  })

  test('with filters of any length', async (bench) => {
    const long = 'x'.repeat(65_535)
    await bench.commit(session('a'), subscribe(long), subscribe(`${long.slice(1)}y`))
    await bench.commit({ type: 'unsubscribe', clientId: 'a', filter: long })
    same(await filters(bench), [plainSubscription(subscription(`${long.slice(1)}y`))])
  })
}

export function heldTests(test: Test): void {
  const hold = (packetIdentifier: number): Change => ({ type: 'hold', clientId: 'a', packetIdentifier })
  const release = (packetIdentifier: number): Change => ({ type: 'release', clientId: 'a', packetIdentifier })

  test('until they are released, once or twice', async (bench) => {
    await bench.commit(session('a'), hold(1), hold(256), hold(65_535), hold(256))
    same(await bench.held('a'), [1, 256, 65_535])
    await bench.commit(release(256), release(256), release(2))
    await bench.reopen()
    same(await bench.held('a'), [1, 65_535])
    await bench.commit(hold(256))
    same(await bench.held('a'), [1, 256, 65_535])
  })
}
