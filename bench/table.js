import { figure } from './statistics.js'

const percent = (value) => `±${Math.round(value * 100)}%`

/** The table at the end of a run, as text. */
export function renderTable(rows, peers) {
  const others = peers.filter((name) => name !== 'gnatmq')
  const compared = peers.includes('gnatmq') ? others : []
  const head = ['', '', ...peers, ...compared.map((name) => (name === 'relay' ? 'of relay' : `× ${name}`))]
  const marks = []
  const lines = rows.map((row) => {
    const sign = row.marks.length > 0 && row.main ? ` [${marks.push(`${row.id}: ${row.marks.join('; ')}`)}]` : ''
    return [
      row.main ? row.id + sign : '',
      row.unit,
      ...peers.map((name) => cellText(row.cells[name])),
      ...compared.map((name) => ratioText(row.ratios[name])),
    ]
  })
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((line) => line[column].length)))
  const render = (line) =>
    line.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ')
  return [render(head), ...lines.map(render), '', ...marks.map((mark, index) => `[${index + 1}] ${mark}`)].join('\n')
}

function cellText(cell) {
  if (cell === undefined || !Number.isFinite(cell.median)) return '–'
  return cell.rounds > 1 ? `${figure(cell.median)} ${percent(cell.spread)}` : figure(cell.median)
}

function ratioText(ratio) {
  if (ratio === undefined || !Number.isFinite(ratio.median)) return '–'
  const range = ratio.least === ratio.greatest ? '' : ` (${figure(ratio.least)}–${figure(ratio.greatest)})`
  return `${figure(ratio.median)}${range}`
}
