import type { QoS } from '../../src/protocol/packet'
import { Random } from '../model/random'
import type { History, SentMessage } from './history'
import type { KillableBroker } from './killable-broker'
import { PersistentClient } from './persistent-client'
import { readRetained } from './retained-reader'

/** Messages that a publisher has on their way at a time. */
const WINDOW = 6
const END_TOPIC = 'end'
const EVERYTHING: Subscription[] = [
  ['t/#', 2],
  ['w/#', 2],
]

type Version = 4 | 5

type Subscription = readonly [filter: string, qos: QoS]

/** What a kind of client does, over and over, while the broker lives. */
type Step = (client: PersistentClient) => Promise<void> | void

interface Actor {
  readonly client: PersistentClient
  readonly step: Step
  /** The Will of its next connection. */
  readonly will?: () => SentMessage
}

/**
 * Clients of all kinds, in MQTT 3.1.1 and 5.0, that go on with whatever they were at when the broker comes back. What
 * they do is chosen by the seed; when it happens is left to the machine.
 */
export class Workload {
  readonly history: History
  private readonly broker: KillableBroker
  private readonly random: Random
  private readonly actors: Actor[] = []
  private readonly publishers: PersistentClient[] = []
  /** With the subscriptions that they have from beginning to end. */
  private readonly subscribers = new Map<PersistentClient, readonly Subscription[]>()
  private lastPayload = 0

  constructor(seed: number, broker: KillableBroker, history: History) {
    this.random = new Random(seed)
    this.broker = broker
    this.history = history
    for (const version of [4, 5] as const) {
      const name = (role: string): string => `${role}${version}`
      this.addPublisher(name('publisher'), version, 1)
      this.addPublisher(name('switch'), version, 2)
      this.addSubscriber(name('faithful'), version, EVERYTHING, 'stays')
      this.addSubscriber(name('fickle'), version, [['t/+/1', 1]], 'comes and goes')
      this.addSubscriber(name('slow'), version, EVERYTHING, 'comes and goes', 3)
      this.addChooser(name('chooser'), version)
      this.addMortal(name('mortal'), version)
    }
  }

  /** Subscriptions that hold from the beginning to the end. */
  async begin(): Promise<void> {
    for (const [client, subscriptions] of this.subscribers) {
      await client.connect(this.broker.port)
      await client.subscribe(END_TOPIC, 2)
      for (const [filter, qos] of subscriptions) await client.subscribe(filter, qos)
    }
  }

  /** Lets everybody do their work until the broker is killed, by `count` events from now at random. */
  async round(count: number): Promise<void> {
    const work = this.actors.map((actor) => this.work(actor))
    const reader = readRetained(this.broker, this.history)
    await this.history.further(this.random.below(count))
    // somewhere within a turn, or within a flush of the disk
    for (let turns = this.random.below(20); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
    await this.broker.kill()
    await Promise.all([...work, reader])
    for (const { client } of this.actors) client.cut()
  }

  /** Everybody comes back, sends what is left to send and takes what there is. */
  async end(): Promise<void> {
    await Promise.all(this.actors.map(({ client, will }) => client.connect(this.broker.port, will?.())))
    await within(20, 'everything is acknowledged', this.publishers, (client) => client.openMessages === 0)
    for (const { client, will } of this.actors) if (will !== undefined) await client.disconnect()
    const [publisher] = this.publishers
    const last = this.message(publisher!, END_TOPIC, 2, false)
    publisher!.publish(last)
    const isLast = (client: PersistentClient): boolean =>
      client.hasReleased && client.seen.some((packet) => packet.cmd === 'publish' && packet.topic === END_TOPIC)
    await within(20, 'everything is received', [...this.subscribers.keys()], isLast)
    await readRetained(this.broker, this.history)
    for (const { client } of this.actors) client.cut()
  }

  /** Connects, and does one step after the other until the broker is gone. */
  private async work({ client, step, will }: Actor): Promise<void> {
    while (this.broker.isRunning) {
      if (!client.isConnected && !(await client.connect(this.broker.port, will?.()))) {
        await new Promise((resolve) => setImmediate(resolve))
        continue
      }
      await step(client)
    }
  }

  private add(clientId: string, version: Version, step: Step, will?: () => SentMessage, receiveMaximum?: number) {
    const { history } = this
    const options = { clientId, version, history, ...(receiveMaximum === undefined ? {} : { receiveMaximum }) }
    const client = new PersistentClient(options)
    this.actors.push({ client, step, ...(will === undefined ? {} : { will }) })
    return client
  }

  /** Publishes to two topics of its own with both qualities, and to retained ones with one. */
  private addPublisher(name: string, version: Version, retainedQoS: QoS): void {
    const publisher = this.add(name, version, async (client) => {
      if (this.random.chance(0.03)) {
        await this.leave(client)
        return
      }
      await client.until(() => client.openMessages < WINDOW || !client.isConnected)
      if (client.isConnected) this.publishSomething(client, retainedQoS)
    })
    this.publishers.push(publisher)
  }

  private publishSomething(client: PersistentClient, retainedQoS: QoS): void {
    if (this.random.chance(0.1)) {
      const topic = `r/${client.clientId}/${this.random.below(3)}`
      client.publish(this.message(client, topic, retainedQoS, true), this.random.chance(0.2))
      return
    }
    const topic = `t/${client.clientId}/${1 + this.random.below(2)}`
    client.publish(this.message(client, topic, this.random.chance(0.5) ? 1 : 2, false))
  }

  private addSubscriber(
    name: string,
    version: Version,
    subscriptions: readonly Subscription[],
    life: 'stays' | 'comes and goes',
    receiveMaximum?: number,
  ): void {
    const step: Step = async (client) => {
      await this.aWhile(client)
      if (life === 'comes and goes') await this.leave(client)
    }
    this.subscribers.set(this.add(name, version, step, undefined, receiveMaximum), subscriptions)
  }

  /** Subscribes and unsubscribes. */
  private addChooser(name: string, version: Version): void {
    const filters = ['t/publisher4/1', 't/switch5/+', 't/publisher5/2']
    const chooser = this.add(name, version, async (client) => {
      const filter = this.random.pick(filters)
      if (this.random.chance(0.5)) await client.subscribe(filter, 2)
      else await client.unsubscribe(filter)
      await this.aWhile(client)
      if (this.random.chance(0.3)) await this.leave(client)
    })
    this.subscribers.set(chooser, [])
  }

  /** Leaves a Will with every connection, and dies often. */
  private addMortal(name: string, version: Version): void {
    const will = (): SentMessage => ({
      payload: `${name}:${++this.lastPayload}`,
      topic: `w/${name}`,
      qos: this.random.chance(0.5) ? 1 : 2,
      retain: false,
    })
    this.add(
      name,
      version,
      async (client) => {
        await this.aWhile(client)
        await this.leave(client)
      },
      will,
    )
  }

  /** Goes with a word or without, and stays away for a time. */
  private async leave(client: PersistentClient): Promise<void> {
    if (this.random.chance(0.5)) await client.disconnect()
    else client.cut()
    await this.aWhile(undefined)
  }

  /** Until some things have happened in the world, or the client or the broker is gone. */
  private async aWhile(client: PersistentClient | undefined): Promise<void> {
    const lost = client === undefined ? this.broker.died() : client.until(() => !client.isConnected)
    await Promise.race([this.history.further(1 + this.random.below(60)), lost])
  }

  private message(client: PersistentClient, topic: string, qos: QoS, retain: boolean): SentMessage {
    return { payload: `${client.clientId}:${++this.lastPayload}`, topic, qos, retain }
  }
}

/** Waits for a condition of clients, and names those that do not come to it. */
async function within(
  seconds: number,
  what: string,
  clients: readonly PersistentClient[],
  condition: (client: PersistentClient) => boolean,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const missing = clients.filter((client) => !condition(client)).map(({ clientId }) => clientId)
      reject(new Error(`waited ${seconds} s in vain until ${what}: ${missing.join(', ')}`))
    }, seconds * 1000)
  })
  try {
    await Promise.race([patience, Promise.all(clients.map((client) => client.until(() => condition(client))))])
  } finally {
    clearTimeout(timer)
  }
}
