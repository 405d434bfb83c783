import type { QoS } from '../protocol/packet'

/**
 * What a store keeps of an application message. Several changes of one commit may refer to the same object:
 * it is then one message, which a store may write once.
 */
export interface StoredMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: QoS
  /** Content of the MQTT 5.0 property block, without its length, expiry, alias and subscription identifiers. */
  readonly properties: Uint8Array | undefined
  /** Milliseconds since 1970, or undefined when the message does not expire. */
  readonly expiresAt: number | undefined
}

/** How a message came to the one member of a shared group that has it. */
export interface StoredShare {
  /** The filter of the group, `$share/NAME/` included. */
  readonly filter: string
  /** The RETAIN flag that it was published with: another member may have Retain As Published. */
  readonly retain: boolean
}

/** A message in the queue of one session, from its arrival until its last acknowledgement. */
export interface QueueEntry {
  /** Grows with each message of the session; never used twice. Its order is the order of delivery. */
  readonly position: number
  readonly message: StoredMessage
  /** The QoS that this session gets it with: 0 only if the broker is set to queue QoS 0. */
  readonly qos: QoS
  /** The RETAIN flag that it is delivered with. */
  readonly retain: boolean
  /** MQTT 5.0 section 3.3.2.3.8; empty if none. */
  readonly subscriptionIdentifiers: readonly number[]
  /** What it takes to hand it on to another member of its group (MQTT 5.0 section 4.8.2); undefined if it has none. */
  readonly share: StoredShare | undefined
  /** 0 until it is sent for the first time. */
  readonly packetIdentifier: number
  /** True once its PUBREC has arrived: what is sent again is PUBREL. */
  readonly received: boolean
}

/** A subscription of a session. `filter` includes `$share/NAME/` where it is shared. */
export interface StoredSubscription {
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  /** 0 if none. */
  readonly subscriptionIdentifier: number
  /**
   * While retained messages are still to come because of the SUBSCRIBE: the topic of the last one that came, empty before the
   * first. A store that does not keep it does not send those that are left after a restart.
   */
  readonly replayAfter?: string
}

/** A Will that waits for the connection to end, for its delay (MQTT 5.0 section 3.1.3.2.2), or for `authorizePublish`. */
export interface StoredWill {
  readonly message: StoredMessage
  readonly retain: boolean
  /** Seconds. */
  readonly delayInterval: number
  /** Seconds from its publishing, or undefined when the Will does not expire. */
  readonly messageExpiryInterval: number | undefined
}

/** The head of a session: all but its subscriptions, its queue and its held identifiers. */
export interface StoredSession {
  readonly clientId: string
  readonly username: string | undefined
  /** Seconds; 0xFFFFFFFF never expires. */
  readonly expiryInterval: number
  /** Milliseconds since 1970 when the connection ended; 0 while it lasts, and after a crash. */
  readonly disconnectedAt: number
  readonly will: StoredWill | undefined
}

/** What `sessions()` gives for each session at start-up. */
export interface StoredSessionState {
  readonly session: StoredSession
  readonly subscriptions: readonly StoredSubscription[]
  readonly queuedMessages: number
  readonly queuedBytes: number
  /** The highest position ever used, 0 if none: positions go on from here. */
  readonly lastPosition: number
}

/** One step of a commit. Steps apply in their order; a step for a session that does not exist does nothing. */
export type Change =
  /** Adds a session, or replaces the head of one. */
  | { readonly type: 'session'; readonly session: StoredSession }
  /** Removes a session with its subscriptions, queue and held identifiers. */
  | { readonly type: 'end'; readonly clientId: string }
  /** Adds a subscription, or replaces the one with the same filter. */
  | { readonly type: 'subscribe'; readonly clientId: string; readonly subscription: StoredSubscription }
  | { readonly type: 'unsubscribe'; readonly clientId: string; readonly filter: string }
  /** Adds an entry. `replaces`: it takes the place of the one that is stored at its position. */
  | { readonly type: 'enqueue'; readonly clientId: string; readonly entry: QueueEntry; readonly replaces?: true }
  /** An entry was sent: from now on it has a Packet Identifier. */
  | { readonly type: 'assign'; readonly clientId: string; readonly position: number; readonly packetIdentifier: number }
  /** The PUBREC of an entry arrived: its message may be forgotten, its Packet Identifier may not. */
  | { readonly type: 'received'; readonly clientId: string; readonly position: number }
  /** An entry is acknowledged, dropped or expired. */
  | { readonly type: 'dequeue'; readonly clientId: string; readonly position: number }
  /** A QoS 2 message was received from the session's client and not yet released. */
  | { readonly type: 'hold'; readonly clientId: string; readonly packetIdentifier: number }
  | { readonly type: 'release'; readonly clientId: string; readonly packetIdentifier: number }
  /** Stores the retained message of a topic. */
  | { readonly type: 'retain'; readonly message: StoredMessage }
  /** Removes the retained message of a topic. */
  | { readonly type: 'clear'; readonly topic: string }

/**
 * Where sessions, queues and retained messages survive.
 *
 * A store may answer each call at once or with a promise. While a promise of `commit` is open, further commits answer
 * with promises too, and they settle in the order of the calls. A throw or a rejection says that nothing of that
 * commit was kept; the broker then acknowledges nothing of it.
 */
export interface Store {
  /** Called once before anything else. Rejects if what is stored cannot be read: a store never begins empty instead. */
  open(): void | Promise<void>
  /** Called once after everything else; every commit has settled. */
  close(): void | Promise<void>
  /** Applies all changes or none. Once it has answered, they survive whatever the store promises to survive. */
  commit(changes: readonly Change[]): void | Promise<void>
  /** Every session. Called after `open`, before the first commit. */
  sessions(): Iterable<StoredSessionState> | AsyncIterable<StoredSessionState>
  /** Every retained message. Called after `open`, before the first commit. */
  retained(): Iterable<StoredMessage> | AsyncIterable<StoredMessage>
  /** Up to `limit` entries of a session's queue with a position above `after`, in ascending order. */
  queue(clientId: string, after: number, limit: number): readonly QueueEntry[] | Promise<readonly QueueEntry[]>
  /** The held identifiers of a session, in any order. */
  held(clientId: string): readonly number[] | Promise<readonly number[]>
}
