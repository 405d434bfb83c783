export { SimulatedClock } from './simulated-clock'
export type { MakeStorePlace, StorePlace } from './store-bench'
export { type StoreSuiteOptions, storeSuite } from './store-suite'
