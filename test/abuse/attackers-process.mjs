// Attackers in a process of their own. argv: as JSON a target of attacks.mjs, with `count`, `first`, and `kind`, outside or
// inside; `only` names the one attack that they make.
import { inside, outside } from './attacks.mjs'
import { answerQuestions } from './questions.mjs'

const { count, kind, only, first, ...target } = JSON.parse(process.argv[2])
const all = Object.entries(kind === 'outside' ? outside : { ...outside, ...inside })
const attacks = only === undefined ? all : all.filter(([name]) => name === only)
const rounds = {}
// what the broker does to an attacker is no concern of this process
process.on('uncaughtException', () => undefined)

async function attacker(number) {
  // each begins with another one, so that all are under way soon
  for (let n = number; Date.now() < target.end; n++) {
    const [name, attack] = attacks[n % attacks.length]
    await attack({ ...target, number })
    rounds[name] = (rounds[name] ?? 0) + 1
    await new Promise(setImmediate)
  }
}

const done = Promise.all(Array.from({ length: count }, (_, n) => attacker(first + n)))
answerQuestions({ rounds: () => rounds, done: () => done.then(() => rounds) })
