export { SimulatedClock } from './simulated-clock'
