import type { ApplicationMessage } from '../../ports/application-message'
import type { ClientDisconnectOptions } from '../../ports/client'
import { type ExplainRequest, type Explanation, givenExplainRequest } from '../../ports/explanation'
import { givenString } from '../../ports/given-values'
import {
  givenListOptions,
  givenSubscriptionList,
  type ListOptions,
  type SessionInfo,
  type SubscriptionInfo,
  type SubscriptionListOptions,
} from '../../ports/inspection'
import type { BrokerHistograms } from '../../ports/statistics'
import {
  givenTraceOptions,
  givenTraceTarget,
  type TraceOptions,
  type TraceStream,
  type TraceTarget,
} from '../../ports/trace'
import { MqttError } from '../../protocol/mqtt-error'
import { topicFilterError } from '../../protocol/topic'
import { GuardedEvents } from '../hooks/guarded-events'
import type { Inspection } from './inspection'

/**
 * What a broker shows of itself while it runs, and what its application ends there. All of it throws or rejects with
 * GNATMQ_NOT_RUNNING where the broker does not run, and with GNATMQ_OPTION_INVALID or GNATMQ_OPTION_UNKNOWN for wrong arguments.
 */
export abstract class InspectableBroker<Data> extends GuardedEvents<Data> {
  /** Throws GNATMQ_NOT_RUNNING. */
  protected abstract inspection(operation: string): Inspection

  /**
   * Every session, of clients and of the application itself, in the order of the Client Identifiers. The list is made while it is read, and
   * others have their turn meanwhile; the loop throws GNATMQ_NOT_RUNNING where the broker stops before its end.
   */
  sessions(options: ListOptions = {}): AsyncIterableIterator<SessionInfo<Data>> {
    const given = givenListOptions('sessions', options)
    return this.inspection('sessions').inspector.sessions(given) as AsyncGenerator<SessionInfo<Data>>
  }

  /** The session of a Client Identifier; undefined if there is none. */
  async session(clientId: string): Promise<SessionInfo<Data> | undefined> {
    const given = givenString('clientId', clientId)
    return this.inspection('session').inspector.session(given) as SessionInfo<Data> | undefined
  }

  /** Every subscription of sessions, or those of one, in the order of the Client Identifiers and of the filters of each. */
  subscriptions(options: SubscriptionListOptions = {}): AsyncIterableIterator<SubscriptionInfo> {
    const given = givenSubscriptionList(options)
    return this.inspection('subscriptions').inspector.subscriptions(given)
  }

  /**
   * The retained messages whose topics match, level by level in the order of the topics; `#` leaves out those that begin with `$`. Throws
   * GNATMQ_TOPIC_FILTER_INVALID besides.
   */
  retained(filter = '#', options: ListOptions = {}): AsyncIterableIterator<ApplicationMessage> {
    const given = givenString('the Topic Filter', filter)
    const error = topicFilterError(given, Number.POSITIVE_INFINITY)
    if (error !== undefined) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
    const list = givenListOptions('retained', options)
    return this.inspection('retained').inspector.retained(given, list)
  }

  /** Ends the connection of a client, as `client.disconnect` does. False if the client is not connected. */
  disconnect(clientId: string, reasonCode?: number, options?: ClientDisconnectOptions): boolean {
    const given = givenString('clientId', clientId)
    return this.inspection('disconnect').inspector.disconnect(given, reasonCode, options)
  }

  /**
   * Ends a session with its subscriptions and all that waits in it, and the connection of its client. Its Will is published. Resolves to false
   * if there is none, or if it belongs to a subscription of the application that goes on. Rejects with GNATMQ_STORE_FAILED besides.
   */
  async deleteSession(clientId: string): Promise<boolean> {
    const given = givenString('clientId', clientId)
    return this.inspection('deleteSession').inspector.deleteSession(given)
  }

  /** Deletes the retained message of a topic. Resolves to false if there is none. Rejects with GNATMQ_STORE_FAILED besides. */
  async deleteRetained(topic: string): Promise<boolean> {
    const given = givenString('topic', topic)
    return this.inspection('deleteRetained').inspector.deleteRetained(given)
  }

  /**
   * Follows one client, or the messages of a Topic Filter: every packet, as it comes and as it is sent, and what the broker decides, for a
   * `for await` loop. Begins at once, and ends with `stop()`. A loop that is too slow loses the oldest entries. Throws
   * GNATMQ_TOPIC_FILTER_INVALID besides.
   */
  trace(target: TraceTarget, options: TraceOptions = {}): TraceStream {
    const given = givenTraceTarget(target)
    const bounds = givenTraceOptions(options)
    return this.inspection('trace').tracing.open(given, bounds)
  }

  /** Histograms of sizes and times, which the broker measures from the first call after `start()` on. */
  histograms(): BrokerHistograms {
    return this.inspection('histograms').histograms
  }

  /**
   * Says why a client gets a message to a topic that is published now, or does not, and what was lost before: each thing that the broker looks
   * at, with its verdict. `authorizeDelivery` is asked about a message without payload, and with `publisher` `authorizePublish` too.
   */
  async explain(request: ExplainRequest): Promise<Explanation> {
    const given = givenExplainRequest(request)
    return this.inspection('explain').explainer.explain(given)
  }
}
