import { type MeasuredBroker, type Metric, type MetricValue, metricTable } from './metric-table'

/** The media type of the text. */
export const prometheusContentType = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * The counts of a broker in the text format of Prometheus. Histograms are measured from the first call after `start()` on. A broker that does
 * not run has a text too, whose `gnatmq_up` is 0.
 */
export function prometheusText(broker: MeasuredBroker): string {
  return metricTable()
    .map((metric) => textOf(metric, broker))
    .join('')
}

function textOf(metric: Metric, broker: MeasuredBroker): string {
  const { help, name, type } = metric
  const lines = metric.values(broker).map((value) => `${lineOf(name, value)}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function lineOf(name: string, { labels, metricName = name, value }: MetricValue): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text}"`)
  return `${metricName}${pairs.length === 0 ? '' : `{${pairs.join()}}`} ${value}`
}
