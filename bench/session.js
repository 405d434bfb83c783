import { Child } from './children.js'
import { measure } from './measure.js'
import { startPeer } from './peers.js'
import { scenarios } from './scenarios.js'

const roundsOf = (scenario, rounds) => Math.min(rounds, scenario.rounds ?? rounds)

const takesPart = (scenario, name) => name !== 'relay' || scenario.relay === true

/**
 * All scenarios, all rounds, all peers: the brokers have their turns one after the other in each round, so that a change
 * of the machine's mood meets all of them.
 */
export class Session {
  #peers = new Map()
  #load = null
  #disturber = null

  /** `settings` is { scenarios, peers, rounds, seconds, verify, cores, dist, tls }; `progress` has step(). */
  constructor(settings, progress) {
    this.settings = settings
    this.progress = progress
    this.scenarios = scenarios.filter(({ id }) => settings.scenarios.includes(id))
  }

  static turns(settings) {
    return scenarios
      .filter(({ id }) => settings.scenarios.includes(id))
      .flatMap((scenario) =>
        settings.peers.filter((name) => takesPart(scenario, name)).map(() => roundsOf(scenario, settings.rounds)),
      )
      .reduce((sum, rounds) => sum + rounds, 0)
  }

  async run() {
    const results = []
    try {
      for (const scenario of this.scenarios) results.push(await this.#play(scenario))
    } finally {
      await this.stop()
    }
    return results
  }

  async #play(scenario) {
    const names = this.settings.peers.filter((name) => takesPart(scenario, name))
    const turns = Object.fromEntries(names.map((name) => [name, []]))
    const rounds = roundsOf(scenario, this.settings.rounds)
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        this.progress.step(scenario.id, round + 1, name)
        // what took too long once is not waited for again
        const final = turns[name].find((turn) => turn.final)
        turns[name].push(final ?? (await this.#turn(scenario, name, round)))
      }
    }
    return { id: scenario.id, title: scenario.title, kind: scenario.kind, turns }
  }

  async #turn(scenario, name, round) {
    const { seconds, verify, tls } = this.settings
    try {
      this.#load ??= await Child.start('./load.js', this.settings.cores?.load ?? null)
      if (scenario.disturbance !== undefined)
        this.#disturber ??= await Child.start('./load.js', this.settings.cores?.load ?? null)
      const peer = await this.#peer(scenario, name)
      // code that has not run yet is slow in Node, on both sides
      const warmUp = round === 0 || scenario.fresh ? Math.max(0.3, Math.min(1, seconds)) : 0.3
      const turn = await measure(scenario, {
        peer,
        load: this.#load,
        disturber: this.#disturber,
        warmUp,
        seconds,
        verify,
        tls,
      })
      // what it still has to forget would take the next broker's time
      if (scenario.fresh) await this.#stopPeers(name)
      return turn
    } catch (error) {
      await this.#startAfresh(name)
      return { error: error.message, ...(error.final && { final: true }) }
    }
  }

  async #peer(scenario, name) {
    const tls = scenario.tls ? this.settings.tls : undefined
    const key = `${name}${tls ? ' tls' : ''}`
    const running = this.#peers.get(key)
    if (running !== undefined && !scenario.fresh) return running
    await running?.stop()
    const { cores, dist } = this.settings
    const peer = await startPeer(name, { cores: cores?.broker ?? null, dist, tls })
    this.#peers.set(key, peer)
    return peer
  }

  /** After a failure it is not known what state the broker and the load are in. */
  async #startAfresh(name) {
    await this.#stopPeers(name)
    await this.#load?.stop()
    await this.#disturber?.stop()
    this.#load = null
    this.#disturber = null
  }

  async #stopPeers(name) {
    for (const key of [name, `${name} tls`]) {
      await this.#peers.get(key)?.stop()
      this.#peers.delete(key)
    }
  }

  async stop() {
    for (const peer of this.#peers.values()) await peer.stop()
    await this.#load?.stop()
    await this.#disturber?.stop()
    this.#peers.clear()
  }
}
