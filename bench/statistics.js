export function quantile(sorted, part) {
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]
}

export function median(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Half of the range, as a share of the median: 0.05 means that the rounds lie within about 5 % of it. */
export function spread(values) {
  const finite = values.filter(Number.isFinite)
  if (finite.length < 2) return 0
  return (Math.max(...finite) - Math.min(...finite)) / 2 / Math.abs(median(finite))
}

/** Three significant digits, thousands with commas. */
export function figure(value) {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toPrecision(3)
}
