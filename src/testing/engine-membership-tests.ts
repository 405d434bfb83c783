import { notStrictEqual as differ, rejects, deepStrictEqual as same } from 'node:assert'
import { bytesOf, type EngineTest, eventually, LEASE_MS } from './engine-bench'
import { session } from './store-bench'

export function joinTests(test: EngineTest): void {
  test('each with an epoch that no other has, not even the same node before', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const claim = await a.claim('c')
    await a.member.leave()
    const again = await bench.join('a')
    same(new Set([a.epoch, b.epoch, claim.epoch, again.epoch]).size, 4)
  })

  test('once with a name, as long as its lease lasts', async (bench) => {
    await bench.join('a')
    await rejects(bench.join('a'), { code: 'GNATMQ_CLUSTER_NODE_ID' })
    await bench.join('b')
  })

  test('with the name of a node whose lease is over', async (bench) => {
    const former = await bench.joinAndLapse('a')
    differ((await bench.join('a')).epoch, former.epoch)
  })

  test('with the name of a node that has left', async (bench) => {
    const former = await bench.join('a')
    await former.member.leave()
    differ((await bench.join('a')).epoch, former.epoch)
  })

  test('not beside nodes of another format', async (bench) => {
    await bench.join('a')
    await rejects(bench.join('b', { format: 2 }), { code: 'GNATMQ_CLUSTER_FORMAT' })
  })

  test('and see each other', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const { isHeld, nodes, time } = await b.member.renew()
    same([isHeld, time > 0, a.member.joinedAt > 0], [true, true, true])
    const others = { isAlive: true, buriedBy: undefined }
    same(
      [...nodes].sort((one, other) => one.epoch - other.epoch),
      [
        { epoch: a.epoch, nodeId: 'a', description: 'the node a', ...others },
        { epoch: b.epoch, nodeId: 'b', description: 'the node b', ...others },
      ],
    )
  })
}

export function leaseTests(test: EngineTest): void {
  test('for as long as it is renewed', async (bench) => {
    const node = await bench.join('a', { leaseMs: LEASE_MS * 2 })
    for (let i = 0; i < 3; i++) {
      await bench.place.elapse(LEASE_MS)
      same((await node.member.renew()).isHeld, true)
    }
  })

  test('and never again once it is over', async (bench) => {
    const other = await bench.join('b')
    const node = await bench.joinAndLapse('a')
    same((await node.member.renew()).isHeld, false)
    same((await node.member.renew()).isHeld, false)
    const seen = (await other.member.renew()).nodes.find(({ epoch }) => epoch === node.epoch)
    same([seen?.nodeId, seen?.isAlive], ['a', false])
  })

  test('until it leaves', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    await a.member.leave()
    same((await a.member.renew()).isHeld, false)
    same((await b.member.renew()).nodes.find(({ epoch }) => epoch === a.epoch)?.isAlive, false)
  })

  test('without which nothing is changed', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    const epochs = new Map([['c', (await a.hold('c')).epoch]])
    await b.hold('d')
    await b.member.leave()
    await a.member.leave()
    same(await a.transact({ changes: [session('c')], epochs }), { type: 'lapsed' })
    same(await a.transact({ frames: [{ node: b.epoch, bytes: bytesOf('x') }], routedAt: 0 }), { type: 'lapsed' })
    same(await a.member.changeRoutes([{ key: 'x', value: bytesOf('1') }], true), 'lapsed')
    same(await a.member.pass([{ clientId: 'c', epoch: epochs.get('c')!, changes: [] }]), 'lapsed')
    same([await a.member.claim('d'), await a.member.take('c', epochs.get('c')!)], ['lapsed', undefined])
    same([await a.member.bury(b.epoch), await a.member.inherit('d', b.epoch)], [false, undefined])
    same(await a.member.endBurial(b.epoch), false)
    const witness = await bench.join('w')
    same([await witness.tables(), (await witness.member.home('d'))?.node], [{}, b.epoch])
    same((await witness.claim('c')).state, undefined)
  })
}

export function frameTests(test: EngineTest): void {
  test('to one node, in their order', async (bench) => {
    const { a, b, c } = await bench.joinAll('a', 'b', 'c')
    await eventually('the nodes hear each other', () => {
      a.member.send(b.epoch, bytesOf('hello'))
      return b.frames.length > 0
    })
    const large = 'x'.repeat(1_000_000)
    for (const content of ['1', '2', large, '4']) a.member.send(b.epoch, bytesOf(content))
    await eventually('they arrive', () => b.frames.at(-1) === '4')
    same(b.frames.slice(-4), ['1', '2', large, '4'])
    same(c.frames, [])
  })

  test('to nobody where the node is not there', async (bench) => {
    const { a, b } = await bench.joinAll('a', 'b')
    a.member.send(4711, bytesOf('x'))
    await eventually('later frames arrive', () => {
      a.member.send(b.epoch, bytesOf('y'))
      return b.frames.includes('y')
    })
  })
}
