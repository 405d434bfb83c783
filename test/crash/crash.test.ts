import { describe, expect, it, onTestFinished } from 'vitest'
import { History } from './history'
import { checkHistory } from './history-checker'
import { KillableBroker } from './killable-broker'
import { Workload } from './workload'

/**
 * `ROUNDS=150 npx vitest run test/crash` kills more often than usual; `SEED=7` repeats the choices of a run, though not
 * the moments when things happen.
 */
const rounds = numberOf('ROUNDS') ?? 10
const seed = numberOf('SEED') ?? Date.now() % 1_000_000
/** Events between two kills, at the most. */
const EVENTS = 600

function numberOf(name: string): number | undefined {
  const text = process.env[name]
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  if (!Number.isInteger(value)) throw new Error(`${name} must be a whole number, not ${text}`)
  return value
}

describe('a broker whose process is killed at any moment', () => {
  it(
    `loses nothing that it has acknowledged, in ${rounds} rounds from seed ${seed}`,
    async () => {
      const history = new History()
      const broker = new KillableBroker(history)
      onTestFinished(() => broker.remove())
      const workload = new Workload(seed, broker, history)
      await broker.start()
      await workload.begin()
      for (let round = 0; round < rounds; round++) {
        await workload.round(EVENTS)
        await broker.start()
      }
      await workload.end()
      console.log(`SEED=${seed} ROUNDS=${rounds}: ${figures(history)}`)
      expect(broker.errors).toBe('')
      const found = checkHistory(history.events)
      expect(found, stories(history, found)).toEqual([])
    },
    60_000 + rounds * 10_000,
  )
})

function figures({ events }: History): string {
  const count = (type: string): number => events.filter((event) => event.type === type).length
  const types = ['killed', 'publishing', 'acknowledged', 'received', 'connected', 'subscribed', 'read']
  return types.map((type) => `${count(type)} ${type}`).join(', ')
}

/** What happened to the messages that are found fault with, and meanwhile to their clients. */
function stories({ events }: History, found: readonly string[]): string {
  const lines = events.map((event) => JSON.stringify(event))
  const story = (text: string): string => {
    const payloads = text.match(/\w+:\d+/g) ?? []
    const clients = text.match(/\b[a-z]+[45]\b/g) ?? []
    const ofMessages = lines.map((line) => payloads.some((payload) => line.includes(`"${payload}"`)))
    const [first, last] = [ofMessages.indexOf(true), ofMessages.lastIndexOf(true)]
    const told = lines.filter((line, at) => {
      if (at < first || at > last) return false
      const ofClients =
        !/received|publishing|acknowledged/.test(line) && clients.some((name) => line.includes(`"${name}"`))
      return ofMessages[at] || ofClients || line.includes('"killed"')
    })
    return [text, ...told].join('\n  ')
  }
  return found.map(story).join('\n')
}
