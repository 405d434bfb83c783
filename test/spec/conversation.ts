import type { MqttBroker } from '../../src/mqtt-broker'
import { RawClient, type Version } from '../support/raw-client'

/** Two clients that exchange messages all the time, so that a test sees at once when others suffer from an attack. */
export class Conversation {
  private count = 0
  private stopped = false
  private failure: unknown = undefined
  private waiters: (() => void)[] = []
  private readonly running: Promise<void>

  private constructor(
    private readonly speaker: RawClient,
    private readonly listener: RawClient,
  ) {
    this.running = this.talk()
  }

  static async start(broker: MqttBroker, protocolVersion: Version): Promise<Conversation> {
    const listener = await RawClient.connected(broker.port, { protocolVersion, clientId: 'listener' })
    await listener.subscribe('conversation', 1)
    const speaker = await RawClient.connected(broker.port, { protocolVersion, clientId: 'speaker' })
    return new Conversation(speaker, listener)
  }

  /** Waits until a message that is published from now on has arrived, and rejects when the exchange has broken. */
  async goesOn(): Promise<void> {
    const wanted = this.count + 2
    while (this.count < wanted) {
      if (this.failure !== undefined) throw this.failure
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
  }

  /** Ends the exchange. Rejects if it has broken. */
  async stop(): Promise<void> {
    this.stopped = true
    await this.running
    this.speaker.destroy()
    this.listener.destroy()
    if (this.failure !== undefined) throw this.failure
  }

  private async talk(): Promise<void> {
    try {
      while (!this.stopped) await this.exchange()
    } catch (error) {
      this.failure = error
    }
    this.wake()
  }

  /** One message of QoS 1 there, answered, and compared. */
  private async exchange(): Promise<void> {
    const text = String(this.count)
    const [, heard] = await Promise.all([
      this.speaker.publish('conversation', text, { qos: 1 }),
      this.listener.nextMessage(),
    ])
    if (heard.text !== text) throw new Error(`the listener heard ${heard.text} instead of ${text}`)
    await this.listener.acknowledge(heard.packet)
    this.speaker.received.length = this.listener.received.length = 0
    this.count++
    this.wake()
  }

  private wake(): void {
    const { waiters } = this
    this.waiters = []
    for (const waiter of waiters) waiter()
  }
}
