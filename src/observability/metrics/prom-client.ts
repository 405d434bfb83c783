import { type MeasuredBroker, metricTable } from './metric-table'

/** A registry of the package `prom-client`. */
export interface PromClientRegistry {
  // biome-ignore lint/suspicious/noExplicitAny: what it takes is a class of that package, which is not imported for its type
  registerMetric(metric: any): void
  removeSingleMetric(name: string): void
}

/**
 * Registers every metric of a broker in a registry of `prom-client`, which reads them when it is asked. Returns a function that takes them out
 * again. Throws what the registry throws, for one where a broker is registered already.
 */
export function registerMetrics(broker: MeasuredBroker, registry: PromClientRegistry): () => void {
  const names: string[] = []
  for (const { name, help, type, values } of metricTable()) {
    const get = () => ({ name, help, type, aggregator: 'sum', values: values(broker) })
    registry.registerMetric({ name, help, type, aggregator: 'sum', get, reset: nothing })
    names.push(name)
  }
  return () => {
    for (const name of names) registry.removeSingleMetric(name)
  }
}

const nothing = (): void => undefined
