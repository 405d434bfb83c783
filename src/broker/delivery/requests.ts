import { randomBytes, randomUUID } from 'node:crypto'
import type { ApplicationMessage } from '../../ports/application-message'
import type { Clock } from '../../ports/clock'
import { givenFunction, givenInteger, givenSignal, readFields } from '../../ports/given-values'
import { MqttError } from '../../protocol/mqtt-error'
import type { WillPacket } from '../../protocol/packet'
import { isSystemTopic, topicNameError } from '../../protocol/topic'
import type { ApplicationFaults } from '../hooks/application-faults'
import type { PublishOptions } from './publish-options'

export interface RequestOptions {
  /** Milliseconds to wait for the response. Default: 10,000. */
  timeout?: number
  /** Gives the request up. */
  signal?: AbortSignal
}

/** What a responder answers: a payload, or nothing for an empty one. */
export type Response = PublishOptions['payload']
export type Responder = (message: ApplicationMessage) => Response | Promise<Response>

type Settle = (outcome: ApplicationMessage | MqttError) => void

/** What requests need of the broker. */
export interface RequestHost {
  publish(options: PublishOptions): Promise<void>
  subscribe(filter: string, onMessage: (message: ApplicationMessage) => unknown): Promise<() => void>
  /** Whether the client that has sent a request may itself publish the response. */
  mayPublish(clientId: string, response: WillPacket): Promise<boolean>
}

const PREFIX = '$response/'
/** The User Property of a response that stands for a failure. */
const FAILED = 'gnatmq-responder-failed'

/** Requests of the application and its responders (MQTT 5.0 section 4.10). */
export class Requests {
  private readonly host: RequestHost
  private readonly clock: Clock
  private readonly faults: ApplicationFaults
  private readonly responseTopic = PREFIX + randomUUID()
  private readonly pending = new Map<string, Settle>()
  private subscribed: Promise<unknown> | null = null

  constructor(host: RequestHost, clock: Clock, faults: ApplicationFaults) {
    this.host = host
    this.clock = clock
    this.faults = faults
  }

  async request(topic: string, payload: Response, given: unknown): Promise<ApplicationMessage> {
    const { signal: ofSignal, timeout: milliseconds = 10_000 } = readFields('request', given, ['timeout', 'signal'])
    const timeout = givenInteger('timeout', milliseconds, 1, 0x7fffffff)
    const signal = ofSignal === undefined ? undefined : givenSignal(ofSignal)
    signal?.throwIfAborted()
    this.subscribed ??= this.host.subscribe(this.responseTopic, (message) => this.receive(message))
    await this.subscribed
    const correlationData = randomBytes(16)
    const key = correlationData.toString('latin1')
    return new Promise((resolve, reject) => {
      const giveUp = (): void =>
        settle(new MqttError('GNATMQ_REQUEST_FAILED', 'the request was given up', { cause: signal?.reason }))
      const late = (): void => settle(new MqttError('GNATMQ_REQUEST_FAILED', `no response within ${timeout} ms`))
      const cancel = this.clock.after(timeout, late)
      const settle: Settle = (outcome) => {
        if (!this.pending.delete(key)) return
        cancel()
        signal?.removeEventListener('abort', giveUp)
        if (outcome instanceof MqttError) reject(outcome)
        else resolve(outcome)
      }
      this.pending.set(key, settle)
      signal?.addEventListener('abort', giveUp)
      const { responseTopic } = this
      this.host
        .publish({ topic, payload: payload ?? '', properties: { responseTopic, correlationData } })
        .catch((error: unknown) => {
          const failure =
            error instanceof MqttError ? error : new MqttError('GNATMQ_REQUEST_FAILED', 'no request', { cause: error })
          settle(failure)
        })
    })
  }

  /** A response that comes late finds no request. */
  private receive(message: ApplicationMessage): void {
    const { correlationData, userProperties } = message.properties
    const settle = this.pending.get(Buffer.from(correlationData ?? []).toString('latin1'))
    if (settle === undefined) return
    const hasFailed = userProperties?.some(([name]) => name === FAILED) ?? false
    settle(hasFailed ? new MqttError('GNATMQ_REQUEST_FAILED', 'the responder failed') : message)
  }

  respond(filter: string, responder: Responder): Promise<() => void> {
    givenFunction('responder', responder)
    return this.host.subscribe(filter, (message) => this.answer(message, responder))
  }

  private async answer(message: ApplicationMessage, responder: Responder): Promise<void> {
    const { correlationData, responseTopic } = message.properties
    if (responseTopic === undefined || topicNameError(responseTopic) !== undefined || isSystemTopic(responseTopic))
      return
    let payload: Response
    let failed = false
    try {
      payload = await responder(message)
    } catch (error) {
      // the text of an error is for the application alone
      failed = true
      this.faults.report(error, { topic: message.topic }, 'a responder of the application failed')
    }
    const properties: PublishOptions['properties'] = {}
    if (correlationData !== undefined) properties.correlationData = correlationData
    if (failed) properties.userProperties = [[FAILED, 'the responder failed']]
    const response = { topic: responseTopic, payload: payload ?? '', qos: message.qos, properties }
    if (await this.isAllowed(message, response)) await this.host.publish(response)
  }

  /** The client chooses the topic of the response: it gets nothing published where it could not publish itself. */
  private async isAllowed({ publisher }: ApplicationMessage, response: PublishOptions): Promise<boolean> {
    const { properties = {}, qos = 0, topic } = response
    // a message that the store has kept does not say that a client has sent it
    if (publisher === undefined) return topic.startsWith(PREFIX)
    const payload = Buffer.alloc(0)
    return this.host.mayPublish(publisher, { topic, payload, qos, retain: false, willDelayInterval: 0, properties })
  }
}
