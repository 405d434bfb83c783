import { MqttBroker } from '../../src/mqtt-broker'
import { MemoryStore } from '../../src/persistence/memory-store'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { inProcess } from '../../src/transport/in-process'
import { type Due, describeReceived, differences, type Outcomes } from './outcome'
import { Participant, type Stage } from './participant'
import { Reference } from './reference'
import { SlowStore } from './slow-store'
import { describeStep, type History, type Step, type WireStep } from './step'
import { emptyWorld, type World } from './world'

/** Every step takes so long, in milliseconds: deadlines of different steps never fall together. */
const STEP_MS = 100
/** Turns of the event loop in which nothing has moved. */
const QUIET_TURNS = 3
/** Ways in which the shared subscriptions may have gone, beyond which a history is given up. */
const MAXIMUM_WORLDS = 300

/** How a history went. */
export interface Verdict {
  /** Where the broker and the reference part; undefined if nowhere. */
  failure: string[] | undefined
  /** True if more was left open than the reference follows. */
  abandoned: boolean
}

/**
 * Runs a history against a broker and the reference side by side. `log` gets the steps that could be done, up to the
 * failure, each with what came of it.
 */
export async function play(history: History, log?: string[]): Promise<Verdict> {
  const performance = new Performance(history.slowStore, log)
  try {
    await performance.start()
    for (const step of history.steps) {
      await performance.perform(step)
      if (performance.over) break
    }
    return performance.verdict
  } finally {
    await performance.stop()
  }
}

/** What stands in the log for a step. */
type Line = Step | string
type Act = () => void | Promise<void>

class Performance {
  readonly verdict: Verdict = { failure: undefined, abandoned: false }
  private readonly log: string[] | undefined
  private readonly clock = new SimulatedClock()
  private readonly listener = inProcess()
  private readonly slowStore: SlowStore | undefined
  private readonly broker: MqttBroker
  private readonly participants = new Map<string, Participant>()
  private readonly stage: Stage = {
    connect: () => this.listener.connect(),
    activity: 0,
    observed: new Map(),
    faults: [],
  }
  private worlds: World[] = [emptyWorld()]
  private connections = new Map<string, number>()

  constructor(isSlow: boolean, log: string[] | undefined) {
    this.log = log
    this.slowStore = isSlow ? new SlowStore() : undefined
    const store = this.slowStore ?? new MemoryStore()
    this.broker = new MqttBroker({ clock: this.clock, listeners: [this.listener], store })
    this.broker.on('clientError', (error) => {
      // whoever takes over is no fault, and neither is a client that goes without a word
      if (error.code !== 'GNATMQ_SESSION_TAKEN_OVER') this.stage.faults.push(`clientError: ${error.message}`)
    })
    this.broker.on('storeError', (error) => this.stage.faults.push(`storeError: ${error.message}`))
  }

  start(): Promise<void> {
    return this.broker.start()
  }

  stop(): Promise<void> {
    for (const participant of this.participants.values()) if (participant.connected) participant.abort()
    return this.broker.stop()
  }

  get over(): boolean {
    return this.verdict.failure !== undefined || this.verdict.abandoned
  }

  /** Does a step that can be done in this state, and leaves out any other. */
  async perform(step: Step): Promise<void> {
    if (step.type === 'wait') {
      this.log?.push(describeStep(step))
      await this.pass(step.seconds * 1000)
      return
    }
    if (step.type === 'restart') {
      await this.restart(step)
      return
    }
    const client = this.participant(step.client)
    if (step.type === 'connect') {
      const number = (this.connections.get(step.client) ?? 0) + 1
      this.connections.set(step.client, number)
      const connection = `${step.client}#${number}`
      await this.go({ type: 'connect', connection, connect: step }, step, () => client.connect(step))
      await this.repeat(client)
      return
    }
    if (!client.connected) return
    const plain = client.version === 5 ? step : withoutV5(step)
    switch (plain.type) {
      case 'publish': {
        const identifier = client.freeIdentifier()
        if (plain.qos > 0) client.pending.push({ identifier, publish: plain, next: 'publish' })
        await this.go({ type: 'publish', identifier, publish: plain }, plain, () =>
          client.publish(plain, identifier, false),
        )
        return
      }
      case 'release': {
        const pending = client.pending.find(({ publish }) => publish.qos === 2)
        if (pending === undefined) return
        pending.publish = { ...pending.publish, lost: plain.lost }
        pending.next = 'release'
        await this.release(client, pending.identifier, plain)
        return
      }
      case 'acknowledge':
        await this.go(plain, plain, () => client.acknowledge())
        return
      case 'abort':
        await this.go(plain, plain, () => client.abort())
        return
      default: {
        // [MQTT-3.14.2-2]
        const revives = plain.type === 'disconnect' && client.sessionExpiry === 0
        const allowed = revives ? { ...plain, sessionExpiry: undefined } : plain
        await this.go(allowed, allowed, () => client.control(allowed))
      }
    }
  }

  /** A client that is back repeats what was not acknowledged [MQTT-4.4.0-1]. */
  private async repeat(client: Participant): Promise<void> {
    for (const { identifier, publish, next } of [...client.pending]) {
      if (this.over) return
      const { pending } = client
      const at = pending.findIndex((other) => other.identifier === identifier)
      pending[at]!.publish = { ...publish, lost: false }
      // an alias of the last connection is none of this one, and 3.1.1 has no properties
      const again = { ...(client.version === 5 ? publish : withoutV5(publish)), alias: false }
      const line = `${client.id} ${next === 'release' ? 'PUBREL' : 'PUBLISH dup'} ${identifier} again`
      if (next === 'release') await this.release(client, identifier, line)
      else
        await this.go({ type: 'publish', identifier, publish: again }, line, () =>
          client.publish(again, identifier, true),
        )
    }
  }

  private async restart(step: Step): Promise<void> {
    for (const [id, participant] of this.participants) {
      if (participant.connected) await this.perform({ type: 'abort', client: id })
    }
    await this.go({ type: 'restart' }, step, async () => {
      await this.broker.stop()
      await this.broker.start()
    })
  }

  private release(client: Participant, identifier: number, line: Line): Promise<void> {
    return this.go({ type: 'release', client: client.id, identifier }, line, () => client.release(identifier))
  }

  private participant(id: string): Participant {
    let participant = this.participants.get(id)
    if (participant === undefined) this.participants.set(id, (participant = new Participant(id, this.stage)))
    return participant
  }

  /** One step of both, and the comparison. */
  private async go(step: WireStep, line: Line, act: Act): Promise<void> {
    if (this.over) return
    await this.pass(STEP_MS)
    if (this.over) return
    await this.compare(line, (reference) => reference.apply(step), act)
  }

  /** Time passes, from deadline to deadline: a client can answer what one has brought before the next. */
  private async pass(ms: number): Promise<void> {
    const end = this.clock.now() + ms
    for (let at = this.nextDeadline; at <= end && !this.over; at = this.nextDeadline) {
      const due = (reference: Reference): void => reference.apply({ type: 'due', at })
      await this.compare('(a deadline)', due, () => this.clock.advance(at - this.clock.now()))
    }
    if (this.over) return
    this.clock.advance(end - this.clock.now())
    for (const world of this.worlds) world.now = end
  }

  private get nextDeadline(): number {
    return Math.min(...this.worlds.map((world) => new Reference(world, none).nextDeadline))
  }

  private async compare(line: Line, refer: (reference: Reference) => void, act: Act): Promise<void> {
    const { stage, verdict, log } = this
    stage.observed = new Map()
    await act()
    await this.idle()
    const possible = this.worlds.flatMap((world) => everyWay(world, refer))
    const judged = possible.map(({ world, outcomes }) => ({ world, lines: differences(outcomes, stage.observed) }))
    log?.push(typeof line === 'string' ? line : describeStep(line), ...this.observations())
    const best = judged.reduce((a, b) => (b.lines.length < a.lines.length ? b : a))
    if (stage.faults.length > 0 || best.lines.length > 0) verdict.failure = [...stage.faults, ...best.lines]
    this.worlds = distinct(judged.filter(({ lines }) => lines.length === 0).map(({ world }) => world))
    if (this.worlds.length > MAXIMUM_WORLDS) verdict.abandoned = true
  }

  private observations(): string[] {
    const lines: string[] = []
    for (const [connection, { publishes, others }] of this.stage.observed) {
      for (const text of [...others, ...publishes.map(describeReceived)]) lines.push(`    ${connection} ← ${text}`)
    }
    return lines
  }

  /** Resolves when nothing moves any more. */
  private async idle(): Promise<void> {
    const { stage, slowStore } = this
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      const before = stage.activity
      await new Promise((resolve) => setImmediate(resolve))
      if (stage.activity !== before || (slowStore !== undefined && slowStore.pending > 0)) quiet = -1
    }
  }
}

const none = (): number => 0

interface Possibility {
  world: World
  outcomes: Outcomes<Due>
}

/** Follows a step into every way that it may go: once for each series of choices. */
function everyWay(world: World, refer: (reference: Reference) => void): Possibility[] {
  const simple = new Reference(world, none)
  if (!simple.isOpen) {
    refer(simple)
    return [{ world, outcomes: simple.outcomes }]
  }
  const possibilities: Possibility[] = []
  const open: number[][] = [[]]
  for (let choices = open.pop(); choices !== undefined; choices = open.pop()) {
    const made: number[] = []
    const given = choices
    const reference = new Reference(structuredClone(world), (n) => {
      const at = made.length
      const choice = given[at] ?? 0
      made.push(choice)
      if (at >= given.length) for (let other = 1; other < n; other++) open.push([...made.slice(0, at), other])
      return choice
    })
    refer(reference)
    possibilities.push({ world: reference.world, outcomes: reference.outcomes })
  }
  return possibilities
}

function distinct(worlds: World[]): World[] {
  if (worlds.length < 2) return worlds
  return [...new Map(worlds.map((world) => [JSON.stringify(world), world])).values()]
}

/** What is left of a step on a connection of MQTT 3.1.1. */
function withoutV5<S extends Exclude<Step, { type: 'wait' | 'connect' | 'restart' }>>(step: S): S {
  switch (step.type) {
    case 'publish':
      return { ...step, expiry: undefined, alias: false }
    case 'subscribe': {
      const plain = { noLocal: false, retainAsPublished: false, retainHandling: 0 as const }
      return { ...step, identifier: 0, filters: step.filters.map((filter) => ({ ...filter, ...plain })) }
    }
    case 'disconnect':
      return { ...step, withWill: false, sessionExpiry: undefined }
    default:
      return step
  }
}

/** Leaves out step after step for as long as the history still fails. */
export async function shrink(history: History): Promise<History> {
  let { steps } = history
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < steps.length; ) {
      const fewer = { ...history, steps: [...steps.slice(0, at), ...steps.slice(at + size)] }
      if ((await play(fewer)).failure !== undefined) steps = fewer.steps
      else at += size
    }
  }
  return { ...history, steps }
}
