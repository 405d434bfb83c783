import type { QoS } from 'mqtt-packet'
import { Random } from './random'
import type { Answers, ConnectStep, FilterStep, History, Step, Version, WillStep } from './step'

const topics = ['a', 'a', 'a/b', 'a/b', 'a/b/c', 'b', '$s/a']
const filters = ['a', 'a/b', 'b', '#', '+', 'a/#', 'a/+', '+/b', '+/+', 'a/b/c', '$s/#', '$s/+']
const sharedFilters = ['$share/g/a', '$share/g/a/#', '$share/h/a/#', '$share/g/+/b', '$share/h/#']
/** Seconds, all of them multiples of ten, so that no deadline falls together with one of another step: a step takes a tenth. */
const expiries = [10, 20, 50]
const sessionExpiries = [0, 10, 30, 60, Number.POSITIVE_INFINITY]

interface Profile {
  readonly id: string
  readonly version: Version
  /** How often it asks for a clean start, from 0 to 1. */
  readonly clean: number
  /** Whether its sessions outlive its connections. */
  readonly durable: number
  connected: boolean
}

/** The history of a seed: always the same. */
export function generate(seed: number): History {
  return new Generator(new Random(seed)).history()
}

class Generator {
  private readonly random: Random
  /** The shared filters of this history: few, so that a group has several members. Empty if there are none. */
  private readonly shared: string[]
  private readonly profiles: Profile[]
  private messages = 0

  constructor(random: Random) {
    this.random = random
    const groups = random.chance(0.4) ? 1 + random.below(3) : 0
    this.shared = Array.from({ length: groups }, () => random.pick(sharedFilters))
    const count = 2 + random.below(random.chance(0.2) ? 5 : 3)
    this.profiles = Array.from({ length: count }, (_, i) => ({
      id: `c${i}`,
      version: random.chance(0.65) ? 5 : 4,
      clean: random.pick([0.05, 0.2, 0.8]),
      durable: random.pick([0.2, 0.9, 1]),
      connected: false,
    }))
  }

  history(): History {
    const { random } = this
    const slowStore = random.chance(0.25)
    const length = 5 + random.below(random.chance(0.2) ? 60 : 25)
    const steps: Step[] = []
    for (const profile of this.profiles) {
      if (random.chance(0.3)) continue
      steps.push(this.connect(profile))
      if (random.chance(0.8)) steps.push(this.subscribe(profile))
    }
    while (steps.length < length) steps.push(this.step(random.pick(this.profiles)))
    return { slowStore, steps }
  }

  private step(profile: Profile): Step {
    const { random } = this
    const client = profile.id
    if (random.chance(0.08)) return { type: 'wait', seconds: random.pick([1, 1, 4, 10, 20, 30, 60]) }
    if (random.chance(0.015)) {
      for (const each of this.profiles) each.connected = false
      return { type: 'restart' }
    }
    if (!profile.connected) return this.connect(profile)
    const type = random.weighted({
      publish: 40,
      release: 8,
      subscribe: 10,
      unsubscribe: 4,
      disconnect: 4,
      abort: 8,
      connect: 3,
      acknowledge: 4,
    })
    switch (type) {
      case 'publish':
        return { type, client, ...this.message(profile.version), alias: random.chance(0.3), lost: random.chance(0.2) }
      case 'release':
        return { type, client, lost: random.chance(0.2) }
      case 'subscribe':
        return this.subscribe(profile)
      case 'unsubscribe':
        return { type, client, filters: Array.from({ length: 1 + random.below(2) }, () => this.filter()) }
      case 'disconnect': {
        profile.connected = false
        const changes = profile.version === 5 && random.chance(0.3)
        return {
          type,
          client,
          withWill: profile.version === 5 && random.chance(0.3),
          sessionExpiry: changes ? random.pick(sessionExpiries) : undefined,
        }
      }
      case 'abort':
        profile.connected = false
        return { type, client }
      case 'connect':
        return this.connect(profile)
      default:
        return { type, client }
    }
  }

  private connect(profile: Profile): ConnectStep {
    const { random } = this
    profile.connected = true
    const version: Version = random.chance(0.05) ? 4 : profile.version
    const clean = random.chance(profile.clean)
    const durable = random.chance(profile.durable)
    return {
      type: 'connect',
      client: profile.id,
      version,
      clean,
      sessionExpiry:
        version === 4 ? (clean ? 0 : Number.POSITIVE_INFINITY) : durable ? random.pick(sessionExpiries.slice(1)) : 0,
      receiveMaximum: random.chance(0.5) ? 65535 : 1 + random.below(3),
      topicAliasMaximum: random.chance(0.5) ? 0 : 1 + random.below(3),
      will: random.chance(0.3) ? this.will(version) : undefined,
      answers: random.weighted<Answers>({ all: 6, pubrec: 2, none: 2 }),
    }
  }

  private will(version: Version): WillStep {
    const { random } = this
    const delay = version === 5 && random.chance(0.5) ? random.pick([10, 20, 40]) : 0
    return { ...this.message(version), delay }
  }

  private message(version: Version): Omit<WillStep, 'delay'> {
    const { random } = this
    const retain = random.chance(0.25)
    const name = `m${++this.messages}`
    const payload =
      retain && random.chance(0.25)
        ? ''
        : random.chance(0.03)
          ? name.padEnd(20_000, '.')
          : random.chance(0.05)
            ? name.padEnd(60, '.')
            : name
    const qos = random.pick<QoS>([0, 1, 1, 2, 2])
    return {
      topic: random.pick(topics),
      payload,
      qos,
      retain,
      expiry: version === 5 && random.chance(0.3) ? random.pick(expiries) : undefined,
    }
  }

  private subscribe(profile: Profile): Step {
    const { random } = this
    const count = random.chance(0.7) ? 1 : 2 + random.below(2)
    const v5 = profile.version === 5
    const identifier = v5 && random.chance(0.5) ? random.pick([1, 2, 300, 268_435_455]) : 0
    return {
      type: 'subscribe',
      client: profile.id,
      filters: Array.from({ length: count }, () => this.options(v5)),
      identifier,
    }
  }

  private options(v5: boolean): FilterStep {
    const { random } = this
    const filter = this.filter()
    return {
      filter,
      qos: random.pick<QoS>([0, 1, 1, 2, 2]),
      // a Protocol Error with a Shared Subscription [MQTT-3.8.3-4]
      noLocal: v5 && !filter.startsWith('$share/') && random.chance(0.25),
      retainAsPublished: v5 && random.chance(0.3),
      retainHandling: v5 ? random.pick([0, 0, 1, 2] as const) : 0,
    }
  }

  private filter(): string {
    const { random, shared } = this
    return random.pick(shared.length > 0 && random.chance(0.6) ? shared : filters)
  }
}
