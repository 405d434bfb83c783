import { ok, deepStrictEqual as same } from 'node:assert'
import { bytes, enqueue, entry, message, plainEntry, plainMessage, plainShare, session, type Test } from './store-bench'

export function queueTests(test: Test): void {
  test('with all that a message has', async (bench) => {
    const full = entry(1, {
      message: message('€/topic', {
        payload: Uint8Array.of(0, 255, 128),
        qos: 2,
        properties: bytes('properties'),
        expiresAt: 1_700_000_000_123,
      }),
      qos: 2,
      retain: true,
      subscriptionIdentifiers: [1, 268_435_455],
      packetIdentifier: 65_535,
    })
    const bare = entry(2, { message: message('x', { payload: bytes(''), qos: 0 }), qos: 0 })
    await bench.commit(
      session('a'),
      { type: 'enqueue', clientId: 'a', entry: full },
      { type: 'enqueue', clientId: 'a', entry: bare },
    )
    for (const _ of ['at once', 'after a restart']) {
      same((await bench.queue('a')).map(plainEntry), [full, bare].map(plainEntry))
      await bench.reopen()
    }
  })

  test('with messages of any size', async (bench) => {
    const large = new Uint8Array(3_000_000).map((_, n) => n % 251)
    await bench.commit(session('a'), enqueue('a', 1, { message: message('x', { payload: large }) }))
    await bench.reopen()
    same((await bench.queue('a')).map(plainEntry), [
      plainEntry(entry(1, { message: message('x', { payload: large }) })),
    ])
  })

  test('from sending to the last acknowledgement', async (bench) => {
    const at = (position: number) => ({ clientId: 'a', position })
    const progress = async (): Promise<unknown[]> =>
      (await bench.queue('a')).map(({ position, packetIdentifier, received }) => [position, packetIdentifier, received])
    await bench.commit(session('a'), enqueue('a', 1), enqueue('a', 2, { qos: 2, packetIdentifier: 7 }), enqueue('a', 3))
    await bench.commit({ type: 'assign', ...at(1), packetIdentifier: 65_535 }, { type: 'received', ...at(2) })
    await bench.reopen()
    same(await progress(), [
      [1, 65_535, false],
      [2, 7, true],
      [3, 0, false],
    ])
    await bench.commit({ type: 'dequeue', ...at(2) }, { type: 'dequeue', ...at(2) })
    same(await progress(), [
      [1, 65_535, false],
      [3, 0, false],
    ])
    await bench.reopen()
    same(await progress(), [
      [1, 65_535, false],
      [3, 0, false],
    ])
  })
}

export function queueContentTests(test: Test): void {
  test('with the shared groups that messages came through', async (bench) => {
    const shares = [{ filter: '$share/€/#', retain: true }, { filter: '$share/g/a', retain: false }, undefined]
    await bench.commit(session('a'), ...shares.map((share, n) => enqueue('a', n + 1, { share })))
    const stored = async (): Promise<unknown[]> => (await bench.queue('a')).map((kept) => plainShare(kept.share))
    same(await stored(), shares)
    await bench.reopen()
    await bench.commit({ type: 'assign', clientId: 'a', position: 1, packetIdentifier: 1 })
    await bench.commit({ type: 'received', clientId: 'a', position: 2 })
    same(await stored(), shares)
  })

  test('and counts what is in them', async (bench) => {
    await bench.commit(session('a'), session('b'), enqueue('a', 1), enqueue('a', 2), enqueue('a', 3))
    await bench.commit({ type: 'dequeue', clientId: 'a', position: 3 })
    const state = await bench.session('a')
    same([state?.queuedMessages, state?.lastPosition], [2, 3])
    ok(state !== undefined && state.queuedBytes >= 2 * 'topic/1'.length, 'queuedBytes counts the payloads at least')
    await bench.commit({ type: 'dequeue', clientId: 'a', position: 1 }, { type: 'dequeue', clientId: 'a', position: 2 })
    const empty = await bench.session('a')
    same([empty?.queuedMessages, empty?.queuedBytes, empty?.lastPosition], [0, 0, 3])
  })

  test('of several sessions that hold one message, each until it is done with it', async (bench) => {
    const shared = message('shared', { payload: bytes('for all') })
    const clients = ['a', 'b', 'c']
    await bench.commit(
      ...clients.map((clientId) => session(clientId)),
      ...clients.map((clientId) => enqueue(clientId, 1, { message: shared })),
      { type: 'retain', message: shared },
    )
    await bench.commit(
      { type: 'dequeue', clientId: 'a', position: 1 },
      { type: 'end', clientId: 'b' },
      { type: 'clear', topic: 'shared' },
    )
    await bench.reopen()
    same([await bench.queue('a'), await bench.queue('b')], [[], []])
    same(
      (await bench.queue('c')).map(({ message: kept }) => plainMessage(kept)),
      [plainMessage(shared)],
    )
  })
}

export function pagingTests(test: Test): void {
  test('and gives them in pages, in ascending order', async (bench) => {
    // numbers that sort otherwise as text, or as bytes of a fixed width
    const positions = [
      1,
      2,
      9,
      10,
      255,
      256,
      65_535,
      65_536,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 40,
      Number.MAX_SAFE_INTEGER,
    ]
    await bench.commit(
      session('a'),
      session('b'),
      enqueue('b', 3),
      ...positions.map((position) => enqueue('a', position)),
    )
    await bench.reopen()
    same(await bench.positions('a'), positions)
    same(await bench.positions('a', 0, 1), [1])
    same(await bench.positions('a', 2, 3), [9, 10, 255])
    same(await bench.positions('a', 3, 2), [9, 10])
    same(await bench.positions('a', 2 ** 32, 10), [2 ** 40, Number.MAX_SAFE_INTEGER])
    same(await bench.positions('a', Number.MAX_SAFE_INTEGER, 10), [])
    same(await bench.positions('b', 3, 10), [])
    same((await bench.session('a'))?.lastPosition, Number.MAX_SAFE_INTEGER)
  })

  test('page by page, all of a long one', async (bench) => {
    const all = Array.from({ length: 1000 }, (_, n) => n + 1)
    await bench.commit(session('a'), ...all.map((position) => enqueue('a', position)))
    const seen: number[] = []
    // a store that gives a page again must not keep the test for ever
    for (let pages = 0; pages <= all.length; pages++) {
      const page = await bench.positions('a', seen.at(-1) ?? 0, 64)
      if (page.length === 0) break
      seen.push(...page)
    }
    same(seen, all)
  })
}

export function replacementTests(test: Test): void {
  test('with an entry that takes the place of another', async (bench) => {
    const lowered = entry(2, { message: message('x', { payload: bytes('lowered') }), qos: 1 })
    await bench.commit(session('a'), enqueue('a', 1), enqueue('a', 2, { qos: 2 }), enqueue('a', 3))
    await bench.commit({ type: 'enqueue', clientId: 'a', entry: lowered, replaces: true })
    for (const _ of ['at once', 'after a restart']) {
      same((await bench.queue('a')).map(plainEntry), [entry(1), lowered, entry(3)].map(plainEntry))
      await bench.reopen()
    }
    await bench.commit({ type: 'dequeue', clientId: 'a', position: 2 })
    await bench.reopen()
    same((await bench.queue('a')).map(plainEntry), [entry(1), entry(3)].map(plainEntry))
  })

  test('without an entry that was replaced and removed at once', async (bench) => {
    const lowered = entry(2, { qos: 1 })
    await bench.commit(session('a'), enqueue('a', 1), enqueue('a', 2, { qos: 2 }), enqueue('a', 3))
    await bench.reopen()
    await bench.commit(
      { type: 'enqueue', clientId: 'a', entry: lowered, replaces: true },
      { type: 'dequeue', clientId: 'a', position: 2 },
      { type: 'dequeue', clientId: 'a', position: 3 },
    )
    for (const _ of ['at once', 'after a restart']) {
      same((await bench.queue('a')).map(plainEntry), [entry(1)].map(plainEntry))
      await bench.reopen()
    }
  })
}
