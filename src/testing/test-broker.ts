import { type Message, MqttBroker, type MqttBrokerOptions, tcp, tls } from '../index'
import { MqttError } from '../protocol/mqtt-error'
import { matches, topicFilterError } from '../protocol/topic'
import { type Link, Links } from './faults'
import { FaultyListener } from './faulty-listener'

/** Messages that are remembered; then the oldest is forgotten. */
const REMEMBERED = 10_000
/** Milliseconds that a test waits where it does not say how long. */
const PATIENCE_MS = 5000
/** Milliseconds between two looks at a condition. */
const LOOK_MS = 5
/** Messages that the error of a wait in vain lists. */
const LISTED = 10

/** How long to wait. */
export interface WaitOptions {
  /** Milliseconds of real time, whatever clock the broker has. Default: 5,000. */
  readonly timeout?: number | undefined
}

/** What a message must be besides. */
export interface MessageWaitOptions extends WaitOptions {
  /** Whether a message is the one. Default: each is. */
  readonly where?: ((message: Message) => boolean) | undefined
}

/** A broker for one test: it remembers what was published, and the network between it and each client can be disturbed. */
export class TestBroker<Data = unknown> extends MqttBroker<Data> {
  private readonly links: Links
  private remembered: Message[] = []

  /** The options are those of MqttBroker. Without `listeners` it listens on a free port of the loopback interface. */
  constructor(options: MqttBrokerOptions<Data> = {}) {
    const links = new Links()
    const { host = 'localhost', port = 0, ...rest } = options
    const listeners = options.listeners ?? [options.certificate === undefined ? tcp({ port }) : tls({ port, host })]
    super({ ...rest, listeners: listeners.map((listener) => new FaultyListener(listener, links)) })
    this.links = links
    this.on('published', (message) => {
      this.remembered.push(message)
      if (this.remembered.length > REMEMBERED) this.remembered.shift()
    })
  }

  /** The URL of the first listener, as MQTT.js takes it. Throws GNATMQ_NOT_RUNNING. */
  get url(): string {
    const { port } = this
    const { host, protocol } = this.addresses[0]!
    return `${protocol}://${host.includes(':') ? `[${host}]` : host}:${port}`
  }

  /**
   * The messages of a Topic Filter that were published since the start or `clear()`, Wills and those of the application included. The last 10,000
   * of all topics are remembered. Throws GNATMQ_TOPIC_FILTER_INVALID.
   */
  received(filter = '#'): Message[] {
    checkFilter(filter)
    return this.remembered.filter(({ topic }) => matches(filter, topic))
  }

  /** Forgets what was published until now. */
  clear(): void {
    this.remembered = []
  }

  /**
   * The first message of a Topic Filter that was published since the start or `clear()`, or the next one. Rejects with GNATMQ_WAIT_TIMEOUT, which
   * lists what was published instead, or with GNATMQ_TOPIC_FILTER_INVALID.
   */
  async waitFor(filter: string, { timeout, where = () => true }: MessageWaitOptions = {}): Promise<Message> {
    checkFilter(filter)
    let found: Message | undefined
    const isThere = (): boolean => {
      found = this.received(filter).find(where)
      return found !== undefined
    }
    await this.waitUntil(isThere, { timeout }).catch((error: unknown) => {
      throw error instanceof MqttError && error.code === 'GNATMQ_WAIT_TIMEOUT' ? this.missed(filter) : error
    })
    return found!
  }

  /** Waits until `condition` holds: it is looked at every 5 milliseconds. Rejects with what it throws, or with GNATMQ_WAIT_TIMEOUT. */
  async waitUntil(condition: () => unknown, { timeout = PATIENCE_MS }: WaitOptions = {}): Promise<void> {
    const end = performance.now() + timeout
    while (!condition()) {
      if (performance.now() >= end)
        throw new MqttError('GNATMQ_WAIT_TIMEOUT', `the condition did not hold within ${timeout} ms`)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }

  /** The network between the broker and one client, by its Client Identifier, before or after the client connects. */
  link(clientId: string): Link {
    return this.links.get(clientId)
  }

  private missed(filter: string): MqttError {
    const topics = this.remembered.slice(-LISTED).map(({ topic, payload }) => `${topic} (${payload.length} bytes)`)
    const instead = topics.length === 0 ? 'nothing was published' : `published was: ${topics.join(', ')}`
    return new MqttError('GNATMQ_WAIT_TIMEOUT', `no such message on ${filter} in time; ${instead}`)
  }
}

/**
 * Starts a broker for one test: `await using broker = await testBroker()`. Rejects as `MqttBroker.start` does.
 */
export async function testBroker<Data = unknown>(options: MqttBrokerOptions<Data> = {}): Promise<TestBroker<Data>> {
  const broker = new TestBroker<Data>(options)
  await broker.start()
  return broker
}

function checkFilter(filter: string): void {
  const error = topicFilterError(filter)
  if (error !== undefined) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
}
