import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../src/persistence/memory-store'
import type { Change, QueueEntry, Store, StoredMessage, StoredSessionState } from '../../src/ports/store'
import { type MakeStorePlace, type StoreSuiteOptions, storeSuite } from '../../src/testing/index'

/** Runs the suite as a test runner would, and gives the names of the tests that passed and failed. */
async function outcome(makePlace: MakeStorePlace, failNextCommit?: StoreSuiteOptions['failNextCommit']) {
  const path: string[] = []
  const tests: { name: string; run: () => Promise<void> }[] = []
  storeSuite('Store', makePlace, {
    describe: (name, define) => {
      path.push(name)
      define()
      path.pop()
    },
    it: (name, run) => tests.push({ name: [...path, name].join(' '), run }),
    ...(failNextCommit !== undefined && { failNextCommit }),
  })
  const passed: string[] = []
  const failed: string[] = []
  for (const { name, run } of tests)
    await run().then(
      () => passed.push(name),
      () => failed.push(name),
    )
  return { passed, failed }
}

/** The place of what a MemoryStore keeps is the store itself. */
function placeOf(make: () => MemoryStore): MakeStorePlace {
  return () => {
    const store = make()
    return { store: () => store }
  }
}

/** A store that forgets every change of one kind. */
class ForgetfulStore extends MemoryStore {
  private readonly forgotten: Change['type']

  constructor(forgotten: Change['type']) {
    super()
    this.forgotten = forgotten
  }

  override commit(changes: readonly Change[]): void {
    super.commit(changes.filter(({ type }) => type !== this.forgotten))
  }
}

class BackwardStore extends MemoryStore {
  override commit(changes: readonly Change[]): void {
    super.commit([...changes].reverse())
  }
}

class EndlessPageStore extends MemoryStore {
  override queue(clientId: string, after: number): readonly QueueEntry[] {
    return super.queue(clientId, after, 1_000_000)
  }
}

class InclusivePageStore extends MemoryStore {
  override queue(clientId: string, after: number, limit: number): readonly QueueEntry[] {
    return super.queue(clientId, after - 1, limit)
  }
}

class TextualPageStore extends MemoryStore {
  override queue(clientId: string, after: number, limit: number): readonly QueueEntry[] {
    const all = [...super.queue(clientId, after, 1_000_000)]
    return all.sort((a, b) => (String(a.position) < String(b.position) ? -1 : 1)).slice(0, limit)
  }
}

/** A store that answers with promises: in order, or the even ones late. */
class LateStore implements Store {
  private readonly inner: MemoryStore
  private readonly orderly: boolean
  private commits = 0

  constructor(inner: MemoryStore, orderly: boolean) {
    this.inner = inner
    this.orderly = orderly
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  async commit(changes: readonly Change[]): Promise<void> {
    const late = this.orderly || this.commits++ % 2 === 1
    this.inner.commit(changes)
    if (late) await new Promise((resolve) => setImmediate(resolve))
  }

  async *sessions(): AsyncIterable<StoredSessionState> {
    yield* this.inner.sessions()
  }

  async *retained(): AsyncIterable<StoredMessage> {
    yield* this.inner.retained()
  }

  async queue(clientId: string, after: number, limit: number): Promise<readonly QueueEntry[]> {
    return this.inner.queue(clientId, after, limit)
  }

  async held(clientId: string): Promise<readonly number[]> {
    return this.inner.held(clientId)
  }
}

/** A store whose commits can be made to fail: before they begin, or in their middle. */
class FailingStore extends MemoryStore {
  failing = false
  private readonly keeps: number

  constructor(keeps: number) {
    super()
    this.keeps = keeps
  }

  override commit(changes: readonly Change[]): void {
    if (!this.failing) {
      super.commit(changes)
      return
    }
    this.failing = false
    super.commit(changes.slice(0, this.keeps))
    throw new Error('disk full')
  }
}

const failNextCommit: StoreSuiteOptions['failNextCommit'] = (store) => {
  ;(store as FailingStore).failing = true
}

const kinds: Change['type'][] = [
  'session',
  'end',
  'subscribe',
  'unsubscribe',
  'enqueue',
  'assign',
  'received',
  'dequeue',
  'hold',
  'release',
  'retain',
  'clear',
]

describe('storeSuite', () => {
  it('passes a store that keeps its promises, with any test runner', async () => {
    const { passed, failed } = await outcome(placeOf(() => new MemoryStore()))
    expect(failed).toEqual([])
    expect(passed.length).toBeGreaterThan(20)
    expect(passed[0]).toBe('Store as a store keeps sessions is empty at first')
  })

  it('passes a store that answers with promises, as long as they settle in order', async () => {
    const place =
      (orderly: boolean): MakeStorePlace =>
      () => {
        const store = new LateStore(new MemoryStore(), orderly)
        return { store: () => store }
      }
    expect((await outcome(place(true))).failed).toEqual([])
    expect((await outcome(place(false))).failed).toHaveLength(1)
  })

  it.each(kinds)('fails a store that forgets changes of the kind %s', async (kind) => {
    expect((await outcome(placeOf(() => new ForgetfulStore(kind)))).failed).not.toEqual([])
  })

  it.each<[string, MakeStorePlace]>([
    ['forgets everything when it is closed', () => ({ store: () => new MemoryStore() })],
    ['applies changes backward', placeOf(() => new BackwardStore())],
    ['gives endless pages', placeOf(() => new EndlessPageStore())],
    ['gives the last entry of a page again', placeOf(() => new InclusivePageStore())],
    ['sorts positions as text', placeOf(() => new TextualPageStore())],
  ])('fails a store that %s', async (_, place) => {
    expect((await outcome(place)).failed).not.toEqual([])
  })

  it('tests a failing commit only where it can bring one about', async () => {
    const name = 'Store as a store commits leave nothing behind when they fail, and the next one is kept'
    const whole = placeOf(() => new FailingStore(0))
    expect((await outcome(whole)).passed).not.toContain(name)
    expect((await outcome(whole, failNextCommit)).passed).toContain(name)
    expect(
      (
        await outcome(
          placeOf(() => new FailingStore(3)),
          failNextCommit,
        )
      ).failed,
    ).toEqual([name])
  })

  it('closes each store and removes each place, also after a failed test', async () => {
    const open = new Set<object>()
    const removed: number[] = []
    class CountedStore extends ForgetfulStore {
      override open(): void {
        open.add(this)
      }

      override close(): void {
        open.delete(this)
      }
    }
    const { passed, failed } = await outcome(() => {
      const store = new CountedStore('hold')
      return { store: () => store, remove: () => void removed.push(open.size) }
    })
    expect(failed.length).toBeGreaterThan(0)
    expect(removed).toEqual(Array.from({ length: passed.length + failed.length }, () => 0))
  })
})
