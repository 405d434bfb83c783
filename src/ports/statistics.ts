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
  /** Subscriptions of shared groups; they are among `subscriptions` too. */
  sharedSubscriptions: number
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
  /** Connections that were let in since the start, before their CONNECT. */
  acceptedConnections: number
  /** CONNECT packets that were accepted since the start. */
  acceptedClients: number
  /** The most clients that were connected at a time since the start. */
  maximumClients: number
  /** Sessions whose Session Expiry Interval was over, since the start. */
  expiredSessions: number
  /** Commits that the store was asked for since the start. */
  commits: number
  /** Those of them that it refused. */
  refusedCommits: number
  /** Milliseconds that the store took for those that it did not answer at once. */
  commitMs: number
}

/** How often something had which size, or took how long. */
export interface HistogramCounts {
  /** The upper bounds of the buckets, each with its value; one more bucket has what is above the last. */
  readonly bounds: readonly number[]
  /** What each bucket has, without those before it. */
  readonly counts: readonly number[]
  readonly sum: number
  readonly count: number
}

/** What a running broker has measured since it was first asked. */
export interface BrokerHistograms {
  /** PUBLISH packets of clients. */
  readonly messageBytes: HistogramCounts
  /** Commits that the store did not answer at once. */
  readonly commitSeconds: HistogramCounts
  /** Hooks that answered with a promise. */
  readonly hookSeconds: HistogramCounts
  /** How much later than it should a timer came, ten times a second. */
  readonly loopDelaySeconds: HistogramCounts
}
