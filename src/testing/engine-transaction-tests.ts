import { deepStrictEqual as same } from 'node:assert'
import type { RouteEntry, Transaction } from '../ports/cluster'
import { bytesOf, type EngineTest, type TestNode, text } from './engine-bench'
import { enqueue, message, session } from './store-bench'

export function inboxTests(test: EngineTest): void {
  test('with origin and number, in the order of the transactions', async (bench) => {
    const { a, b, c } = await bench.joinAll('a', 'b', 'c')
    const large = 'x'.repeat(2_000_000)
    await a.keep({ frames: [frame(b, '1'), frame(c, 'other'), frame(b, '2')], routedAt: 0 })
    const number = await c.bind('x')
    await c.keep({ frames: [frame(b, large)], routedAt: number })
    const frames = await b.nextFrames(3)
    same(
      frames.map(({ origin, routedAt, bytes }) => [origin, routedAt, text(bytes)]),
      [
        [a.epoch, 0, '1'],
        [a.epoch, 0, '2'],
        [c.epoch, number, large],
      ],
    )
    same(
      (await c.nextFrames(1)).map(({ bytes }) => text(bytes)),
      ['other'],
    )
  })

  test('until they are taken, together with what came of them', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    await a.keep({ frames: [frame(b, '1'), frame(b, '2'), frame(b, '3')], routedAt: 0 })
    const { epoch } = await b.hold('c')
    const [first, second] = await b.nextFrames(3)
    const taken = [first!.position, second!.position]
    await b.keep({ changes: [session('c'), enqueue('c', 1)], epochs: new Map([['c', epoch]]), taken })
    b.cursor = { ...b.cursor, inbox: '' }
    same(
      (await b.nextFrames(1)).map(({ bytes }) => text(bytes)),
      ['3'],
    )
    same((await b.member.queue('c', 0, 10)).length, 1)
  })

  test('up to so many bytes, and one at least', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const contents = ['1'.repeat(60), '2'.repeat(60), '3'.repeat(500), '4'.repeat(10)]
    await a.keep({ frames: contents.map((content) => frame(b, content)), routedAt: 0 })
    const pages: string[] = []
    for (let n = 0; n < 3; n++)
      pages.push((await b.next(130)).frames.map(({ bytes }) => text(bytes).charAt(0)).join(''))
    same(pages, ['12', '3', '4'])
  })

  test('that are not asked for while the node has enough', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    await a.keep({ frames: [frame(b, '1')], routedAt: 0 })
    b.cursor = { ...b.cursor, inbox: undefined }
    const waiting = b.next()
    await a.bind('x')
    same((await waiting).frames, [])
    b.cursor = { ...b.cursor, inbox: '' }
    same((await b.next()).frames.length, 1)
  })
}

export function refusalTests(test: EngineTest): void {
  test('where routes came that bind, also without a frame', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const number = await b.bind('x')
    for (const frames of [[], [frame(b, '1')]]) {
      const answer = await a.transact({ frames, routedAt: 0 })
      if (answer.type !== 'stale' || answer.routes === 'missed') throw new Error(`it is ${answer.type}`)
      const [{ changes, ...rest }] = answer.routes as [RouteEntry]
      same(rest, { number, buried: [] })
      same(
        changes.map(({ node, key, value }) => [node, key, text(value!)]),
        [[b.epoch, 'x', '1']],
      )
    }
    await a.keep({ frames: [frame(b, '2')], routedAt: number })
    same(
      (await b.nextFrames(1)).map(({ bytes }) => text(bytes)),
      ['2'],
    )
  })

  test('not where routes came that bind nothing, or where nothing was routed', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    await b.member.changeRoutes([{ key: 'x', value: bytesOf('1') }], false)
    await a.keep({ frames: [frame(b, '1')], routedAt: 0 })
    await b.bind('y')
    await a.keep({ frames: [frame(b, '2')] })
    same(
      (await b.nextFrames(2)).map(({ bytes }) => text(bytes)),
      ['1', '2'],
    )
  })

  test('where a target has no lease', async (bench) => {
    const { a, b, c } = await bench.joinAll('a', 'b', 'c')
    await b.member.leave()
    same(await a.transact({ frames: [frame(c, '1'), frame(b, '1'), frame(b, '2')], routedAt: 0 }), {
      type: 'gone',
      nodes: [b.epoch],
    })
    same(await a.transact({ frames: [{ node: 4711, bytes: bytesOf('1') }], routedAt: 0 }), {
      type: 'gone',
      nodes: [4711],
    })
    await a.keep({ frames: [frame(c, '2')], routedAt: 0 })
    same(
      (await c.nextFrames(1)).map(({ bytes }) => text(bytes)),
      ['2'],
    )
  })
}

export function fenceTests(test: EngineTest): void {
  test('where a session is not held under the epoch', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const { epoch } = await a.hold('mine')
    const other = await b.hold('yours')
    const epochs = new Map([
      ['mine', epoch],
      ['yours', other.epoch],
    ])
    const changes = [session('mine'), session('yours'), enqueue('none', 1)]
    same(sorted(await a.transact({ changes, epochs })), { type: 'fenced', clientIds: ['none', 'yours'] })
    same(await a.transact({ changes: [session('mine')], epochs: new Map([['mine', epoch - 1]]) }), {
      type: 'fenced',
      clientIds: ['mine'],
    })
    same(await a.transact({ changes: [session('mine')] }), { type: 'fenced', clientIds: ['mine'] })
    same(await a.transact({ released: ['yours'], epochs }), { type: 'fenced', clientIds: ['yours'] })
    same((await b.claim('mine')).state, undefined)
  })
}

export function wholeRefusalTests(test: EngineTest): void {
  const causes = ['lapsed', 'fenced', 'stale', 'gone'] as const
  for (const [n, cause] of causes.entries())
    test(`and do nothing of it when it is ${cause}, whatever else it is`, async (bench) => {
      const { a, b, dead } = await bench.joinAll('a', 'b', 'dead')
      const { epoch } = await a.hold('c')
      const epochs = new Map([['c', epoch]])
      await a.keep({ changes: [session('c'), enqueue('c', 1)], epochs })
      await b.keep({ frames: [frame(a, 'kept')], routedAt: 0 })
      const [kept] = await a.nextFrames(1)
      await dead.member.leave()
      const number = await b.bind('x')
      if (n === 0) await a.member.leave()
      const transaction: Partial<Transaction> = {
        changes: [
          session('c', { username: 'late' }),
          enqueue('c', 2),
          { type: 'dequeue', clientId: 'c', position: 1 },
          { type: 'hold', clientId: 'c', packetIdentifier: 1 },
          { type: 'retain', message: message('t') },
        ],
        epochs: n <= 1 ? new Map() : epochs,
        routedAt: n <= 2 ? 0 : number,
        frames: [frame(b, 'late'), frame(dead, 'late')],
        taken: [kept!.position],
        released: ['c'],
      }
      same((await a.transact(transaction)).type, cause)
      same(
        (await b.member.queue('c', 0, 10)).map(({ position }) => position),
        [1],
      )
      same([await b.member.held('c'), (await b.member.home('c'))?.heldBy], [[], a.epoch])
      b.cursor = { ...b.cursor, routes: number }
      await b.bind('y')
      const { frames, retained } = await b.next()
      same([frames, retained], [[], []])
      a.cursor = { ...a.cursor, inbox: '' }
      same((await a.nextFrames(1)).length, 1)
      const { state } = await b.claim('c')
      same(state?.session.username, undefined)
    })
}

export function retainedTests(test: EngineTest): void {
  test('in one log for all, and say its number', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const first = await a.keep({
      changes: [
        { type: 'retain', message: message('x', { payload: bytesOf('1') }) },
        { type: 'retain', message: message('y') },
      ],
    })
    const second = await b.keep({ changes: [{ type: 'retain', message: message('x', { payload: bytesOf('2') }) }] })
    const third = await a.keep({ changes: [{ type: 'clear', topic: 'y' }] })
    same([first, second, third, await a.keep({ changes: [] })], [2, 3, 4, 0])
    const seen: unknown[] = []
    while (b.cursor.retained < 4) {
      const { retained } = await b.next()
      if (retained === 'missed') throw new Error('the log was trimmed')
      seen.push(...retained.map((entry) => [entry.number, entry.node, entry.topic, payloadOf(entry.message)]))
    }
    same(seen, [
      [1, a.epoch, 'x', '1'],
      [2, a.epoch, 'y', 'y'],
      [3, b.epoch, 'x', '2'],
      [4, a.epoch, 'y', undefined],
    ])
  })

  test('and give them all', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const topics = Array.from({ length: 700 }, (_, n) => `topic ${n}`)
    for (let n = 0; n < topics.length; n += 100)
      await a.keep({ changes: topics.slice(n, n + 100).map((topic) => ({ type: 'retain', message: message(topic) })) })
    await a.keep({ changes: [{ type: 'clear', topic: 'topic 3' }] })
    const { number, rows } = await b.member.retained()
    const found: string[] = []
    for await (const page of rows) found.push(...page.map(({ topic, payload }) => `${topic}: ${text(payload)}`))
    const expected = topics.filter((topic) => topic !== 'topic 3').map((topic) => `${topic}: ${topic}`)
    same([number, found.sort()], [701, expected.sort()])
  })
}

function frame(node: TestNode, content: string) {
  return { node: node.epoch, bytes: bytesOf(content) }
}

function payloadOf(stored: { readonly payload: Uint8Array } | undefined): string | undefined {
  return stored === undefined ? undefined : text(stored.payload)
}

function sorted(answer: object): object {
  return 'clientIds' in answer ? { ...answer, clientIds: [...(answer.clientIds as string[])].sort() } : answer
}
