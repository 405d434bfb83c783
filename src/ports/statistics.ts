import type { MqttErrorCode } from '../protocol/mqtt-error'

/** Counts by QoS. */
export interface CountsByQoS {
  qos0: number
  qos1: number
  qos2: number
}

/** Messages that one receiver did not get, by reason. */
export interface DroppedMessages {
  /** QoS 0, while too many bytes waited for a client that read too slowly. */
  slowReader: number
  /** The queue of the session, or the budget of all queues, was full. */
  queueFull: number
  /** The Message Expiry Interval was over before the message was sent. */
  expired: number
  /** Larger than the Maximum Packet Size of the client. */
  tooLarge: number
  /** `authorizeDelivery` denied it. */
  notAuthorized: number
}

/** Counts of a running broker. */
export interface BrokerStatistics {
  /** Open connections, before and after their CONNECT. */
  connections: number
  clients: number
  sessions: number
  subscriptions: number
  retainedMessages: number
  /** Bytes of retained payloads, properties and topics. */
  retainedBytes: number
  /** Messages that wait in sessions, whether in memory or in the store. */
  queuedMessages: number
  queuedBytes: number
  /** Bytes that wait for slow readers. */
  outgoingBytes: number
  /** Bytes of memory that clients make the broker hold, as `limits.memory` counts them. */
  memoryBytes: number
  /** Messages that a slow reader, a full queue, an expiry, a Maximum Packet Size or `authorizeDelivery` cost. */
  droppedMessages: number
  /** The same by reason. */
  dropped: DroppedMessages
  /** PUBLISH packets of clients since the start, whatever became of them. */
  receivedMessages: CountsByQoS
  /** PUBLISH packets to clients since the start, those that were sent again included. */
  sentMessages: CountsByQoS
  /** Bytes of MQTT packets since the start, without those of TLS and WebSocket. */
  receivedBytes: number
  sentBytes: number
  /** Subscriptions that were refused with 0x97, since the start. */
  refusedSubscriptions: number
  /** Messages that were not retained because of a bound, since the start. */
  refusedRetainedMessages: number
  /** Connections that were refused before their CONNECT was accepted, since the start, by the code of the error. */
  refusedConnections: Partial<Record<MqttErrorCode, number>>
  /** Commits that the store was asked for since the start. */
  commits: number
  /** Those of them that it refused. */
  refusedCommits: number
  /** Milliseconds that the store took for those that it did not answer at once. */
  commitMs: number
}
