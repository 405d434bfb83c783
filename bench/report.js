import { readFileSync, writeFileSync } from 'node:fs'
import { renderChart } from './chart.js'
import { scenarios } from './scenarios.js'
import { figure } from './statistics.js'

/** `node bench/report.js [JSON]` turns the last run into docs/benchmarks.md and docs/benchmarks.svg. */
const source = process.argv[2] ?? new URL('results/latest.json', import.meta.url)
const docs = new URL('../docs/', import.meta.url)

const about = {
  gnatmq: 'this broker, with an `authorizePublish` hook',
  aedes: 'from npm, with an `authorizePublish` hook',
  mosquitto: '`max_queued_messages 0`, `max_inflight_messages 0`',
  relay: 'bytes from socket to socket in Node, without MQTT: the limit',
}

const groups = [
  ['MQTT 3.1.1', ({ id }) => /^([a-e]\d?|unique)$/.test(id)],
  ['MQTT 5', ({ id }) => /-(v5|user|alias)$/.test(id)],
  ['TLS 1.3', ({ id }) => id.endsWith('-tls')],
  ['Paced traffic and latency', ({ id }) => ['f', 'latency'].includes(id)],
  ['Idle connections and queues', ({ id }) => ['g', 'h'].includes(id)],
  ['Many filters', ({ id }) => id.startsWith('routing-')],
  ['Steady traffic that others disturb', ({ id }) => ['slow', 'storm', 'churn', 'misses', 'million'].includes(id)],
]

function main() {
  let run
  try {
    run = JSON.parse(readFileSync(source, 'utf8'))
  } catch (error) {
    throw new Error(`there is no run to report (${error.message}): npm run bench`)
  }
  if (run.settings.verify) throw new Error('the last run verified, it did not measure: npm run bench')
  writeFileSync(new URL('benchmarks.svg', docs), renderChart(run.rows, run.peers))
  writeFileSync(new URL('benchmarks.md', docs), renderReport(run))
}

function renderReport(run) {
  const { machine, settings, peers, versions } = run
  const brokers = peers.map((name) => `- **${name}**${versions[name] ? ` ${versions[name]}` : ''}: ${about[name]}.`)
  const sections = groups
    .map(([title, belongs]) => ({ title, rows: run.rows.filter(belongs) }))
    .filter(({ rows }) => rows.length > 0)
    .map(({ title, rows }) => `## ${title}\n\n${renderRows(rows, peers)}`)
  return `# Benchmarks

Made by \`npm run bench\` and \`node bench/report.js\` on ${run.date}. Absolute figures belong to one machine and one
moment; the ratios are what to compare.

![CPU time of a delivered message by scenario and broker](benchmarks.svg)

- Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}.
- Brokers and load ${machine.separateCores ? 'on cores of their own' : 'share the cores'}; everything over the loopback interface.
- Medians of ${settings.rounds} rounds of ${settings.seconds} s, the brokers in turn within each round; ± is half of the range.
  Memory, queues and many filters: ${Math.min(settings.rounds, 3)} rounds, each with a fresh process.
- × says how many times better gnatmq is, by the medians; in brackets the least and the greatest within a round.

${brokers.join('\n')}

CPU time is that of the broker's process alone. Every loop is closed: a publisher waits when too many of its messages are
undelivered, so no broker is driven to drop any. What is delivered is counted, and what gnatmq loses or sends twice is
reported below the table; – means that there is no figure. Of many filters a tenth has a \`+\`, a tenth a \`#\`, and no two
are the same; each message matches one of those with a wildcard; the memory is that of the first SUBSCRIBE of all, the CPU
times are those of the second. In the steady traffic of the last section the share is the rate while disturbed, in per cent of the mean of the rates before and
after; the CPU time left is what a message took undisturbed, in per cent of what it takes disturbed; the pace is how much
of what the disturbance was to do in that time the broker did: one that lets it wait has more time for the traffic. The
clients of the disturbance share a core with the load, which costs a fast broker some of its rate and none of its CPU time.

${sections.join('\n\n')}

## Running it

\`\`\`sh
npm run bench                          # everything; installs aedes into bench/ when it is missing
npm run bench -- --quick               # the most important scenarios, under two minutes
npm run bench -- --only a1,d1 --rounds 3 --peers gnatmq,aedes
npm run bench -- --verify              # content and order of every message; figures mean nothing here
npm run bench -- --list                # what there is
node bench/guard.js                    # fails when gnatmq's lead over aedes shrinks
\`\`\`
`
}

function renderRows(rows, peers) {
  const others = peers.includes('gnatmq') ? peers.filter((name) => name !== 'gnatmq' && name !== 'relay') : []
  const present = peers.filter((name) => rows.some((row) => Number.isFinite(row.cells[name]?.median)))
  const compared = others.filter((name) => present.includes(name))
  const head = ['', 'scenario', 'figure', ...present, ...compared.map((name) => `× ${name}`)]
  const lines = rows.map((row) => [
    row.main ? `\`${row.id}\`` : '',
    row.main ? (scenarios.find(({ id }) => id === row.id)?.title ?? row.title) : '',
    row.unit,
    ...present.map((name) => cellText(row.cells[name])),
    ...compared.map((name) => ratioText(row.ratios[name])),
  ])
  const rule = head.map((_, column) => (column < 3 ? '---' : '---:'))
  const marks = rows
    .filter(({ main }) => main)
    .map(({ id, marks }) => ({ id, told: marks.filter(isTold) }))
    .filter(({ told }) => told.length > 0)
    .map(({ id, told }) => `- \`${id}\`: ${told.join('; ')}`)
  const table = [head, rule, ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n')
  return marks.length > 0 ? `${table}\n\n${marks.join('\n')}` : table
}

/** What went wrong with a peer is a matter of its version and of one machine: the table has no figure then, and no story. */
const isTold = (mark) => mark.startsWith('gnatmq: ') || mark.endsWith(': the load was the limit')

// JSON has no NaN: what could not be measured is null there
const isFigure = (value) => typeof value === 'number' && Number.isFinite(value)

const cellText = (cell) =>
  isFigure(cell?.median) ? `${figure(cell.median)}${cell.rounds > 1 ? ` ±${Math.round(cell.spread * 100)}%` : ''}` : '–'

function ratioText(ratio) {
  if (!isFigure(ratio?.median)) return '–'
  const range = ratio.least === ratio.greatest ? '' : ` (${figure(ratio.least)}–${figure(ratio.greatest)})`
  return `**${figure(ratio.median)}**${range}`
}

try {
  main()
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
