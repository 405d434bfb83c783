import { figures } from './scenarios.js'
import { median, spread } from './statistics.js'

/** One row for each figure of each scenario: medians, spreads, and how many times gnatmq is better than each peer. */
export function summarise(results) {
  return results.flatMap(({ id, title, kind, turns }) =>
    figures[kind].map(({ key, title: unit, better }, index) => {
      const cells = Object.fromEntries(Object.entries(turns).map(([name, list]) => [name, cellOf(list, key)]))
      const ratios = {}
      for (const [name, list] of Object.entries(turns))
        if (name !== 'gnatmq' && turns.gnatmq) ratios[name] = ratioOf(turns.gnatmq, list, key, better)
      return { id, title, key, unit, better, main: index === 0, cells, ratios, marks: marksOf(turns) }
    }),
  )
}

const valuesOf = (turns, key) => turns.filter((turn) => turn.figures).map((turn) => turn.figures[key])

function cellOf(turns, key) {
  const values = valuesOf(turns, key)
  return { median: median(values), spread: spread(values), rounds: values.length }
}

/** The ratio of the medians, and the least and the greatest ratio within a round. Above 1 gnatmq is ahead. */
function ratioOf(own, others, key, better) {
  const ratio = (mine, theirs) => (better === 'less' ? theirs / mine : mine / theirs)
  const byRound = own
    .map((turn, round) => ratio(turn.figures?.[key], others[round]?.figures?.[key]))
    .filter(Number.isFinite)
  return {
    median: ratio(median(valuesOf(own, key)), median(valuesOf(others, key))),
    least: byRound.length > 0 ? Math.min(...byRound) : Number.NaN,
    greatest: byRound.length > 0 ? Math.max(...byRound) : Number.NaN,
  }
}

/** What a reader must know before believing a row. */
function marksOf(turns) {
  const marks = []
  for (const [name, list] of Object.entries(turns)) {
    const total = (key) => list.reduce((sum, turn) => sum + (turn[key] ?? 0), 0)
    const failed = list.find((turn) => turn.error)
    if (failed) marks.push(`${name}: ${failed.error.trim()}`)
    if (total('missing') > 0) marks.push(`${name}: ${total('missing')} messages lost`)
    if (total('extra') > 0) marks.push(`${name}: ${total('extra')} messages too many`)
    if (list.some((turn) => turn.limitedByLoad)) marks.push(`${name}: the load was the limit`)
  }
  return marks
}
