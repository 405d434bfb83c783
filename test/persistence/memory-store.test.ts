import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../src/persistence/memory-store'
import { storeSuite } from '../../src/testing/index'

/** The place of what a MemoryStore keeps is the store itself. */
storeSuite(
  'MemoryStore',
  () => {
    const store = new MemoryStore()
    return { store: () => store }
  },
  { describe, it },
)

describe('MemoryStore', () => {
  it('answers every call at once', () => {
    const store = new MemoryStore()
    expect([store.open(), store.commit([]), store.close()]).toEqual([undefined, undefined, undefined])
    expect([store.queue('a', 0, 1), store.held('a')]).toEqual([[], []])
  })
})
