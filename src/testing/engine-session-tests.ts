import { deepStrictEqual as same } from 'node:assert'
import { bytesOf, type EngineTest, eventually, type TestNode, text } from './engine-bench'
import { awkwardNames, enqueue, plainSession, session, subscription } from './store-bench'

export function claimTests(test: EngineTest): void {
  test('at once where nobody has them', async (bench) => {
    const a = await bench.join('a')
    const claims = await Promise.all(awkwardNames.map((clientId) => a.claim(clientId)))
    for (const claim of claims) same([claim.heldBy, claim.isClaimed, claim.state], [undefined, false, undefined])
    same(new Set(claims.map(({ epoch }) => epoch)).size, awkwardNames.length)
    same([...(await a.member.sessionsOf(a.epoch, 1000))].sort(), [...awkwardNames].sort())
    const [first] = claims
    same(await a.member.home(awkwardNames[0]!), { node: a.epoch, epoch: first!.epoch, heldBy: a.epoch })
    same(await a.member.home('nobody'), undefined)
  })

  test('again, under a higher epoch that fences the one before', async (bench) => {
    const a = await bench.join('a')
    const first = await a.hold('c')
    const second = await a.hold('c')
    same(second.epoch > first.epoch, true)
    const changes = [session('c')]
    same((await a.transact({ changes, epochs: new Map([['c', first.epoch]]) })).type, 'fenced')
    await a.keep({ changes, epochs: new Map([['c', second.epoch]]) })
  })

  test('with all that is stored', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const { epoch } = await a.hold('c')
    const will = { message: enqueueMessage(), retain: true, delayInterval: 5, messageExpiryInterval: 7 }
    const head = session('c', { username: 'u', will, disconnectedAt: 1_700_000_000_000 })
    await a.keep({
      changes: [
        head,
        { type: 'subscribe', clientId: 'c', subscription: subscription('x/#', { qos: 1 }) },
        enqueue('c', 1),
        enqueue('c', 2),
        { type: 'hold', clientId: 'c', packetIdentifier: 9 },
      ],
      epochs: new Map([['c', epoch]]),
    })
    const { state, heldBy } = await b.claim('c')
    same(heldBy, a.epoch)
    same(plainSession(state!.session), plainSession((head as Extract<typeof head, { type: 'session' }>).session))
    same(
      [state!.subscriptions.map(({ filter, qos }) => [filter, qos]), state!.queuedMessages, state!.lastPosition],
      [[['x/#', 1]], 2, 2],
    )
    same(state!.queuedBytes, 'topic/1topic/2'.length)
    same(await b.member.held('c'), [9])
    same(
      (await b.member.queue('c', 1, 5)).map(({ message }) => text(message.payload)),
      ['topic/2'],
    )
  })
}

export function endTests(test: EngineTest): void {
  test('that do not exist any more after their end and their release', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const epochs = new Map([['c', (await a.hold('c')).epoch]])
    await a.keep({ changes: [session('c'), enqueue('c', 1)], epochs })
    await a.keep({ changes: [{ type: 'end', clientId: 'c' }], epochs })
    same((await b.member.home('c'))?.node, a.epoch)
    same([await b.member.queue('c', 0, 5), (await a.claim('c')).state], [[], undefined])
  })
}

export function moveTests(test: EngineTest): void {
  test('once the holder has released them', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const epochs = new Map([['c', (await stored(a, 'c')).epoch]])
    const claim = await b.claim('c')
    same([claim.heldBy, claim.isClaimed], [a.epoch, false])
    await eventually('a is kicked', () => a.kicks.includes('c'))
    same((await b.transact({ changes: [enqueue('c', 5)], epochs: new Map([['c', claim.epoch]]) })).type, 'fenced')
    same((await b.member.take('c', claim.epoch))?.heldBy, a.epoch)
    await a.keep({ changes: [enqueue('c', 2)], epochs, released: ['c'] })
    await eventually('b is told', () => b.releases.includes('c'))
    const taken = await b.member.take('c', claim.epoch)
    same([taken?.heldBy, taken?.epoch, taken?.state?.queuedMessages], [undefined, claim.epoch, 2])
    await b.keep({ changes: [enqueue('c', 3)], epochs: new Map([['c', claim.epoch]]) })
    same((await a.transact({ changes: [enqueue('c', 4)], epochs })).type, 'fenced')
    same([await a.member.sessionsOf(a.epoch, 9), await a.member.sessionsOf(b.epoch, 9)], [[], ['c']])
  })

  test('and tell the holder again as often as they are asked for', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    await stored(a, 'c')
    const { epoch } = await b.claim('c')
    await eventually('a is kicked', () => a.kicks.length > 0)
    const before = a.kicks.length
    await eventually('a is kicked again', async () => {
      await b.member.take('c', epoch)
      return a.kicks.length > before
    })
  })
}

export function reclaimTests(test: EngineTest): void {
  test('to the one that has claimed them last', async (bench) => {
    const { a, b, d } = await bench.joinAll('a', 'b', 'd')
    const epochs = new Map([['c', (await stored(a, 'c')).epoch]])
    const first = await b.claim('c')
    const second = await d.claim('c')
    same([second.heldBy, await b.member.take('c', first.epoch)], [a.epoch, undefined])
    same(await a.member.sessionsOf(b.epoch, 9), [])
    await a.keep({ epochs, released: ['c'] })
    same((await d.member.take('c', second.epoch))?.heldBy, undefined)
    same(b.releases, [])
  })

  test('with routes in the table of the next home, in one entry for all', async (bench) => {
    const { a, b, d } = await bench.joinAll('a', 'b', 'd')
    const sessions = []
    for (const clientId of ['1', '2', '3', 'unclaimed']) {
      const { epoch } = await stored(a, clientId)
      sessions.push({ clientId, epoch, changes: [{ key: `of ${clientId}`, value: bytesOf(clientId) }] })
    }
    for (const clientId of ['1', '2']) await b.claim(clientId)
    await d.claim('3')
    await d.keep({ frames: [{ node: a.epoch, bytes: bytesOf('before') }], routedAt: 0 })
    const place = await a.member.pass([...sessions, { clientId: '1', epoch: 1, changes: [] }])
    if (place === 'lapsed') throw new Error('the lease is over')
    same([...place.targets].sort(), [
      ['1', b.epoch],
      ['2', b.epoch],
      ['3', d.epoch],
    ])
    same((await d.transact({ routedAt: 0 })).type, 'stale')
    const [entry] = await d.nextRoutes(place.number)
    same(
      [entry?.number, entry?.changes.map(({ node, key }) => `${node} ${key}`).sort()],
      [place.number, [`${b.epoch} of 1`, `${b.epoch} of 2`, `${d.epoch} of 3`].sort()],
    )
    same((await a.nextFrames(1)).at(-1)?.position, place.inboxEnd)
    same(Object.keys(await a.tables()).length, 3)
  })
}

export function chainTests(test: EngineTest): void {
  test('to the one that they were passed to, and from there to the next', async (bench) => {
    const { a, b, d } = await bench.joinAll('a', 'b', 'd')
    const held = await stored(a, 'c')
    const first = await b.claim('c')
    await passOn(a, held.epoch, 'c')
    const second = await d.claim('c')
    same(second.heldBy, a.epoch)
    await a.keep({ epochs: new Map([['c', held.epoch]]), released: ['c'] })
    await eventually('b is told, and kicked', () => b.releases.includes('c') && b.kicks.includes('c'))
    const taken = await b.member.take('c', first.epoch)
    same([taken?.heldBy, taken?.isClaimed], [undefined, true])
    same((await d.member.take('c', second.epoch))?.heldBy, b.epoch)
    same(await passOn(b, first.epoch, 'c'), d.epoch)
    await b.keep({ changes: [enqueue('c', 8)], epochs: new Map([['c', first.epoch]]), released: ['c'] })
    const last = await d.member.take('c', second.epoch)
    same([last?.heldBy, last?.isClaimed, last?.state?.queuedMessages], [undefined, false, 2])
    same(await b.member.take('c', first.epoch), undefined)
  })

  test('back to the holder, also while it passes them', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const held = await stored(a, 'c')
    await b.claim('c')
    const back = await a.claim('c')
    same([back.heldBy, back.isClaimed], [undefined, false])
    const again = await b.claim('c')
    await passOn(a, back.epoch, 'c')
    const passing = await a.claim('c')
    same([passing.heldBy, held.epoch < back.epoch], [a.epoch, true])
    await a.keep({ epochs: new Map([['c', back.epoch]]), released: ['c'] })
    same((await b.member.take('c', again.epoch))?.isClaimed, true)
    same(await passOn(b, again.epoch, 'c'), a.epoch)
    await b.keep({ epochs: new Map([['c', again.epoch]]), released: ['c'] })
    same((await a.member.take('c', passing.epoch))?.heldBy, undefined)
  })
}

export function releaseTests(test: EngineTest): void {
  test('altogether where nothing is stored, and not where something is', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const clean = await a.hold('clean')
    const kept = await stored(a, 'kept')
    const epochs = new Map([
      ['clean', clean.epoch],
      ['kept', kept.epoch],
    ])
    await a.keep({ epochs, released: ['clean', 'kept'] })
    same([await b.member.home('clean'), (await b.member.home('kept'))?.node], [undefined, a.epoch])
    same(await b.member.sessionsOf(a.epoch, 9), ['kept'])
    await a.keep({ changes: [{ type: 'end', clientId: 'kept' }], epochs, released: ['kept'] })
    same([await b.member.home('kept'), await b.member.sessionsOf(a.epoch, 9)], [undefined, []])
    same((await b.hold('clean')).epoch > clean.epoch, true)
  })
}

/** Passes one session, and gives the node that it goes to. */
async function passOn(node: TestNode, epoch: number, clientId: string): Promise<number | undefined> {
  const place = await node.member.pass([{ clientId, epoch, changes: [{ key: `of ${clientId}`, value: bytesOf('1') }] }])
  if (place === 'lapsed') throw new Error('the lease is over')
  return place.targets.get(clientId)
}

/** A session with a head and one message. */
export async function stored(node: TestNode, clientId: string): Promise<{ epoch: number }> {
  const claim = await node.hold(clientId)
  await node.keep({ changes: [session(clientId), enqueue(clientId, 1)], epochs: new Map([[clientId, claim.epoch]]) })
  return claim
}

function enqueueMessage() {
  return { topic: 'w', payload: bytesOf('will'), qos: 1, properties: bytesOf('p'), expiresAt: undefined } as const
}
