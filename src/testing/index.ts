/**
 * What tests of your own brokers, stores and engines need.
 *
 * @module gnatmq/testing
 */

export type { EnginePlace, MakeEnginePlace } from './engine-bench'
export { type EngineSuiteOptions, engineSuite } from './engine-suite'
export type { Link, PacketMatch, PacketName } from './faults'
export { SimulatedClock } from './simulated-clock'
export type { MakeStorePlace, StorePlace } from './store-bench'
export { type StoreSuiteOptions, storeSuite } from './store-suite'
export { type MessageWaitOptions, TestBroker, testBroker, type WaitOptions } from './test-broker'
