import { deepStrictEqual as same } from 'node:assert'
import { bytesOf, type EngineTest, eventually, type TestNode, text } from './engine-bench'
import { stored } from './engine-session-tests'
import { enqueue, session } from './store-bench'

export function burialTests(test: EngineTest): void {
  test('once their lease is over, by one node', async (bench) => {
    const { a, b, dead } = await bench.joinAll('a', 'b', 'dead')
    same([await a.member.bury(dead.epoch), await a.member.bury(4711)], [false, false])
    await dead.member.leave()
    same([await a.member.bury(dead.epoch), await b.member.bury(dead.epoch)], [true, false])
    same(await a.member.bury(dead.epoch), true)
    same((await b.member.renew()).nodes.find(({ epoch }) => epoch === dead.epoch)?.buriedBy, a.epoch)
    same([await b.member.endBurial(dead.epoch), await a.member.endBurial(dead.epoch)], [false, true])
    same((await b.member.renew()).nodes.length, 2)
    same([await a.member.bury(dead.epoch), await a.member.endBurial(dead.epoch)], [false, false])
  })

  test('with their sessions, and what lay for these in their inbox', async (bench) => {
    const { a, b, dead } = await bench.joinAll('a', 'b', 'dead')
    const { epoch } = await stored(dead, 'c')
    await dead.hold('clean')
    await b.keep({ frames: [{ node: dead.epoch, bytes: bytesOf('left') }], routedAt: 0 })
    await dead.member.leave()
    same(await a.member.inherit('c', dead.epoch), undefined)
    await a.member.bury(dead.epoch)
    same([...(await a.member.sessionsOf(dead.epoch, 9))].sort(), ['c', 'clean'])
    same(
      (await a.member.inboxOf(dead.epoch, '', 1000)).map(({ bytes }) => text(bytes)),
      ['left'],
    )
    same(await b.member.inboxOf(dead.epoch, '', 1000), [])
    const claim = await a.member.inherit('c', dead.epoch)
    same([claim?.heldBy, claim?.isClaimed, claim?.state?.queuedMessages], [undefined, false, 1])
    same([await a.member.inherit('other', dead.epoch), claim!.epoch > epoch], [undefined, true])
    same((await dead.transact({ changes: [enqueue('c', 9)], epochs: new Map([['c', epoch]]) })).type, 'lapsed')
    same(await a.member.endBurial(dead.epoch), false)
    const epochs = new Map([['c', claim!.epoch]])
    const adopted = [{ clientId: 'c', from: dead.epoch }]
    same((await b.transact({ adopted, epochs })).type, 'fenced')
    await a.keep({ changes: [enqueue('c', 2)], epochs, adopted })
    const clean = await a.member.inherit('clean', dead.epoch)
    await a.keep({
      epochs: new Map([['clean', clean!.epoch]]),
      adopted: [{ clientId: 'clean', from: dead.epoch }],
      released: ['clean'],
    })
    same([await a.member.sessionsOf(dead.epoch, 9), await a.member.sessionsOf(a.epoch, 9)], [[], ['c']])
    same([await a.member.endBurial(dead.epoch), await a.member.home('clean')], [true, undefined])
    same((await b.member.home('c'))?.node, a.epoch)
  })
}

export function burialOfRoutesTests(test: EngineTest): void {
  test('and their routes go in one entry', async (bench) => {
    const { a, dead } = await bench.joinAll('a', 'dead')
    const number = await dead.bind('x')
    await dead.member.leave()
    await a.member.bury(dead.epoch)
    same(Object.keys(await a.tables()), [`${dead.epoch} x`])
    await a.member.endBurial(dead.epoch)
    const entries = await a.nextRoutes(number + 1)
    same(entries.at(-1), { number: number + 1, changes: [], buried: [dead.epoch] })
    same(await a.tables(), {})
    // it binds nothing: the sender is told anyway
    await a.keep({ routedAt: number })
  })

  test('and their sessions go to those that have claimed them, behind what lay in the inbox', async (bench) => {
    const { a, b, dead } = await bench.joinAll('a', 'b', 'dead')
    await stored(dead, 'c')
    await dead.member.leave()
    const claim = await b.claim('c')
    same([claim.heldBy, (await b.member.take('c', claim.epoch))?.heldBy], [dead.epoch, dead.epoch])
    await a.member.bury(dead.epoch)
    const inherited = await a.member.inherit('c', dead.epoch)
    same([inherited?.heldBy, inherited?.isClaimed], [undefined, true])
    same((await b.member.take('c', claim.epoch))?.heldBy, a.epoch)
    const place = await a.member.pass([{ clientId: 'c', epoch: inherited!.epoch, changes: [] }])
    same(place === 'lapsed' ? place : [...place.targets], [['c', b.epoch]])
    await a.keep({
      changes: [enqueue('c', 2)],
      epochs: new Map([['c', inherited!.epoch]]),
      adopted: [{ clientId: 'c', from: dead.epoch }],
      released: ['c'],
    })
    const taken = await b.member.take('c', claim.epoch)
    same([taken?.heldBy, taken?.isClaimed, taken?.state?.queuedMessages], [undefined, false, 2])
    same([await a.member.endBurial(dead.epoch), await a.member.sessionsOf(a.epoch, 9)], [true, []])
  })
}

export function burialOfClaimsTests(test: EngineTest): void {
  test('and what they had claimed goes to the one that buries them', async (bench) => {
    const { a, b, dead } = await bench.joinAll('a', 'b', 'dead')
    const held = await stored(a, 'c')
    await dead.claim('c')
    await dead.member.leave()
    await b.member.bury(dead.epoch)
    const inherited = await b.member.inherit('c', dead.epoch)
    same([inherited?.heldBy, inherited?.isClaimed], [a.epoch, false])
    same((await b.member.inherit('c', dead.epoch))?.epoch, inherited?.epoch)
    await a.keep({ epochs: new Map([['c', held.epoch]]), released: ['c'] })
    await eventually('b is told', () => b.releases.includes('c'))
    same((await b.member.take('c', inherited!.epoch))?.heldBy, undefined)
    await b.keep({ epochs: new Map([['c', inherited!.epoch]]), adopted: [{ clientId: 'c', from: dead.epoch }] })
    same(await b.member.endBurial(dead.epoch), true)
  })

  test('and what they were passed goes there as well', async (bench) => {
    const { a, b, d, dead } = await bench.joinAll('a', 'b', 'd', 'dead')
    const held = await stored(a, 'c')
    await dead.claim('c')
    await a.member.pass([{ clientId: 'c', epoch: held.epoch, changes: [{ key: 'x', value: bytesOf('1') }] }])
    const claim = await d.claim('c')
    await dead.member.leave()
    await b.member.bury(dead.epoch)
    const inherited = await b.member.inherit('c', dead.epoch)
    same([inherited?.heldBy, inherited?.isClaimed], [a.epoch, true])
    await a.keep({ epochs: new Map([['c', held.epoch]]), released: ['c'] })
    same((await b.member.take('c', inherited!.epoch))?.isClaimed, true)
    const epochs = new Map([['c', inherited!.epoch]])
    await b.keep({ epochs, adopted: [{ clientId: 'c', from: dead.epoch }], released: ['c'] })
    same((await d.member.take('c', claim.epoch))?.heldBy, undefined)
  })
}

export function unfinishedBurialTests(test: EngineTest): void {
  test('begins again with the sessions that were not adopted', async (bench) => {
    const { a, first, dead } = await bench.joinAll('a', 'first', 'dead')
    for (const clientId of ['1', '2', '3']) await stored(dead, clientId)
    await a.keep({ frames: [{ node: dead.epoch, bytes: bytesOf('left') }], routedAt: 0 })
    await dead.member.leave()
    await first.member.bury(dead.epoch)
    await adopt(first, '1', dead, 5)
    const unfinished = await first.member.inherit('2', dead.epoch)
    await first.member.leave()
    same([await a.member.bury(dead.epoch), await a.member.bury(first.epoch)], [true, true])
    same([...(await a.member.sessionsOf(dead.epoch, 9))].sort(), ['2', '3'])
    same((await a.member.inboxOf(dead.epoch, '', 1000)).length, 1)
    for (const clientId of ['2', '3']) await adopt(a, clientId, dead, 6)
    same(await a.member.endBurial(dead.epoch), true)
    same([...(await a.member.sessionsOf(first.epoch, 9))].sort(), ['1', '2'])
    for (const clientId of ['1', '2']) await adopt(a, clientId, first, 7)
    same(await a.member.endBurial(first.epoch), true)
    const positions: number[][] = []
    for (const clientId of ['1', '2', '3'])
      positions.push((await a.member.queue(clientId, 0, 9)).map(({ position }) => position))
    same(positions, [
      [1, 5, 7],
      [1, 6, 7],
      [1, 6],
    ])
    const late = { changes: [session('2')], epochs: new Map([['2', unfinished!.epoch]]) }
    same((await first.transact(late)).type, 'lapsed')
    same([...(await a.member.sessionsOf(a.epoch, 9))].sort(), ['1', '2', '3'])
  })
}

/** Holds a session in the place of a dead node, with a message of its inbox. */
async function adopt(node: TestNode, clientId: string, dead: TestNode, position: number): Promise<void> {
  const claim = await node.member.inherit(clientId, dead.epoch)
  same(claim?.heldBy, undefined)
  await node.keep({
    changes: [enqueue(clientId, position)],
    epochs: new Map([[clientId, claim!.epoch]]),
    adopted: [{ clientId, from: dead.epoch }],
  })
}

/** What everything that came goes away again: the engine has as much as before. */
export function growthTests(test: EngineTest): void {
  test('nothing behind once everything has gone', async (bench) => {
    const keeper = await bench.join('keeper')
    await churn(bench.join.bind(bench), keeper, 0)
    const before = await bench.place.size()
    for (let round = 1; round <= 3; round++) await churn(bench.join.bind(bench), keeper, round)
    same(await bench.place.size(), before)
  })
}

async function churn(join: (nodeId: string) => Promise<TestNode>, keeper: TestNode, round: number): Promise<void> {
  const node = await join(`node ${round}`)
  await node.member.changeRoutes(
    Array.from({ length: 20 }, (_, n) => ({ key: `key ${n}`, value: bytesOf('1') })),
    true,
  )
  const { number } = await keeper.member.routes()
  const topic = { topic: 't', payload: bytesOf('p'), qos: 0, properties: undefined, expiresAt: undefined } as const
  await node.keep({ changes: [{ type: 'retain', message: topic }] })
  await keeper.keep({ changes: [{ type: 'clear', topic: 't' }] })
  for (let n = 0; n < 20; n++) await stored(node, `client ${n}`)
  const frames = Array.from({ length: 20 }, (_, n) => ({ node: node.epoch, bytes: bytesOf(`frame ${n}`) }))
  await keeper.keep({ frames, routedAt: number })
  await keeper.keep({ frames: [{ node: keeper.epoch, bytes: bytesOf('own') }], routedAt: number })
  const [own] = await keeper.nextFrames(1)
  await keeper.keep({ taken: [own!.position] })
  await node.member.leave()
  await keeper.member.bury(node.epoch)
  for (const clientId of await keeper.member.sessionsOf(node.epoch, 100)) {
    const claim = await keeper.member.inherit(clientId, node.epoch)
    await keeper.keep({
      changes: [{ type: 'end', clientId }],
      epochs: new Map([[clientId, claim!.epoch]]),
      adopted: [{ clientId, from: node.epoch }],
      released: [clientId],
    })
  }
  same(await keeper.member.endBurial(node.epoch), true)
}
