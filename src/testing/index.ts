/**
 * What tests of your own brokers, stores and engines need.
 *
 * @module gnatmq/testing
 */

export type { EnginePlace, MakeEnginePlace } from './engine-bench'
export { type EngineSuiteOptions, engineSuite } from './engine-suite'
export { SimulatedClock } from './simulated-clock'
export type { MakeStorePlace, StorePlace } from './store-bench'
export { type StoreSuiteOptions, storeSuite } from './store-suite'
