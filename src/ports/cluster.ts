import type { Change, QueueEntry, StoredMessage, StoredSessionState } from './store'

/**
 * What an engine of a cluster implements: the one place that all nodes share. It is trusted to do each call as a whole or not
 * at all, and to order what it does; it knows nothing of MQTT but the changes of the store port. ARCHITECTURE.md, "Several
 * nodes as one broker", tells the protocol that stands upon it.
 *
 * All numbers that an engine gives come from one counter and are never used twice, whatever is removed: the epoch of a node,
 * the epoch under which a node has a session. A node that joins again has another epoch, and is another node.
 *
 * An engine that cannot be reached makes its calls wait, and they take effect once, in the order in which they were made, as
 * soon as it is back. Two things end the wait with a rejection: `close`, and an answer of the engine that refuses the call.
 * A rejection says that nothing of the call was done, except after `close`, when it is not known. A refusal is an MqttError,
 * mostly GNATMQ_STORE_FAILED: no memory left, not writable, a foreign key. Bytes that are passed in are not to change
 * afterwards.
 */
export interface ClusterEngine {
  /**
   * Connects and joins. Rejects with GNATMQ_STORE_FAILED if the engine cannot be reached or used, with
   * GNATMQ_CLUSTER_NODE_ID while a node of the same name has a lease, and with GNATMQ_CLUSTER_FORMAT beside nodes of another
   * format. May be called again once the former member has been closed.
   */
  join(node: JoiningNode, events: EngineEvents): Promise<ClusterMember>
}

export interface JoiningNode {
  /** The name that the user knows it by. No two nodes with a lease have the same. */
  readonly nodeId: string
  /** What the others may read of it, such as its address. */
  readonly description: string
  /** Version of what nodes write for each other: frames, routes, records. */
  readonly format: number
  /** Milliseconds from each renewal, by the engine's clock, until others may bury the node. */
  readonly leaseMs: number
}

/** A node as the engine knows it, until its burial has ended. */
export interface ClusterNode {
  readonly epoch: number
  readonly nodeId: string
  readonly description: string
  /** Whether it has a lease. A node without one does nothing any more, and is to be buried. */
  readonly isAlive: boolean
  /** Which node buries it, or has begun to and died: then that one's burial waits until this one has ended. */
  readonly buriedBy: number | undefined
}

/**
 * What an engine tells without being asked. Each of these may be lost, and may come late: what depends on one is asked for
 * again after a while.
 */
export interface EngineEvents {
  /** Another node has sent this. */
  frame(bytes: Uint8Array): void
  /** Another node has claimed a session that this one holds: it is to end the connection and to release the session. */
  kicked(clientId: string): void
  /** A session that this node has claimed may now be taken. */
  released(clientId: string): void
  /** The engine cannot be reached. What waits goes on waiting. */
  unavailable(error: Error): void
  /** The engine can be reached again. */
  available(): void
}

/** What a transaction does, as a whole or not at all. */
export interface Transaction {
  /** Changes of sessions that this node holds, and of retained messages. They apply in their order. */
  readonly changes: readonly Change[]
  /** The epoch under which this node holds each session that `changes`, `adopted` or `released` names. */
  readonly epochs: ReadonlyMap<string, number>
  /**
   * The number of the route log that `frames` were routed by, also where that came to no frame at all: the transaction is
   * refused as stale if a binding entry came after it. undefined if nothing was routed.
   */
  readonly routedAt: number | undefined
  /** What goes into the inboxes of other nodes. */
  readonly frames: readonly OutgoingFrame[]
  /** Positions of this node's inbox that are dealt with: their frames go. */
  readonly taken: readonly string[]
  /** Sessions that were inherited from this dead node, and whose share of its inbox is among `changes`. */
  readonly adopted: readonly Adoption[]
  /**
   * Sessions that this node lets go of, after their changes. The node that one was passed to may then take it; without `pass`,
   * the node that has claimed it. One that nobody has claimed goes altogether if no head is stored for it, and otherwise stays
   * with this node.
   */
  readonly released: readonly string[]
}

export interface OutgoingFrame {
  readonly node: number
  readonly bytes: Uint8Array
}

export interface Adoption {
  readonly clientId: string
  readonly from: number
}

/**
 * What became of a transaction. All but `kept` say that nothing of it was done. Where several apply, the engine answers in this
 * order: lapsed, fenced, stale, gone.
 */
export type TransactionAnswer =
  | {
      readonly type: 'kept'
      /** The number of the last entry in the log of retained messages that it has made; 0 if none. */
      readonly retained: number
    }
  /** A binding route entry came after `routedAt`: what is to be read before it is routed again. */
  | { readonly type: 'stale'; readonly routes: LogNews<RouteEntry> }
  /** Targets without a lease: their routes go, or pass to others, when they are buried. */
  | { readonly type: 'gone'; readonly nodes: readonly number[] }
  /** Sessions that this node does not hold under the epoch that it gave. */
  | { readonly type: 'fenced'; readonly clientIds: readonly string[] }
  /** This node's lease is over. No call of this member changes anything any more. */
  | { readonly type: 'lapsed' }

/** What came to an inbox. */
export interface InboxFrame {
  /** Its place: positions of one inbox only grow, and are compared by the engine alone. */
  readonly position: string
  readonly origin: number
  /** What its transaction was routed by: every transaction after a binding route entry has at least its number here. */
  readonly routedAt: number
  readonly bytes: Uint8Array
}

/** A key of one node's table of routes: what it means, and its value, is the affair of the nodes. */
export interface RouteChange {
  readonly key: string
  /** undefined takes the key out of the table. */
  readonly value: Uint8Array | undefined
}

export interface RouteRow {
  /** Whose table it is in. */
  readonly node: number
  readonly key: string
  readonly value: Uint8Array
}

/** An entry in the log of routes. Numbers grow by one. */
export interface RouteEntry {
  readonly number: number
  readonly changes: readonly (RouteChange & { readonly node: number })[]
  /** Nodes that were buried: they have no table any more. */
  readonly buried: readonly number[]
}

/** An entry in the log of retained messages. Numbers grow by one, and are another sequence than those of routes. */
export interface RetainedEntry {
  readonly number: number
  /** Which node has stored it. */
  readonly node: number
  readonly topic: string
  /** undefined where the topic was cleared. */
  readonly message: StoredMessage | undefined
}

/**
 * Entries that follow the number that was asked for, without a gap. 'missed' says that the log has been trimmed beyond it:
 * the whole is to be read anew.
 */
export type LogNews<T> = readonly T[] | 'missed'

/**
 * A whole that is read in pages while it changes. A row may be older or newer than `number`. With every entry of the log after
 * `number` applied behind it, it is what the engine has: for that each entry sets a value, whatever was there before.
 */
export interface Snapshot<T> {
  readonly number: number
  readonly rows: AsyncIterable<readonly T[]>
}

/** How far a node has read. */
export interface Cursor {
  /** Position in its inbox, '' for the beginning. undefined: nothing of the inbox is wanted now. */
  readonly inbox: string | undefined
  readonly routes: number
  readonly retained: number
}

export interface News {
  readonly frames: readonly InboxFrame[]
  readonly routes: LogNews<RouteEntry>
  readonly retained: LogNews<RetainedEntry>
}

export interface Renewal {
  /** False if the lease was over: nothing renews it any more. */
  readonly isHeld: boolean
  /** All nodes, this one included. */
  readonly nodes: readonly ClusterNode[]
  /** Milliseconds since 1970 by the engine's clock: the only wall clock that nodes compare. */
  readonly time: number
}

/** A session that a node has claimed, or inherited. */
export interface Claim {
  readonly epoch: number
  /**
   * The node that still holds it: it has been told, and until it has released the session this node cannot change it. undefined
   * if this node holds the session now. It may be this node itself, while it passes the session to another one.
   */
  readonly heldBy: number | undefined
  /** Whether it is to be passed on as soon as this node holds it: another node has claimed it since. */
  readonly isClaimed: boolean
  /** What is stored of it: undefined if nothing, or if it was known to the nodes without being stored. Final only once it is held. */
  readonly state: StoredSessionState | undefined
}

/** A session that its holder passes to the node that has claimed it. */
export interface Passing {
  readonly clientId: string
  /** The epoch under which this node holds it. */
  readonly epoch: number
  /** What is changed in the table of the node that it is passed to. */
  readonly changes: readonly RouteChange[]
}

/** Where an entry in the log of routes stands. */
export interface LogPlace {
  readonly number: number
  /** The last position in the inbox of the node that made the entry, '' if nothing has come to it. */
  readonly inboxEnd: string
}

/** Who has a session. */
export interface Home {
  /** The node that has claimed it last. */
  readonly node: number
  readonly epoch: number
  /** The node that may change it: another one until that has released it. */
  readonly heldBy: number
}

/**
 * A node that has joined. Calls that change something take effect in the order in which they were made. Once the lease is
 * over they change nothing, however late they arrive.
 */
export interface ClusterMember {
  /** Of this node, fresh at each join. */
  readonly epoch: number
  /** Milliseconds since 1970 by the engine's clock, when it joined. */
  readonly joinedAt: number

  // --- membership

  /** Extends the lease to `leaseMs` from when the engine does this, which is not before the call. */
  renew(): Promise<Renewal>
  /** Gives the lease up at once: others bury this node without waiting. */
  leave(): Promise<void>
  /** Ends the connections. Calls that wait are rejected. The lease runs on. */
  close(): Promise<void>

  // --- routes and forwarding

  /**
   * Changes this node's table and adds one entry to the log. After a binding one no transaction is kept that was routed without
   * it. `inboxEnd` is the last position in this node's inbox at that moment: what lies behind it was routed with the entry
   * known. 'lapsed' if this node has no lease.
   */
  changeRoutes(changes: readonly RouteChange[], binding: boolean): Promise<LogPlace | 'lapsed'>
  /** The tables of all nodes. */
  routes(): Promise<Snapshot<RouteRow>>
  /** Sends a frame that may be lost. Frames of one node to another that arrive come in their order. */
  send(node: number, bytes: Uint8Array): void
  /** See Transaction. */
  transact(transaction: Transaction): Promise<TransactionAnswer>
  /**
   * What lies behind the cursor, and waits until there is something. Gives up to `limitBytes` of frames, more only if the first
   * one alone is larger. One such call at a time.
   */
  next(cursor: Cursor, limitBytes: number): Promise<News>

  // --- sessions

  /**
   * Makes this node the home of a session, whether there is one or not, and tells the node that holds it. Where this node
   * holds it itself and does not pass it to another one, the claim only gives a higher epoch. 'lapsed' if this node has no lease.
   */
  claim(clientId: string): Promise<Claim | 'lapsed'>
  /**
   * Settles to which node each of these sessions goes, that is the one that has claimed it last, and changes that one's table in one
   * binding entry of the log for all. Until `inboxEnd` messages for these sessions are for this node, behind that for the other one.
   * Other nodes may claim such a session meanwhile: it goes to the node that it was passed to all the same, which then passes it on.
   * `targets` has no row for a session that is not held under its epoch, or that nobody has claimed.
   */
  pass(sessions: readonly Passing[]): Promise<(LogPlace & { readonly targets: ReadonlyMap<string, number> }) | 'lapsed'>
  /**
   * Takes a claimed session over once its former holder has released it; until then tells that one again, and answers as
   * `claim` does. undefined if another node has claimed it since, and it was not passed to this one; or if this node has no lease.
   * A holder without a lease is not passed over: whatever lies in its inbox for the session comes first, so its burial releases
   * the session.
   */
  take(clientId: string, epoch: number): Promise<Claim | undefined>
  home(clientId: string): Promise<Home | undefined>
  /** Up to `limit` entries of a session's queue with a position above `after`, in ascending order. */
  queue(clientId: string, after: number, limit: number): Promise<readonly QueueEntry[]>
  /** The held identifiers of a session, in any order. */
  held(clientId: string): Promise<readonly number[]>

  // --- burial

  /**
   * Begins, or goes on with, the burial of a node without a lease. False if it has one, is buried, or another node that is
   * alive does it.
   */
  bury(node: number): Promise<boolean>
  /** What a node that this one buries has left in its inbox, behind a position. */
  inboxOf(node: number, after: string, limitBytes: number): Promise<readonly InboxFrame[]>
  /**
   * Up to `limit` sessions that a node has claimed, holds or is passed. Of one that this node buries: those that are not adopted
   * yet.
   */
  sessionsOf(node: number, limit: number): Promise<readonly string[]>
  /**
   * Puts this node in the place of the one that it buries, under a fresh epoch: it is home for the session, holds it, or is passed
   * it, where that one was. The session stays one of the dead node's until a transaction adopts it, so that a second burial begins
   * with it where the first one was cut short; only then is what lay in the dead node's inbox for it not needed any more.
   * undefined if the dead node has it no more, or if this one does not bury it.
   */
  inherit(clientId: string, from: number): Promise<Claim | undefined>
  /** Removes all that is left of a node: its inbox, its routes (one entry in the log), its name. False while it has sessions. */
  endBurial(node: number): Promise<boolean>

  // --- retained messages

  /** Every retained message. Its `number` is one of the log of retained messages. */
  retained(): Promise<Snapshot<StoredMessage>>
}
