/**
 * What tests of your own brokers and stores need.
 *
 * @module gnatmq/testing
 */

export { SimulatedClock } from './simulated-clock'
export type { MakeStorePlace, StorePlace } from './store-bench'
export { type StoreSuiteOptions, storeSuite } from './store-suite'
