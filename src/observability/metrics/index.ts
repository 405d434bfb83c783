/**
 * Counts and times of a broker for Prometheus and prom-client: what `import` and `require` of `gnatmq/metrics` give.
 *
 * @module gnatmq/metrics
 */

export type { MeasuredBroker } from './metric-table'
export { type PromClientRegistry, registerMetrics } from './prom-client'
export { prometheusContentType, prometheusText } from './prometheus-text'
