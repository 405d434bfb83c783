import { MqttBroker } from '../../src/mqtt-broker'
import type { Change } from '../../src/ports/store'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { inProcess } from '../../src/transport/in-process'
import { Random } from './random'
import { RefusalClient } from './refusal-client'
import { RefusingStore } from './refusing-store'

/** A message that was published: `t` for one subscriber, `s` for a shared group, `r` retained. */
interface Publication {
  readonly payload: string
  readonly publisher: string
  readonly topic: string
  readonly qos: number
}

/** How a history is made, and what the store refuses at a step. */
const refusals = ['nothing', 'nothing', 'some', 'some', 'all', 'forgetting', 'one client'] as const
type Refusal = (typeof refusals)[number]

const FORGETTING = ['dequeue', 'release', 'end', 'received']
const SECOND = 1000

/** Plays the history of a seed against a store that refuses, to its end, and says what must not be; nothing if all is well. */
export async function playRefusals(seed: number): Promise<string[]> {
  const play = new Refusals(new Random(seed))
  try {
    await play.run()
    return play.faults
  } finally {
    await play.stop()
  }
}

class Refusals {
  readonly faults: string[] = []
  private readonly random: Random
  private readonly clock = new SimulatedClock()
  private readonly listener = inProcess()
  private readonly store: RefusingStore
  private readonly broker: MqttBroker
  private readonly publishers: RefusalClient[]
  private readonly subscriber: RefusalClient
  private readonly members: RefusalClient[]
  private readonly publications: Publication[] = []
  private readonly byApplication = { acknowledged: [] as string[], refused: [] as string[] }
  private readonly qos: 1 | 2
  private readonly retainedQoS: 1 | 2
  /** Messages that must not be refused: the store refuses what is another client's. */
  private readonly ofStrangers = new Set<string>()

  constructor(random: Random) {
    this.random = random
    this.store = new RefusingStore(random.chance(0.7) ? 'later' : 'at once')
    this.broker = new MqttBroker({ clock: this.clock, listeners: [this.listener], store: this.store })
    const client = (id: string, version: 4 | 5) => new RefusalClient(id, version, () => this.listener.connect())
    const version = () => (random.chance(0.5) ? 4 : 5)
    this.publishers = [client('p0', version()), client('p1', version())]
    this.subscriber = client('subscriber', version())
    this.members = [client('m0', version()), client('m1', version())]
    this.qos = random.chance(0.6) ? 2 : 1
    this.retainedQoS = random.pick<1 | 2>([1, 2])
  }

  /** A client of MQTT 5.0 was sent 0x97 for these, perhaps in vain: then it sends them again behind later ones. */
  private readonly maybeTold = new Set<string>()

  private noteTold(changes: readonly Change[]): void {
    for (const change of changes) {
      const message =
        change.type === 'enqueue' ? change.entry.message : change.type === 'retain' ? change.message : null
      if (message === null) continue
      const payload = Buffer.from(message.payload).toString()
      const client = this.publishers.find(({ id }) => payload.startsWith(`${id}:`))
      if (client?.version === 5 && client.connected) this.maybeTold.add(payload)
    }
  }

  private get clients(): RefusalClient[] {
    return [...this.publishers, this.subscriber, ...this.members]
  }

  async run(): Promise<void> {
    this.store.onRefused = (changes) => this.noteTold(changes)
    await this.broker.start()
    for (const client of this.clients) client.connect()
    await this.idle()
    this.subscriber.subscribe('t', this.qos)
    for (const member of this.members) member.subscribe('$share/g/s', this.qos)
    await this.idle()
    const steps = 10 + this.random.below(25)
    for (let n = 0; n < steps; n++) {
      this.step()
      if (this.random.chance(0.6)) await this.turns(this.random.below(4))
    }
    await this.settle()
    this.check('')
    await this.broker.stop()
    await this.broker.start()
    await this.settle()
    this.check('after a restart: ')
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.abort()
    await this.broker.stop()
  }

  private step(): void {
    const { random } = this
    if (random.chance(0.35)) this.refuse(random.pick(refusals))
    const kind = random.weighted({ publish: 8, application: 1, abort: 2, silence: 2, connect: 3, time: 1 })
    const client = random.pick(this.clients)
    if (kind === 'publish') this.publishSome(random.pick(this.publishers))
    else if (kind === 'application') this.publishByApplication()
    else if (kind === 'abort') client.abort()
    else if (kind === 'silence') client.answers = !client.answers
    else if (kind === 'time') this.clock.advance(random.pick([SECOND, 5 * SECOND]))
    else for (const each of this.clients) if (!each.connected) each.connect()
  }

  private refuse(refusal: Refusal): void {
    const { random, store } = this
    store.throws = random.chance(0.3)
    const isForgetting = ({ type }: Change): boolean => FORGETTING.includes(type)
    store.refuses = {
      nothing: () => false,
      some: () => random.chance(0.4),
      all: () => true,
      forgetting: (changes: readonly Change[]) => changes.some(isForgetting),
      'one client': (changes: readonly Change[]) =>
        changes.some((change) => change.type === 'dequeue' && change.clientId !== 'p0' && change.clientId !== 'p1'),
    }[refusal]
    this.isPoison = refusal === 'one client'
    if (!this.isPoison) this.ofStrangers.clear()
  }

  private isPoison = false

  /** Several at once, so that they lie behind each other. */
  private publishSome(client: RefusalClient): void {
    const { random } = this
    for (let left = 1 + random.below(4); left > 0; left--) {
      const topic = client === this.publishers[0] && random.chance(0.2) ? 'r' : random.pick(['t', 't', 's'])
      // QoS 1 may come again behind QoS 2 that does not: then it is retained
      const qos = topic === 'r' ? this.retainedQoS : random.pick<1 | 2>([1, 2])
      const payload = `${client.id}:${this.publications.length}`
      this.publications.push({ payload, publisher: client.id, topic, qos })
      if (this.isPoison && client.idle) this.ofStrangers.add(payload)
      client.publish(topic, payload, qos, topic === 'r')
    }
  }

  private publishByApplication(): void {
    const payload = `application:${this.publications.length}`
    const qos = this.random.pick<1 | 2>([1, 2])
    this.publications.push({ payload, publisher: 'application', topic: 't', qos })
    const { acknowledged, refused } = this.byApplication
    this.broker.publish({ topic: 't', payload, qos }).then(
      () => acknowledged.push(payload),
      () => refused.push(payload),
    )
  }

  /** The store is well again: everybody comes back and takes all there is. */
  private async settle(): Promise<void> {
    await this.idle()
    this.store.refuses = () => false
    this.store.throws = false
    for (let round = 0; round < 6; round++) {
      for (const client of this.clients) {
        if (!client.connected) client.connect()
        client.answerAll()
      }
      await this.idle()
      this.clock.advance(61 * SECOND)
      await this.idle()
    }
  }

  private async turns(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve))
  }

  private async idle(): Promise<void> {
    let quiet = 0
    while (quiet < 6) {
      await this.turns(1)
      quiet = this.store.pending > 0 ? 0 : quiet + 1
    }
  }

  private check(when: string): void {
    const found = (text: string): void => void this.faults.push(`${when}${text}`)
    const acknowledged = new Set([...this.clients, this.byApplication].flatMap((each) => each.acknowledged))
    const refused = new Set([...this.clients, this.byApplication].flatMap((each) => each.refused))
    for (const payload of this.ofStrangers) if (refused.has(payload)) found(`${payload} was refused for another client`)
    for (const client of this.publishers) if (!client.idle) found(`${client.id} is not done`)
    this.checkDelivery('t', [this.subscriber], acknowledged, refused, found)
    this.checkDelivery('s', this.members, acknowledged, refused, found)
    this.checkOrder(refused, found)
    this.checkStore(acknowledged, refused, found)
  }

  private checkDelivery(
    topic: string,
    receivers: readonly RefusalClient[],
    acknowledged: ReadonlySet<string>,
    refused: ReadonlySet<string>,
    found: (text: string) => void,
  ): void {
    const counts = new Map<string, number>()
    for (const { received } of receivers)
      for (const { payload } of received) counts.set(payload, (counts.get(payload) ?? 0) + 1)
    for (const { payload, topic: published, qos } of this.publications) {
      if (published !== topic) continue
      const count = counts.get(payload) ?? 0
      const isOnce = qos === 2 && this.qos === 2
      if (acknowledged.has(payload) && count === 0) found(`${payload} is lost`)
      if (isOnce && count > 1) found(`${payload} came ${count} times with QoS 2`)
      if (isOnce && refused.has(payload) && count > 0) found(`${payload} was refused and came`)
    }
  }

  /** Of one publisher and QoS [MQTT-4.6.0-6], by the first time that each came. */
  private checkOrder(refused: ReadonlySet<string>, found: (text: string) => void): void {
    const index = new Map(this.publications.map((publication, i) => [publication.payload, { ...publication, i }]))
    const last = new Map<string, number>()
    const seen = new Set<string>()
    for (const { payload } of this.subscriber.received) {
      if (seen.has(payload)) continue
      seen.add(payload)
      const publication = index.get(payload)
      if (publication === undefined || publication.publisher === 'application') continue
      if (refused.has(payload) || this.maybeTold.has(payload)) continue
      const line = `${publication.publisher} ${publication.qos}`
      if ((last.get(line) ?? -1) > publication.i) found(`${payload} came after a later one`)
      last.set(line, publication.i)
    }
  }

  private checkStore(
    acknowledged: ReadonlySet<string>,
    refused: ReadonlySet<string>,
    found: (text: string) => void,
  ): void {
    const { memory } = this.store
    for (const { id } of this.clients) {
      const left = memory.queue(id, 0, 100).map(({ message }) => Buffer.from(message.payload).toString())
      if (left.length > 0) found(`the store still has ${left.join()} for ${id}`)
      if (memory.held(id).length > 0) found(`the store still holds ${memory.held(id).join()} for ${id}`)
    }
    const [kept] = [...memory.retained()].map(({ payload }) => Buffer.from(payload).toString())
    const isRepeated = (payload: string) => refused.has(payload) && this.publishers.some((p) => p.repeated.has(payload))
    const wanted = this.publications.findLast(
      ({ topic, payload }) => topic === 'r' && (acknowledged.has(payload) || (payload === kept && isRepeated(payload))),
    )
    if (kept !== wanted?.payload) found(`the store retains ${kept} instead of ${wanted?.payload}`)
    if (this.broker.statistics.retainedMessages !== (kept === undefined ? 0 : 1)) found('memory retains another number')
  }
}
