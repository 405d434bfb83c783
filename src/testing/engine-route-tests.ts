import { deepStrictEqual as same } from 'node:assert'
import { bytesOf, type EngineTest, text } from './engine-bench'
import { awkwardNames } from './store-bench'

export function routeTests(test: EngineTest): void {
  test('in one log for all, with numbers that grow by one', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    same([await a.bind('x'), await b.bind('y'), await a.bind('z')], [1, 2, 3])
    await a.member.changeRoutes([{ key: 'x', value: undefined }], false)
    const entries = await b.nextRoutes(4)
    same(
      entries.map(({ number, changes, buried }) => [
        number,
        ...changes.map(({ node, key, value }) => [node, key, value === undefined ? undefined : text(value)]),
        ...buried,
      ]),
      [
        [1, [a.epoch, 'x', '1']],
        [2, [b.epoch, 'y', '1']],
        [3, [a.epoch, 'z', '1']],
        [4, [a.epoch, 'x', undefined]],
      ],
    )
  })

  test('in tables that can be read whole', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const changes = awkwardNames.map((key) => ({ key, value: bytesOf(`of ${key}`) }))
    await a.member.changeRoutes(changes, true)
    await b.bind('x')
    await b.bind('y')
    await b.member.changeRoutes([{ key: 'y', value: undefined }], false)
    await b.member.changeRoutes([{ key: 'x', value: bytesOf('2') }], true)
    const expected: Record<string, string> = { [`${b.epoch} x`]: '2' }
    for (const key of awkwardNames) expected[`${a.epoch} ${key}`] = `of ${key}`
    same(await a.tables(), expected)
  })

  test('in tables of thousands', async (bench) => {
    const a = await bench.join('a')
    const keys = Array.from({ length: 3000 }, (_, n) => `device/${n}/#`)
    await a.member.changeRoutes(
      keys.map((key) => ({ key, value: bytesOf('1') })),
      true,
    )
    same(Object.keys(await a.tables()).sort(), keys.map((key) => `${a.epoch} ${key}`).sort())
  })
}

export function routeReadingTests(test: EngineTest): void {
  test('to those that wait for them', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const waiting = b.next()
    await a.bind('x')
    const { frames, routes, retained } = await waiting
    same([frames, routes === 'missed' ? routes : routes.length, retained], [[], 1, []])
  })

  test('from the whole where the log does not reach back', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    // in other batches the engine could keep them all in one piece of its log
    for (let n = 0; n < 400; n++)
      await Promise.all(Array.from({ length: 64 }, (_, i) => a.bind(`key ${(n + i) % 100}`)))
    same((await b.next()).routes, 'missed')
    const { number } = await b.member.routes()
    same(number, 400 * 64)
    b.cursor = { ...b.cursor, routes: number }
    await a.bind('x')
    same((await b.nextRoutes(number + 1)).length, 1)
    const answer = await b.transact({ routedAt: 1 })
    same(answer, { type: 'stale', routes: 'missed' })
  })

  test('and tell where the own inbox stood', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    same(await b.member.changeRoutes([{ key: 'x', value: bytesOf('1') }], true), { number: 1, inboxEnd: '' })
    await a.keep({ frames: [{ node: b.epoch, bytes: bytesOf('before') }], routedAt: 1 })
    const place = await b.member.changeRoutes([{ key: 'y', value: bytesOf('1') }], true)
    await a.keep({ frames: [{ node: b.epoch, bytes: bytesOf('behind') }], routedAt: 2 })
    const [before] = await b.nextFrames(2)
    same(place, { number: 2, inboxEnd: before!.position })
  })
}
