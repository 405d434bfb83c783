import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { builtModule } from './built.js'
import { makeCertificate } from './certificate.js'
import { splitCores } from './children.js'
import { describeMachine } from './machine.js'
import { parseOptions, peerNames, usage } from './options.js'
import { installedAedes, mosquittoVersion } from './peers.js'
import { Progress } from './progress.js'
import { scenarios } from './scenarios.js'
import { Session } from './session.js'
import { summarise } from './summary.js'
import { renderTable } from './table.js'
import { versionOf } from './versions.js'

const results = new URL('results/', import.meta.url)

async function main() {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) return console.log(usage)
  if (options.list) return console.log(scenarios.map(({ id, title }) => `${id.padEnd(14)}${title}`).join('\n'))
  const dist = builtModule(options.dist)
  const { peers, versions } = choosePeers(options)
  const needsTls = scenarios.some(({ id, tls }) => tls && options.scenarios.includes(id))
  const tls = needsTls ? await makeCertificate(dist) : undefined
  const settings = { ...options, peers, dist, tls, cores: splitCores() }
  const progress = new Progress(Session.turns(settings))
  const session = new Session(settings, progress)
  const interrupted = () => session.stop().finally(() => process.exit(130))
  process.once('SIGINT', interrupted)
  const played = await session.run()
  progress.end()
  process.off('SIGINT', interrupted)
  const rows = summarise(played)
  console.log(renderTable(rows, peers))
  const { quick, verify, rounds, seconds } = options
  const file = new URL('latest.json', results)
  mkdirSync(results, { recursive: true })
  const machine = { ...describeMachine(), separateCores: settings.cores !== null }
  const measured = {
    date: new Date().toISOString().slice(0, 10),
    machine,
    versions,
    settings: { quick, verify, rounds, seconds },
  }
  writeFileSync(file, `${JSON.stringify({ ...measured, peers, rows, scenarios: played }, null, 1)}\n`)
  console.log(`\n${fileURLToPath(file)}`)
  if (verify) reportVerification(played)
}

/** Those that were asked for; without a choice, all that there are on this machine. */
function choosePeers(options) {
  const mosquitto = mosquittoVersion()
  const peers = options.peers ?? peerNames.filter((name) => name !== 'mosquitto' || mosquitto !== null)
  if (peers.includes('mosquitto') && mosquitto === null) throw new Error('mosquitto is not on the PATH')
  if (mosquitto === null) console.log('mosquitto is not on the PATH: it is left out')
  const versions = { gnatmq: versionOf('../package.json') }
  if (peers.includes('aedes')) versions.aedes = installedAedes()
  if (peers.includes('mosquitto')) versions.mosquitto = mosquitto
  return { peers, versions }
}

function reportVerification(played) {
  const wrong = played.flatMap(({ id, turns }) =>
    Object.entries(turns).flatMap(([name, list]) =>
      list.filter((turn) => turn.error || turn.missing || turn.extra).map(() => `${id} ${name}`),
    ),
  )
  console.log(
    wrong.length === 0 ? 'every message came once, in order, as it was sent' : `not as sent: ${wrong.join(', ')}`,
  )
  if (wrong.some((name) => name.endsWith(' gnatmq'))) process.exitCode = 1
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 2
})
