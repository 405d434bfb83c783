import type { MqttError } from '../protocol/mqtt-error'
import type { QoS } from '../protocol/packet'
import type { ApplicationMessage } from './application-message'
import type { Client } from './client'
import type { ListenerAddress, Peer } from './listener'
import type { DroppedMessages } from './statistics'

/** Why a connection ended. */
export interface DisconnectReason {
  /** MQTT 5.0 Reason Code: the client's own in its DISCONNECT, or ours. 0 for a clean end. */
  reasonCode: number
  /** True when the client sent DISCONNECT. */
  byClient: boolean
  /** What went wrong, if anything did. */
  error: MqttError | undefined
}

/** What is known of the client that an error is about, also before its CONNECT was accepted. */
export interface ErrorDetails {
  /** As the client claims it. */
  clientId: string | undefined
  /** As the client claims it. */
  username: string | undefined
  /** The Topic Name or Topic Filter that was denied. */
  topic: string | undefined
  /** The path of the WebSocket request, without its query. */
  path: string | undefined
}

/** A subscription as an event tells of it. */
export interface SubscriptionEvent {
  filter: string
  /** As granted. */
  qos: QoS
}

/** Messages that one session did not get. */
export interface MessageDrop {
  clientId: string
  /** Undefined where the broker does not know it any more: of some that have expired in a store. */
  topic: string | undefined
  reason: keyof DroppedMessages
  /** 1 nearly always. */
  messages: number
}

/** A message that its receiver has acknowledged: with PUBACK, or with PUBCOMP. */
export interface MessageAcknowledgement {
  /** Undefined where the message was sent before the event had a listener, to a session that ends with its connection. */
  topic: string | undefined
  packetIdentifier: number
}

/**
 * Why a session has ended: its Session Expiry Interval was over, or its connection and it was not to be kept; a client began anew with its
 * Client Identifier; the application has revoked the rights of its client, or deleted it.
 */
export type SessionEndReason = 'expired' | 'disconnected' | 'replaced' | 'revoked' | 'deleted'

/** How far `start()` is with what the store has kept. */
export interface RestoreProgress {
  sessions: number
  retainedMessages: number
  done: boolean
}

/** What is known of a handler that failed. */
export interface HandlerFailure {
  filter: string
  /** The name of the durable subscription; undefined for one that is not. */
  durable: string | undefined
  /** How often it has been tried with this message. */
  attempts: number
}

/** The events of a broker and what each is called with. */
export interface BrokerEvents<Data = unknown> {
  /** Once per accepted client, after its CONNACK was written. */
  clientConnected: [client: Client<Data>]
  /** Once for each `clientConnected`. */
  clientDisconnected: [client: Client<Data>, reason: DisconnectReason]
  /** A peer that was refused, or a client that broke the rules. `client` is undefined before its CONNECT was accepted. */
  clientError: [error: MqttError, peer: Peer, client: Client<Data> | undefined, details: ErrorDetails]
  /** A message that was accepted and routed; `client` is undefined when the application published it. */
  published: [message: ApplicationMessage, client: Client<Data> | undefined]
  /** A session did not get a message. Told of after the step in which it happens. */
  messageDropped: [dropped: MessageDrop]
  /** A client has acknowledged a message of QoS 1 or 2. */
  messageAcknowledged: [acknowledged: MessageAcknowledgement, client: Client<Data>]
  /** What a topic retains was set, replaced or cleared, or has expired; `message` is what it retains now. */
  retainedChanged: [topic: string, message: ApplicationMessage | undefined]
  /** A client has a new session: once for each `clientConnected`, or else `sessionResumed`. */
  sessionCreated: [client: Client<Data>]
  /** A client has come back to its session. */
  sessionResumed: [client: Client<Data>]
  /** A session of a client has ended with all that waited in it. */
  sessionEnded: [clientId: string, why: SessionEndReason]
  subscribed: [client: Client<Data>, subscription: SubscriptionEvent]
  unsubscribed: [client: Client<Data>, filter: string]
  /** The handler of a subscription of the application threw or rejected. With QoS 1 and 2 the message comes again. */
  handlerFailed: [error: unknown, message: ApplicationMessage, failure: HandlerFailure]
  listening: [address: ListenerAddress]
  /** While `start()` reads what the store has kept, and once when it is done. */
  restoring: [progress: RestoreProgress]
  /** A commit failed: nothing of it is acknowledged. Once a failed commit. */
  storeError: [error: MqttError]
  closed: []
}
