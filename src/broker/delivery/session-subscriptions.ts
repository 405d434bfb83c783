import type { EventEmitter } from 'eventemitter3'
import type { Clock } from '../../ports/clock'
import type { BrokerEvents } from '../../ports/events'
import { invalidValue } from '../../ports/given-values'
import type { Logger } from '../../ports/logger'
import type { ApplicationFaults } from '../hooks/application-faults'
import type { MessageHandler } from './handled-messages'
import { type ApplicationHost, SessionSubscription } from './session-subscription'
import type { SubscribeOptions } from './subscribe-options'

/** Ends a subscription. With `forget` a durable session ends too, with all that waits in it. */
export type EndSubscription = (how?: { forget?: boolean }) => void

export interface SessionSubscriptionsParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly faults: ApplicationFaults
  readonly events: Pick<EventEmitter<BrokerEvents>, 'emit'>
}

/** The subscriptions of the application that have sessions. They outlast the runs of the broker. */
export class SessionSubscriptions {
  private readonly parts: SessionSubscriptionsParts
  private readonly all = new Set<SessionSubscription>()

  constructor(parts: SessionSubscriptionsParts) {
    this.parts = parts
  }

  /** The broker starts. One that is refused is tried again later. */
  async openAll(host: ApplicationHost): Promise<void> {
    await Promise.all([...this.all].map((subscription) => subscription.open(host).catch(() => undefined)))
  }

  /** The broker stops. */
  pauseAll(): void {
    for (const subscription of this.all) subscription.pause()
  }

  /** `host` is null while the broker does not run. Rejects with MqttError where the broker refuses it. */
  async begin(
    filter: string,
    options: SubscribeOptions,
    handler: MessageHandler,
    host: ApplicationHost | null,
  ): Promise<EndSubscription> {
    const { durable } = options
    for (const { options: others } of this.all)
      if (durable !== undefined && others.durable === durable)
        throw invalidValue('durable', 'a name that no other subscription has', durable)
    const subscription = this.make(filter, options, handler)
    this.all.add(subscription)
    const end: EndSubscription = ({ forget = false } = {}) => {
      if (!this.all.has(subscription)) return
      subscription.end(forget)
      this.all.delete(subscription)
    }
    if (host === null) return end
    try {
      await subscription.open(host)
    } catch (error) {
      end()
      throw error
    }
    return end
  }

  private make(filter: string, options: SubscribeOptions, handler: MessageHandler): SessionSubscription {
    const { clock, events, faults, logger } = this.parts
    const { durable } = options
    return new SessionSubscription(filter, options, handler, clock, {
      failed: (error, message, attempts) => {
        const fields = { topic: message.topic, filter, durable, attempts }
        faults.report(error, fields, 'a handler of the application failed')
        events.emit('handlerFailed', error, message, { filter, durable, attempts })
      },
      lost: (err) => {
        logger.warn({ err, filter, durable }, 'a subscription of the application is lost, and is tried again')
      },
    })
  }
}
