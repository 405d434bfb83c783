import { parseArgs } from 'node:util'
import { scenarios } from './scenarios.js'

export const peerNames = ['gnatmq', 'aedes', 'mosquitto', 'relay']

export const usage = `npm run bench -- [options]

  --quick           the most important scenarios, short: under two minutes
  --only a1,b0      these scenarios
  --peers a,b       these of ${peerNames.join(', ')}
  --rounds N        rounds, in each of which every broker has its turn (default 5; at most 3 of what takes long:
                    g, h, routing-10k, routing-100k, routing-1m, million)
  --seconds S       seconds measured in each turn (default 1)
  --verify          checks content and order of every message; figures of this mode are no measurement
  --dist FILE       the built index.js to measure (default dist/index.js of this project)
  --list            says which scenarios there are
  --help            this text`

const declared = {
  quick: { type: 'boolean', default: false },
  only: { type: 'string' },
  peers: { type: 'string' },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  verify: { type: 'boolean', default: false },
  dist: { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
}

/** Throws an Error that says what is wrong with the arguments. */
export function parseOptions(args) {
  const { values } = parseArgs({ args, options: declared, strict: true, allowPositionals: false })
  const { quick, verify, list, help, dist } = values
  const known = scenarios.map(({ id }) => id)
  const standard = scenarios.filter((scenario) => scenario.quick || !quick).map(({ id }) => id)
  const only = values.only === undefined ? standard : names('--only', values.only, known)
  return {
    quick,
    verify,
    list,
    help,
    dist,
    scenarios: known.filter((id) => only.includes(id)),
    peers: values.peers === undefined ? undefined : names('--peers', values.peers, peerNames),
    rounds: number('--rounds', values.rounds, quick ? 2 : 5, 1, Number.isInteger),
    seconds: number('--seconds', values.seconds, quick ? 0.5 : 1, 0.05, Number.isFinite),
  }
}

function names(option, list, known) {
  const chosen = list.split(',').map((name) => name.trim())
  const strange = chosen.find((name) => !known.includes(name))
  if (strange !== undefined) throw new Error(`${option}: there is no "${strange}": there are ${known.join(', ')}`)
  return chosen
}

function number(option, value, standard, minimum, fits) {
  const parsed = value === undefined ? standard : Number(value)
  if (value === '' || !fits(parsed) || parsed < minimum)
    throw new Error(`${option} takes a number of at least ${minimum}, not "${value}"`)
  return parsed
}
