import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type LmdbStore, lmdbStore } from '../../../src/persistence/lmdb'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { Change, Store, StoredMessage } from '../../../src/ports/store'
import { collect, enqueue, entry, message, session, subscription } from './store-fixture'

const clients = ['a', 'b', '__proto__']

/** What a broker might do next; `pick` chooses among what there is. */
const step = fc.record({
  type: fc.constantFrom(
    ...(['session', 'end', 'subscribe', 'unsubscribe', 'enqueue', 'enqueue', 'enqueue', 'again'] as const),
    ...(['assign', 'received', 'dequeue', 'dequeue', 'hold', 'release', 'release', 'retain', 'clear'] as const),
  ),
  client: fc.constantFrom(...clients),
  pick: fc.nat(11),
  /** What comes behind it: the same commit, the next one of this turn, a later turn, a wait, or a restart. */
  behind: fc.constantFrom('same', 'same', 'commit', 'commit', 'turn', 'wait', 'restart'),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Makes changes that a broker may make: positions grow, and what is held is not held again. */
class Script {
  private position = 0
  private last: StoredMessage = message('t', 'first')
  private readonly held = new Set<string>()
  private readonly queued: { clientId: string; position: number }[] = []

  change({ type, client: clientId, pick }: Step): Change {
    // one of the latest entries, wherever it is queued, or one that is not there
    const near = this.queued[this.queued.length - 1 - (pick % 7)] ?? { clientId, position: pick }
    switch (type) {
      case 'session':
        return session(clientId, { disconnectedAt: pick, username: pick % 2 ? 'u' : undefined })
      case 'end':
        for (const held of [...this.held]) if (held.startsWith(`${clientId} `)) this.held.delete(held)
        return { type, clientId }
      case 'subscribe':
        return { type, clientId, subscription: subscription(`f${pick % 3}`, { subscriptionIdentifier: pick }) }
      case 'unsubscribe':
        return { type, clientId, filter: `f${pick % 3}` }
      case 'enqueue':
        this.last = message(`t/${pick}`, 'p'.repeat(pick * 50))
        return this.enqueue(clientId)
      case 'again':
        return this.enqueue(clientId)
      case 'assign':
        return { type, ...near, packetIdentifier: pick + 1 }
      case 'received':
      case 'dequeue':
        return { type, ...near }
      case 'hold':
      case 'release': {
        const held = `${clientId} ${pick % 3}`
        const isHeld = this.held.has(held)
        if (isHeld) this.held.delete(held)
        else this.held.add(held)
        return { type: isHeld ? 'release' : 'hold', clientId, packetIdentifier: (pick % 3) + 1 }
      }
      case 'retain':
        return {
          type,
          message: pick % 2 ? message(`r${pick % 3}`, `${pick}`) : { ...this.last, topic: `r${pick % 3}` },
        }
      case 'clear':
        return { type, topic: `r${pick % 3}` }
    }
  }

  private enqueue(clientId: string): Change {
    this.queued.push({ clientId, position: ++this.position })
    return enqueue(clientId, entry(this.position, this.last))
  }
}

/** Everything that a store tells, in a form that can be compared. */
async function contents(store: Store, isStart: boolean): Promise<unknown> {
  const states = await collect(store.sessions())
  const sessions = await Promise.all(
    states.map(async ({ subscriptions, lastPosition, ...state }) => ({
      ...state,
      // sessions are asked for when a store starts: only then this one counts what came and went
      lastPosition: isStart ? lastPosition : undefined,
      subscriptions: [...subscriptions].sort((a, b) => a.filter.localeCompare(b.filter)),
      queue: await store.queue(state.session.clientId, 0, 1000),
      held: [...(await store.held(state.session.clientId))].sort(),
    })),
  )
  const retained = await collect(store.retained())
  return {
    sessions: sessions.sort((a, b) => a.session.clientId.localeCompare(b.session.clientId)),
    retained: [...retained].sort((a, b) => a.topic.localeCompare(b.topic)),
  }
}

async function play(steps: readonly Step[], folder: string): Promise<void> {
  const model = new MemoryStore()
  let store: LmdbStore = lmdbStore(folder, { durability: 'none' })
  await store.open()
  const script = new Script()
  let changes: Change[] = []
  const open: Promise<void>[] = []
  const heads = clients.slice(1).map((clientId) => session(clientId))
  model.commit(heads)
  await store.commit(heads)
  for (const next of steps) {
    changes.push(script.change(next))
    if (next.behind === 'same') continue
    model.commit(changes)
    open.push(Promise.resolve(store.commit(changes)))
    changes = []
    if (next.behind === 'turn') await new Promise((resolve) => setImmediate(resolve))
    if (next.behind === 'wait' || next.behind === 'restart') await Promise.all(open.splice(0))
    if (next.behind === 'wait') {
      expect(await contents(store, false)).toEqual(await contents(model, false))
      expect(store.verify()).toEqual([])
    }
    if (next.behind === 'restart') {
      await store.close()
      store = lmdbStore(folder, { durability: 'none' })
      await store.open()
    }
  }
  await Promise.all(open)
  // positions of entries that came and went are written when the store closes
  await store.close()
  store = lmdbStore(folder, { durability: 'none' })
  await store.open()
  try {
    expect(await contents(store, true)).toEqual(await contents(model, true))
    expect(store.verify()).toEqual([])
  } finally {
    await store.close()
  }
}

it('a durable store is at every moment what a store in memory would be', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), async (steps) => {
      const folder = mkdtempSync(join(tmpdir(), 'gnatmq-model-'))
      try {
        await play(steps, folder)
      } finally {
        rmSync(folder, { recursive: true })
      }
    }),
    { numRuns: 60 },
  )
}, 120_000)
