import type { QoS } from '../protocol/packet'
import type { Client } from './client'
import { givenInteger, givenSignal, givenString, readFields } from './given-values'
import type { DroppedMessages } from './statistics'

/** Where a list begins and how long it is. */
export interface ListOptions<Cursor = string> {
  /** Items at the most. Default: all. */
  limit?: number | undefined
  /** The item that comes before the first; it need not be there any more. Default: the list from its beginning. */
  after?: Cursor | undefined
  /** Ends the list. */
  signal?: AbortSignal | undefined
}

/** The place of a subscription in the list of all. */
export interface SubscriptionCursor {
  readonly clientId: string
  readonly filter: string
}

export interface SubscriptionListOptions extends ListOptions<SubscriptionCursor> {
  /** Lists those of one session only. */
  clientId?: string | undefined
}

/** What holds for one session. */
export interface SessionBounds {
  /** Bytes of a packet that the client takes; the largest that MQTT has where it is absent or has said nothing. */
  maximumPacketSize: number
  /** Topic Aliases that the broker may use towards the client. */
  topicAliasMaximum: number
  maximumQueuedMessages: number
  maximumQueuedBytes: number
  maximumInflightBytes: number
}

/** What waits in a session, and has not been sent. */
export interface QueueInfo {
  messages: number
  bytes: number
  /** Those of the messages that lie in the store alone. */
  storedMessages: number
  /** When the oldest unacknowledged message came, sent or not; undefined where nothing waits, or its age is not known, as after a restart. */
  oldestAt: Date | undefined
}

/** The Will of a session. */
export interface WillInfo {
  topic: string
  qos: QoS
  retain: boolean
  /** Bytes of the payload. */
  size: number
  /** Seconds from the end of the connection. */
  delayInterval: number
  /** When it is published; undefined while its client is connected. */
  dueAt: Date | undefined
}

/** A session as it is at the moment. What changes later does not change this. */
export interface SessionInfo<Data = unknown> {
  clientId: string
  username: string | undefined
  /** The connected client; undefined while it is absent. */
  client: Client<Data> | undefined
  /** Whether it is kept when the connection ends. */
  durable: boolean
  /** Seconds; 0xFFFFFFFF is for ever. */
  expiryInterval: number
  /** When it ends, unless its client comes back; undefined while that is connected, and where it does not end. */
  expiresAt: Date | undefined
  limits: SessionBounds
  /** Messages of QoS 1 and 2 that may be sent and not acknowledged. */
  window: number
  /** Messages that are. */
  inflightMessages: number
  /** Bytes of those that the broker keeps, to send them again. */
  inflightBytes: number
  /** Messages of QoS 2 that the client has sent and not released. */
  heldMessages: number
  queue: QueueInfo
  /** Bytes that wait for the client to read. */
  outgoingBytes: number
  /** Messages that it did not get since the session began, or the broker started. */
  dropped: DroppedMessages
  subscriptions: number
  will: WillInfo | undefined
}

/** A subscription of a session. */
export interface SubscriptionInfo {
  clientId: string
  /** As subscribed to, `$share/NAME/` included. */
  filter: string
  /** As granted. */
  qos: QoS
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
  subscriptionIdentifier: number | undefined
  /** The Share Name of a shared subscription. */
  shareName: string | undefined
}

/** Checks the options of a list whose cursor is a string. Throws GNATMQ_OPTION_INVALID or GNATMQ_OPTION_UNKNOWN. */
export function givenListOptions(what: string, given: unknown): ListOptions {
  const { limit, after, signal } = readFields(what, given, ['limit', 'after', 'signal'])
  return { ...bounds(limit, signal), after: after === undefined ? undefined : givenString('after', after) }
}

/** The same for a list of subscriptions. */
export function givenSubscriptionList(given: unknown): SubscriptionListOptions {
  const fields = readFields('subscriptions', given, ['limit', 'after', 'signal', 'clientId'])
  const { limit, after, signal, clientId } = fields
  return {
    ...bounds(limit, signal),
    after: after === undefined ? undefined : givenCursor(after),
    clientId: clientId === undefined ? undefined : givenString('clientId', clientId),
  }
}

function givenCursor(given: unknown): SubscriptionCursor {
  const { clientId, filter } = readFields('after', given, ['clientId', 'filter'], 'passed over')
  return { clientId: givenString('after.clientId', clientId), filter: givenString('after.filter', filter) }
}

function bounds(limit: unknown, signal: unknown): Pick<ListOptions, 'limit' | 'signal'> {
  const isAll = limit === undefined || limit === Number.POSITIVE_INFINITY
  return {
    limit: isAll ? undefined : givenInteger('limit', limit, 1, Number.MAX_SAFE_INTEGER),
    signal: signal === undefined ? undefined : givenSignal(signal),
  }
}
