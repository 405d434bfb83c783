import { onTestFinished } from 'vitest'
import type { QoS } from '../../src/protocol/packet'
import { History, type SentMessage } from './history'
import { type BrokerProcessOptions, KillableBroker } from './killable-broker'
import { PersistentClient } from './persistent-client'

const PATIENCE_MS = 10_000

/** One publisher, one subscriber to `t`, and a broker that dies in between. */
export class Exchange {
  readonly history = new History()
  readonly broker = new KillableBroker(this.history)
  readonly publisher: PersistentClient
  readonly subscriber: PersistentClient
  private count = 0

  private constructor(version: 4 | 5) {
    const { history } = this
    this.publisher = new PersistentClient({ clientId: 'publisher', version, history })
    this.subscriber = new PersistentClient({ clientId: 'subscriber', version, history })
  }

  /** Both clients are connected, and the subscriber is subscribed. */
  static async begin(version: 4 | 5, options: BrokerProcessOptions = {}): Promise<Exchange> {
    const exchange = new Exchange(version)
    onTestFinished(() => exchange.end())
    await exchange.broker.start(options)
    await exchange.connect()
    await exchange.subscriber.subscribe('t', 2)
    return exchange
  }

  publish(qos: QoS = 2, topic = 't', retain = false, clears = false): SentMessage {
    const message = { payload: `publisher:${++this.count}`, topic, qos, retain }
    this.publisher.publish(message, clears)
    return message
  }

  async connect(): Promise<void> {
    await this.publisher.connect(this.broker.port)
    await this.subscriber.connect(this.broker.port)
  }

  /** Starts the broker again, and brings both clients back. */
  async restart(options: BrokerProcessOptions = {}): Promise<void> {
    this.publisher.cut()
    this.subscriber.cut()
    await this.broker.start(options)
    await this.connect()
  }

  /** Starts the broker again, and goes on until everything is done. */
  async resume(options: BrokerProcessOptions = {}): Promise<void> {
    await this.restart(options)
    // under the identifier that was at stake
    await this.done()
    await this.publishLast()
  }

  /** Everything that was published is acknowledged, and the subscriber has released what it has. */
  async done(): Promise<void> {
    await this.within(this.publisher.until(() => this.publisher.openMessages === 0))
  }

  /** A last message, behind which nothing can come any more. */
  async publishLast(topic = 't'): Promise<void> {
    const { payload } = this.publish(2, topic)
    await this.done()
    const isLast = (): boolean =>
      this.subscriber.hasReleased &&
      this.history.events.some((event) => event.type === 'received' && event.payload === payload)
    await this.within(this.subscriber.until(isLast))
  }

  /** Waits for a client's packet of a kind. */
  saw(client: PersistentClient, cmd: string): Promise<void> {
    return this.within(client.until(() => client.seen.some((packet) => packet.cmd === cmd)))
  }

  private async within(condition: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<never>((_, reject) => {
      const story = () => this.history.events.map((event) => JSON.stringify(event)).join('\n  ')
      timer = setTimeout(() => reject(new Error(`waited in vain; so far:\n  ${story()}`)), PATIENCE_MS)
    })
    await Promise.race([condition, patience])
    clearTimeout(timer)
  }

  private async end(): Promise<void> {
    this.publisher.cut()
    this.subscriber.cut()
    await this.broker.remove()
  }
}
