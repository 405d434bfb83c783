import { figure } from './statistics.js'

const shown = ['a1', 'a2', 'a3', 'b0', 'b1', 'c0', 'c1', 'd0', 'd1', 'd2', 'e']
/** Colours that stand out on white and on black. */
const colours = { gnatmq: '#2f9e6e', aedes: '#d9822b', mosquitto: '#5b7fd6', relay: '#8a8f98' }

const left = 150
const width = 760
const barHeight = 11
const groupGap = 12
const top = 56

/** Bars on a logarithmic scale: CPU time of a delivered message, by scenario and broker. Less is better. */
export function renderChart(rows, peers) {
  const chosen = rows.filter((row) => row.main && row.key === 'cpu' && shown.includes(row.id))
  const values = chosen.flatMap((row) => peers.map((name) => row.cells[name]?.median)).filter((value) => value > 0)
  const lowest = 10 ** Math.floor(Math.log10(Math.min(...values, 1)))
  const highest = 10 ** Math.ceil(Math.log10(Math.max(...values, 1)))
  const plot = width - left - 60
  const x = (value) => left + (Math.log10(value / lowest) / Math.log10(highest / lowest)) * plot
  const parts = []
  let y = top
  for (const row of chosen) {
    const bars = peers.filter((name) => row.cells[name]?.median > 0)
    const middle = y + (bars.length * barHeight) / 2 + 4
    parts.push(`<text class="label" x="${left - 10}" y="${middle}" text-anchor="end">${row.id}</text>`)
    for (const name of bars) {
      const end = x(row.cells[name].median)
      parts.push(
        `<rect x="${left}" y="${y}" width="${(end - left).toFixed(1)}" height="${barHeight - 2}" rx="2" fill="${colours[name]}"/>`,
        `<text class="value" x="${(end + 5).toFixed(1)}" y="${y + 8}">${figure(row.cells[name].median)}</text>`,
      )
      y += barHeight
    }
    y += groupGap
  }
  const grid = gridLines(lowest, highest, x, y)
  const legend = peers.map(
    (name, index) =>
      `<rect x="${left + index * 110}" y="32" width="10" height="10" rx="2" fill="${colours[name]}"/><text class="label" x="${left + 16 + index * 110}" y="41">${name}</text>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 26}" role="img" aria-label="CPU time of a delivered message by scenario and broker">
<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.value { font-size: 9px }
.title { font-size: 14px; font-weight: 600 }
.grid { stroke: #8a8f98; stroke-opacity: 0.3 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>
<text class="title" x="${left}" y="18">µs CPU a delivered message (logarithmic, less is better)</text>
${[...legend, ...grid, ...parts].join('\n')}
</svg>
`
}

function gridLines(lowest, highest, x, bottom) {
  const lines = []
  for (let value = lowest; value <= highest * 1.001; value *= 10) {
    const at = x(value).toFixed(1)
    lines.push(
      `<line class="grid" x1="${at}" x2="${at}" y1="${top - 6}" y2="${bottom}"/>`,
      `<text class="value" x="${at}" y="${bottom + 14}" text-anchor="middle">${Number(value.toPrecision(1))}</text>`,
    )
  }
  return lines
}
