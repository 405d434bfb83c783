import { type Channel, channel } from 'node:diagnostics_channel'
import type { BrokerEvents } from '../../ports/events'

type Name = keyof BrokerEvents

/** The channel of each event, and the names of what it is called with. */
const table: Readonly<Record<Name, readonly [channel: string, ...values: string[]]>> = {
  clientConnected: ['gnatmq:client:connected', 'client'],
  clientDisconnected: ['gnatmq:client:disconnected', 'client', 'reason'],
  clientError: ['gnatmq:client:error', 'error', 'peer', 'client', 'details'],
  subscribed: ['gnatmq:client:subscribed', 'client', 'subscription'],
  unsubscribed: ['gnatmq:client:unsubscribed', 'client', 'filter'],
  published: ['gnatmq:message:published', 'message', 'client'],
  messageDropped: ['gnatmq:message:dropped', 'dropped'],
  messageAcknowledged: ['gnatmq:message:acknowledged', 'acknowledged', 'client'],
  retainedChanged: ['gnatmq:retained:changed', 'topic', 'message'],
  sessionCreated: ['gnatmq:session:created', 'client'],
  sessionResumed: ['gnatmq:session:resumed', 'client'],
  sessionEnded: ['gnatmq:session:ended', 'clientId', 'why'],
  handlerFailed: ['gnatmq:handler:failed', 'error', 'message', 'failure'],
  listening: ['gnatmq:broker:listening', 'address'],
  restoring: ['gnatmq:broker:restoring', 'progress'],
  storeError: ['gnatmq:store:error', 'error'],
  closed: ['gnatmq:broker:closed'],
}

/** The events of a broker as channels of `node:diagnostics_channel`, for tools that do not have the broker at hand. */
export class EventChannels {
  private readonly channels: Readonly<Record<Name, Channel>>

  constructor() {
    const channels = Object.entries(table).map(([event, [name]]) => [event, channel(name)] as const)
    this.channels = Object.fromEntries(channels) as Record<Name, Channel>
  }

  hasSubscribers(event: Name): boolean {
    return this.channels[event]?.hasSubscribers === true
  }

  /** Publishes an object with the broker, and with each value by its name. */
  publish(event: Name, broker: object, values: readonly unknown[]): void {
    const message: Record<string, unknown> = { broker }
    const [, ...names] = table[event]
    names.forEach((name, i) => {
      message[name] = values[i]
    })
    this.channels[event].publish(message)
  }
}
