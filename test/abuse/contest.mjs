// Fifty attackers without a right password, and then fifty with one, against a broker on its defaults.
//   node test/abuse/contest.mjs [--minutes 20] [--attackers 50] [--json] [--each] [--package FOLDER]
// With --each the attacks come one after the other, each for as long, and the table has a row for each of them.
// Prints a table of what had to hold and what was measured. Exit code 1: something did not hold.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { addressOf, inside, outside } from './attacks.mjs'
import { Child } from './questions.mjs'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    attackers: { type: 'string', default: '50' },
    json: { type: 'boolean', default: false },
    each: { type: 'boolean', default: false },
    package: { type: 'string', default: fileURLToPath(new URL('../..', import.meta.url)) },
  },
})
const phaseMs = (Number(values.minutes) * 60_000) / 2
const count = Number(values.attackers)
const passwords = { honest: 'honest password', mallory: 'the password of an attacker' }
const honest = { username: 'honest', password: passwords.honest }
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const bound = { gapP99Ms: 20, gapMs: 100, rate: 0.8, newcomerMs: 2000 }
const [, fileLimit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
const limitOfFiles = Number(fileLimit)
const rows = []
const check = (phase, what, isKept, measured) => rows.push({ phase, what, kept: isKept ? 'yes' : 'NO', measured })

const broker = await Child.start('./hostile-broker-process.mjs', {
  nodeArgs: ['--max-old-space-size=1024', '--expose-gc'],
  args: [values.package, JSON.stringify({ options: {}, scenarios: [['contest', passwords]] })],
})
const ports = await broker.ask('ports')
const pairOptions = { port: ports[0], perSecond: 200, window: 1000, payloadBytes: 16, connect: honest }
const pair = await Child.start('./honest-pair-process.mjs', { args: [JSON.stringify(pairOptions)] })

/** Honest clients that come in one after the other. Answers how long each took, and how those that did not come in ended. */
async function newcomers(end, localAddress) {
  const times = []
  const failures = {}
  for (let n = 0; Date.now() < end; n++) {
    try {
      times.push(await pair.ask('newcomer', { timeoutMs: 2 * bound.newcomerMs, localAddress: localAddress(n) }))
    } catch (error) {
      // the figures left out, so that the same ending counts as the same
      const [, ending] = /Error: (.*?) after /.exec(error.message) ?? ['', error.message.split('\n')[0]]
      const known = `${ending}, ${error.message.includes('no connection yet') ? 'not connected' : 'connected'}`
      failures[known] = (failures[known] ?? 0) + 1
    }
    await sleep(250)
  }
  return { times: times.sort((a, b) => a - b), failures }
}

/** An address that no attacker has, and one that an attacker has. */
const otherAddress = (n) => `127.9.0.${1 + (n % 250)}`
const sharedAddress = (n) => addressOf(1 + (n % count))

/** The most descriptors that each process had, looked at every second: where one has none left, it is at fault for what fails. */
async function watchFiles(end, processes) {
  const most = {}
  while (Date.now() < end) {
    for (const [name, { pid }] of Object.entries(processes)) most[name] = Math.max(most[name] ?? 0, openFiles(pid))
    await sleep(1000)
  }
  return most
}

function openFiles(pid) {
  try {
    // since Linux 6.2 the size is the number; before, they have to be counted
    return statSync(`/proc/${pid}/fd`).size || readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}

/** One attack, and nothing else. */
async function alone(only, kind, ms) {
  await sleep(1000)
  await broker.ask('measure', { collect: true })
  await pair.ask('reset')
  await broker.ask('reset')
  const attackers = await start(kind, Date.now() + ms, only)
  await sleep(ms)
  const { ownGapMs, ownGapP99Ms, peakRssBytes, cpuMs } = await broker.ask('measure', { collect: false })
  const report = await pair.ask('measure')
  for (const child of attackers) await child.stop()
  const mb = Math.round(peakRssBytes / 1e6)
  rows.push({ attack: only, ownGapMs, ownGapP99Ms, pairMs: report.longestMs, cpuMs, mb, failure: report.failure ?? '' })
}

/** Starts the attackers in two processes. */
function start(kind, end, only) {
  const username = kind === 'inside' ? 'mallory' : 'honest'
  const password = kind === 'inside' ? passwords.mallory : 'wrong'
  const target = { ports, username, password, victim: `honest-subscriber-${pair.process.pid}`, end, kind, only }
  const halves = [Math.ceil(count / 2), Math.floor(count / 2)].filter((half) => half > 0)
  const child = (half, i) =>
    Child.start('./attackers-process.mjs', {
      args: [JSON.stringify({ ...target, count: half, first: 1 + i * halves[0] })],
    })
  return Promise.all(halves.map(child))
}

/** Connections that the system has dropped since it started, because a backlog was full: the broker did not accept in time. */
function overflows() {
  const [names, figures] = readFileSync('/proc/net/netstat', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
  return Number(figures.split(' ')[names.split(' ').indexOf('ListenOverflows')])
}

async function phase(kind) {
  await pair.ask('reset')
  await sleep(Math.min(5000, phaseMs / 4))
  const calm = await pair.ask('measure')
  await pair.ask('reset')
  await broker.ask('reset')
  const end = Date.now() + phaseMs
  const overflowsBefore = overflows()
  const attackers = await start(kind, end)
  const processes = { broker: broker.process, pair: pair.process, attackers: attackers[0].process }
  const [others, neighbours, files] = await Promise.all([
    newcomers(end, otherAddress),
    newcomers(end, sharedAddress),
    watchFiles(end, processes),
  ])
  const rounds = await Promise.all(attackers.map((child) => child.ask('rounds')))
  const measured = await broker.ask('measure', { collect: false })
  const report = await pair.ask('measure')
  for (const child of attackers) await child.stop()
  judge(kind, { calm, measured, report, others, neighbours, files, dropped: overflows() - overflowsBefore })
  const totals = {}
  for (const one of rounds) for (const [name, n] of Object.entries(one)) totals[name] = (totals[name] ?? 0) + n
  console.log(`${kind}: ${JSON.stringify(totals)}`)
  console.log(`${kind}: ${JSON.stringify(measured)}`)
}

function judge(kind, { calm, measured, report, others, neighbours, files, dropped }) {
  const mb = (bytes) => `${Math.round(bytes / 1e6)} MB`
  const ms = (value) => `${value.toFixed(1)} ms`
  // what the default of limits.memory is made of
  const memory = Math.min(measured.heapLimitBytes * 0.75, totalmem() / 2)
  check(kind, `RSS below ${mb(memory)}`, measured.peakRssBytes < memory, mb(measured.peakRssBytes))
  check(
    kind,
    `loop delay p99 under ${bound.gapP99Ms} ms`,
    measured.ownGapP99Ms < bound.gapP99Ms,
    ms(measured.ownGapP99Ms),
  )
  check(kind, `loop delay never above ${bound.gapMs} ms`, measured.ownGapMs < bound.gapMs, ms(measured.ownGapMs))
  const rate = report.perSecond / calm.perSecond
  check(kind, 'the pair keeps 80 % of its rate', rate >= bound.rate, `${(rate * 100).toFixed()} %`)
  check(kind, 'the pair stays connected', report.failure === undefined, report.failure ?? `p99 ${ms(report.p99Ms)}`)
  const within = (times) => times.filter((time) => time < bound.newcomerMs).length
  const text = ({ times, failures }) => {
    const refused = Object.values(failures).reduce((sum, n) => sum + n, 0)
    const figures = `median ${ms(times[times.length >> 1] ?? 0)}, slowest ${ms(times.at(-1) ?? 0)}`
    const endings = Object.entries(failures).map(([ending, n]) => `; ${n}: ${ending}`)
    return `${within(times)} of ${times.length + refused}, ${refused} refused, ${figures}${endings.join('')}`
  }
  const isOpen = Object.keys(others.failures).length === 0 && within(others.times) === others.times.length
  check(kind, `newcomers of other addresses within ${bound.newcomerMs} ms`, isOpen, text(others))
  check(
    kind,
    `newcomers of an attacker's address within ${bound.newcomerMs} ms, some`,
    within(neighbours.times) > 0,
    text(neighbours),
  )
  const isFree = Object.values(files).every((most) => most < limitOfFiles * 0.9)
  check(kind, `descriptors left of ${limitOfFiles}`, isFree, JSON.stringify({ ...files, droppedBySystem: dropped }))
}

try {
  if (values.each) {
    const ms = (Number(values.minutes) * 60_000) / Object.keys({ ...outside, ...inside }).length
    for (const name of Object.keys(outside)) await alone(name, 'outside', ms)
    for (const name of Object.keys(inside)) await alone(name, 'inside', ms)
  } else {
    await phase('outside')
    await phase('inside')
    const report = await pair.ask('finish', { seconds: 20 })
    const isWhole = report.lost === 0 && report.failure === undefined
    check('both', 'the pair loses nothing', isWhole, `${report.lost} of ${report.sent}`)
  }
} catch (error) {
  console.log(error.message)
  check('both', 'the process lives', false, error.message.split('\n')[0])
} finally {
  if (values.json) console.log(JSON.stringify(rows))
  else console.table(rows)
  if (rows.some(({ kept }) => kept === 'NO')) process.exitCode = 1
  await pair.stop()
  await broker.stop()
}
