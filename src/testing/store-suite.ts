import type { Store } from '../ports/store'
import { type MakeStorePlace, StoreBench, type Test } from './store-bench'
import { commitOrderTests, commitTests, failureTests } from './store-commit-tests'
import { pagingTests, queueContentTests, queueTests, replacementTests } from './store-queue-tests'
import { retainedTests } from './store-retained-tests'
import { endOfSessionTests, heldTests, sessionTests, subscriptionTests } from './store-session-tests'

/** What the suite needs of a test runner: `describe` and `it` of vitest, jest, mocha or node:test. */
export interface StoreSuiteOptions {
  describe: (name: string, define: () => void) => unknown
  it: (name: string, run: () => Promise<void>) => unknown
  /**
   * Makes the next commit of the store fail, in whatever way it may really fail. With it the suite tests that a failed
   * commit leaves nothing behind; without it that test is not defined.
   */
  failNextCommit?: (store: Store) => void | Promise<void>
}

/**
 * Tests that a Store keeps the promises of its interface. Every one of the tests begins with a new place of
 * `makePlace`. Give it the two functions of your test runner:
 * `storeSuite('MyStore', () => ({ store: () => new MyStore(folder) }), { describe, it })`.
 */
export function storeSuite(name: string, makePlace: MakeStorePlace, options: StoreSuiteOptions): void {
  const { describe, it, failNextCommit } = options
  const test: Test = (title, run) => {
    it(title, () => StoreBench.run(makePlace, run))
  }
  describe(`${name} as a store`, () => {
    describe('keeps sessions', () => {
      sessionTests(test)
      endOfSessionTests(test)
    })
    describe('keeps subscriptions', () => subscriptionTests(test))
    describe('keeps queues', () => {
      queueTests(test)
      queueContentTests(test)
      replacementTests(test)
      pagingTests(test)
    })
    describe('keeps held identifiers', () => heldTests(test))
    describe('keeps retained messages', () => retainedTests(test))
    describe('commits', () => {
      commitTests(test)
      commitOrderTests(test)
      if (failNextCommit !== undefined) failureTests(test, failNextCommit)
    })
  })
}
