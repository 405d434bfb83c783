import { EngineBench, type EngineTest, type MakeEnginePlace } from './engine-bench'
import {
  burialOfClaimsTests,
  burialOfRoutesTests,
  burialTests,
  growthTests,
  unfinishedBurialTests,
} from './engine-burial-tests'
import { frameTests, joinTests, leaseTests } from './engine-membership-tests'
import { routeReadingTests, routeTests } from './engine-route-tests'
import { chainTests, claimTests, endTests, moveTests, reclaimTests, releaseTests } from './engine-session-tests'
import { fenceTests, inboxTests, refusalTests, retainedTests, wholeRefusalTests } from './engine-transaction-tests'

/** What the suite needs of a test runner: `describe` and `it` of vitest, jest, mocha or node:test. */
export interface EngineSuiteOptions {
  describe: (name: string, define: () => void) => unknown
  it: (name: string, run: () => Promise<void>) => unknown
}

/**
 * Tests that an engine of a cluster keeps the promises of its interface, ClusterEngine. Every one of the tests begins with a new place of
 * `makePlace`. What is stored of a session is tested by `storeSuite`.
 */
export function engineSuite(name: string, makePlace: MakeEnginePlace, { describe, it }: EngineSuiteOptions): void {
  const test: EngineTest = (title, run) => {
    it(title, () => EngineBench.run(makePlace, run))
  }
  const all = (...groups: ((test: EngineTest) => void)[]): void => {
    for (const group of groups) group(test)
  }
  describe(`${name} as an engine`, () => {
    describe('lets nodes join', () => joinTests(test))
    describe('gives a lease', () => leaseTests(test))
    describe('sends frames', () => frameTests(test))
    describe('keeps routes', () => all(routeTests, routeReadingTests))
    describe('keeps frames in inboxes', () => inboxTests(test))
    describe('refuses transactions', () => all(refusalTests, fenceTests, wholeRefusalTests))
    describe('keeps retained messages', () => retainedTests(test))
    describe('lets nodes claim sessions', () => all(claimTests, endTests))
    describe('moves sessions', () => all(moveTests, reclaimTests, chainTests))
    describe('releases sessions', () => releaseTests(test))
    describe('has nodes buried', () =>
      all(burialTests, burialOfRoutesTests, burialOfClaimsTests, unfinishedBurialTests))
    describe('leaves', () => growthTests(test))
  })
}
