import type { DropReason } from '../protocol/drop-reason'
import type { Message } from '../protocol/message'
import type { Output } from '../protocol/output'
import type { QoS } from '../protocol/packet'
import type { Delivery } from './delivery'
import { DeliveryQueue } from './delivery-queue'
import { IdentifierSet } from './identifier-set'
import { Inflight } from './inflight'
import type { Journal } from './journal'
import type { OutgoingAliases } from './outgoing-aliases'
import { QueueAccount } from './queue-account'
import type { QueueBudget } from './queue-budget'
import { type LostMessage, SessionDrops } from './session-drops'
import { type SessionEvent, SessionState, sessionTable } from './session-state'
import { StoredExpiries } from './stored-expiries'
import { StoredSide } from './stored-part'

/** 0xFFFFFFFF: the session does not expire (MQTT 5.0 section 3.1.2.11.2). */
export const NEVER_EXPIRES = 0xffffffff

/** What is done when a queue is full. */
export type OverflowPolicy = 'drop-newest' | 'drop-oldest' | 'disconnect'

/** What bounds a session. One object serves for all sessions of a broker. */
export interface SessionLimits {
  /** Messages sent and not acknowledged, at the most, whatever the client allows. */
  readonly maximumInflight: number
  /** Messages that wait, at the most. */
  readonly maximumQueuedMessages: number
  /** Bytes of messages in flight, at the most: what comes behind them waits. One message may always be. */
  readonly maximumInflightBytes: number
  /** Bytes of messages that wait, at the most. */
  readonly maximumQueuedBytes: number
  readonly overflow: OverflowPolicy
  /** What bounds all sessions together. */
  readonly budget: QueueBudget<Session>
  /** Whether QoS 0 messages wait for an offline session too. */
  readonly queueQoS0: boolean
}

/**
 * One client's state (section 4.1). It outlives its connection when it is durable. What a session does not use, it
 * does not hold: the parts are made when they are first needed.
 */
export class Session extends StoredSide {
  readonly clientId: string
  /** Those of all sessions, or of its client. */
  limits: SessionLimits
  username: string | undefined = undefined
  /** Its bytes in the memory budget, without its queue. Set by the registry. */
  headCost = 0
  /** Bytes of the Will of its connection in the memory budget. */
  willCost = 0
  /** Seconds after the connection's end; 0 ends with it. */
  expiryInterval = 0
  /** `clock.now()` when an offline session ends; 0 while it is connected. */
  expiresAt = 0
  /** Where packets go; null while offline. */
  output: Output | null = null
  /** Told of changes when the session outlives its connection; null otherwise. */
  journal: Journal | null = null
  /** The smaller of the client's Receive Maximum and our own. */
  window: number
  inflight: Inflight | null = null
  queue: DeliveryQueue | null = null
  /** What `queue` and the store count for together. */
  private account: QueueAccount<Session> | null = null
  /** Its queue has been discarded: what is still in flight counts no more. */
  private isDiscarded = false
  /** Identifiers of QoS 2 messages received and not yet released. */
  held: IdentifierSet | null = null
  outgoingAliases: OutgoingAliases | null = null
  /** Whether the client may be sent a message with this QoS; null where nothing asks. */
  gate: ((message: Message, qos: QoS) => boolean) | null = null
  /**
   * Takes a message of a shared group that the client may not have, or cannot take, and its dequeueing with it; null
   * where nothing does.
   */
  refused: ((session: Session, delivery: Delivery, reason: DropReason) => void) | null = null
  /** The position given last. */
  lastPosition = 0
  /** Identifiers of what is to be sent again, once the window allows. */
  toResend: number[] | null = null
  /** The highest position that has been in memory: what waits behind it lies in the store alone. */
  lastLoaded = 0
  /** What it has lost; null as long as that is nothing. */
  drops: SessionDrops | null = null
  /** True when the store holds inflight and held identifiers that are not yet in memory. */
  unread = false
  /** Its place among the receivers of a message that is being sent in slices and is still to come to it, counted from 1; 0 if none is. */
  fanoutPlace = 0
  private state: SessionState = SessionState.Connected
  /** Connections that it has had; one stands for all of a former run. */
  connectionCount = 0

  constructor(clientId: string, limits: SessionLimits) {
    super()
    this.clientId = clientId
    this.limits = limits
    this.window = limits.maximumInflight
  }

  /** Whether its connection closes because the store has refused a packet: what comes behind that comes again. */
  get isRefused(): boolean {
    return this.refusedConnection === this.connectionCount
  }

  /** True once nothing belongs to it any more: its client begins anew. */
  get ended(): boolean {
    return this.state === SessionState.Ended
  }

  /** True once a CONNACK has told a client of it: until then no client relies on it. */
  get accepted(): boolean {
    return this.connectionCount > 0
  }

  /** Moves it on in its life. */
  advance(event: SessionEvent): void {
    const next = sessionTable[this.state][event]
    if (next === null) throw new Error(`a session in state ${this.state} has no event ${event}`)
    this.state = next
  }

  /** Whether the session survives its connection. */
  get durable(): boolean {
    return this.journal !== null
  }

  get inflightCount(): number {
    return this.inflight === null ? 0 : this.inflight.count
  }

  get queuedMessages(): number {
    return this.account === null ? 0 : this.account.messages
  }

  get queuedBytes(): number {
    return this.account === null ? 0 : this.account.bytes
  }

  /** When the first of the messages that wait expires, as far as that is known; Infinity if none does. */
  get earliestExpiry(): number {
    const queued = this.queue === null ? Number.POSITIVE_INFINITY : this.queue.earliestExpiry
    return this.storedExpiries === null ? queued : Math.min(queued, this.storedExpiries.earliest)
  }

  /** The queue, made when it is first needed. */
  openQueue(): DeliveryQueue {
    return (this.queue ??= new DeliveryQueue(this.openAccount()))
  }

  /** What is in flight, made when it is first needed. */
  openInflight(): Inflight {
    return (this.inflight ??= new Inflight(this))
  }

  /** Identifiers that are held, made when one is first needed. */
  openHeld(): IdentifierSet {
    return (this.held ??= new IdentifierSet(this))
  }

  /** Counts what came to be in flight, or with negative numbers what went. */
  addInflight(messages: number, bytes: number): void {
    if (this.account !== null || !this.isDiscarded) this.openAccount().addInflight(messages, bytes)
  }

  /** Whether a message of `bytes` bytes may be in flight beside those that are. */
  mayFly(bytes: number): boolean {
    const inflightBytes = this.inflight === null ? 0 : this.inflight.bytes
    return inflightBytes === 0 || inflightBytes + bytes <= this.limits.maximumInflightBytes
  }

  private openAccount(): QueueAccount<Session> {
    return (this.account ??= new QueueAccount(this, this.limits.budget))
  }

  /** True when what waits lies in the store, and nothing of it in memory. */
  get starved(): boolean {
    return this.storedMessages > 0 && (this.queue === null || this.queue.length === 0)
  }

  /** Messages that a full queue, a slow reader, an expiry, their size or a hook cost. */
  get droppedMessages(): number {
    return this.drops === null ? 0 : this.drops.total
  }

  /** Counts a message that is lost to this session. `lost` is null where nothing is known of it. */
  drop(reason: DropReason, lost: LostMessage | null): void {
    this.limits.budget.dropped[reason]!++
    this.noteDrops(reason, 1, lost)
  }

  /** The same for messages that its connection counts. */
  noteDrops(reason: DropReason, messages: number, lost: LostMessage | null): void {
    const drops = (this.drops ??= new SessionDrops())
    drops.counts[reason]! += messages
    this.limits.budget.watch?.dropped(this, reason, messages, lost)
  }

  /** Counts what waits in the store alone, or with negative numbers what no longer does. */
  addStored(messages: number, bytes: number): void {
    const counted = Math.max(messages, -this.storedMessages)
    // where nothing is left, a small difference in counting must not stay
    const size = this.storedMessages + counted === 0 ? -this.storedBytes : Math.max(bytes, -this.storedBytes)
    this.countStored(counted, size)
    this.openAccount().addStored(counted, size)
  }

  /** From now on the store alone has a message that expires at `deadline`. */
  awaitStoredExpiry(position: number, deadline: number, bytes: number): void {
    const expiries = (this.storedExpiries ??= new StoredExpiries())
    expiries.add(position, deadline, bytes)
    this.openAccount().awaitExpiry(deadline)
  }

  /** What a look through the store has found of all positions up to `end`. */
  learnExpiries(found: StoredExpiries, end: number): void {
    this.storedExpiries?.removeThrough(end)
    if (this.storedExpiries !== null) found.append(this.storedExpiries)
    found.removeThrough(this.lastLoaded)
    this.storedExpiries = found
    if (found.earliest !== Number.POSITIVE_INFINITY) this.openAccount().awaitExpiry(found.earliest)
  }

  /** Takes out a message that the store alone has, and that has expired by now. */
  takeExpiredFromStore(now: number): { readonly position: number } | undefined {
    const expired = this.storedExpiries?.takeExpired(now)
    if (expired !== undefined) this.leaveStore(expired.position, expired.bytes)
    return expired
  }

  /** A message is no longer in the store alone, without having been read in its turn. */
  leaveStore(position: number, bytes: number): void {
    this.addStored(-1, -bytes)
    this.note(position)
  }

  /** The session ends: what waits for it waits no longer. */
  discardQueue(): void {
    this.isDiscarded = true
    if (this.account === null) return
    if (this.storedMessages > 0) this.addStored(-this.storedMessages, -this.storedBytes)
    this.storedExpiries = null
    if (this.queue !== null) while (this.queue.shift() !== undefined);
    this.account.close()
  }

  /** Joins the session to a connection. The window is the client's Receive Maximum, within ours. */
  attach(output: Output, receiveMaximum: number): void {
    this.connectionCount++
    this.output = output
    this.account?.setAbsent(false)
    this.window = Math.min(receiveMaximum, this.limits.maximumInflight)
    this.expiresAt = 0
  }

  detach(): void {
    this.toResend = null
    this.gate = null
    this.refused = null
    this.output = null
    this.outgoingAliases?.release()
    this.outgoingAliases = null
    this.account?.setAbsent(true)
  }
}
