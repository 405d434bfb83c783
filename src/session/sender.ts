import { DropReason } from '../protocol/drop-reason'
import { Dialect, LARGE_PACKET, type Output } from '../protocol/output'
import type { QoS } from '../protocol/packet'
import type { PublishPacket } from '../protocol/publish-packet'
import type { PublishSource } from '../protocol/publish-source'
import { forwardPublish, writePublish } from '../protocol/publish-writer'
import type { Delivery } from './delivery'
import { deliveryBytes } from './delivery-queue'
import { InflightState } from './inflight'
import { InflightAction, InflightEvent, transition } from './inflight-transitions'
import { hasRoom, makeMemory, makeRoom } from './room'
import type { Session } from './session'

const DUP = 8
const RETAIN = 1
/** Messages of a durable session that wait in memory; more wait in the store. */
const MEMORY_MESSAGES = 1024

/** What `deliver` did. `Full` and `Overflow` found no room: the second ends the connection. */
export const Outcome = { Sent: 0, Queued: 1, Dropped: 2, AwaitsCommit: 3, Overflow: 4, Full: 5 } as const

/**
 * The straight way of QoS 1 and 2: the packet in the read buffer is copied to a client of the same protocol version
 * whose session ends with its connection, so that the message need not be kept. False when it can't go this way.
 */
export function forward(session: Session, packet: PublishPacket, dialect: number, qos: number): boolean {
  const output = session.output
  if (output === null || output.dialect !== dialect) return false
  if (session.journal !== null || session.gate !== null) return false
  const inflight = session.openInflight()
  if (output.congested || inflight.count >= session.window) return false
  if (session.queue !== null && session.queue.length > 0) return false
  const { bytes, start, end } = packet
  if (end - start > output.maximumPacketSize) {
    output.drop(1, DropReason.TooLarge, packet)
    return true
  }
  if (end - start > LARGE_PACKET && !output.admits(end - start)) return false
  const identifier = inflight.add(qos === 1 ? InflightState.Puback : InflightState.Pubrec, null)
  forwardPublish(output, bytes, start, end, packet.identifierAt, qos << 1, identifier)
  output.sent[qos]!++
  return true
}

/**
 * The same for a packet that must be written anew, for another protocol version, another QoS, or without its alias. Not
 * for a message that expires.
 */
export function forwardAnew(session: Session, source: PublishSource, qos: QoS): boolean {
  const output = session.output
  if (output === null || output.dialect >= Dialect.V5Aliased) return false
  if (session.journal !== null || session.gate !== null) return false
  const inflight = session.openInflight()
  if (output.congested || inflight.count >= session.window) return false
  if (session.queue !== null && session.queue.length > 0) return false
  const length = source.payloadEnd - source.payloadStart
  if (length > LARGE_PACKET && !output.admits(length)) return false
  const identifier = inflight.add(qos === 1 ? InflightState.Puback : InflightState.Pubrec, null)
  const { plain } = output.envelopes
  plain.flags = qos << 1
  plain.packetIdentifier = identifier
  if (writePublish(output, source, plain)) {
    output.sent[qos]!++
    return true
  }
  inflight.remove(identifier)
  output.drop(1, DropReason.TooLarge, source)
  return true
}

/**
 * Takes a message on for a session: sends it if the window allows, else queues it. `now` is the clock's; 0 will do where
 * neither the message expires nor anything that waits.
 */
export function deliver(session: Session, delivery: Delivery, now: number): number {
  if (delivery.qos === 0) return deliverAtMostOnce(session, delivery, now)
  delivery.position = ++session.lastPosition
  const output = session.output
  const inflight = session.openInflight()
  const open = output !== null && !output.congested && inflight.count < session.window && !session.unread
  if (!open || session.queuedMessages > 0) return enqueue(session, delivery, now)
  const bytes = deliveryBytes(delivery)
  if (!session.mayFly(bytes) || (bytes > LARGE_PACKET && !output.admits(bytes))) return enqueue(session, delivery, now)
  if (!session.limits.budget.hasMemory(bytes)) {
    // it waits for what is in flight to be acknowledged; where nothing is, nothing would send it
    if (inflight.count > 0) return enqueue(session, delivery, now)
    if (!makeMemory(session, bytes, now)) return refuseFull(session, delivery)
  }
  // the journal looks at the bytes next
  delivery.message.own()
  session.lastLoaded = delivery.position
  const waits = delivery.move !== null || (delivery.qos === 2 && session.journal !== null)
  const identifier = inflight.add(waits ? InflightState.Commit : sentState(delivery), keptInflight(session, delivery))
  session.journal?.enqueue(session, delivery, identifier)
  if (waits) return Outcome.AwaitsCommit
  return send(session, output, delivery, identifier, now) ? Outcome.Sent : Outcome.Dropped
}

function deliverAtMostOnce(session: Session, delivery: Delivery, now: number): number {
  const output = session.output
  if (output === null)
    return session.limits.queueQoS0 && session.journal !== null
      ? enqueueAtMostOnce(session, delivery, now)
      : Outcome.Dropped
  const bytes = deliveryBytes(delivery)
  const hasRoom = !output.congested && (bytes <= LARGE_PACKET || output.admits(bytes))
  const reason = hasRoom ? write(session, output, delivery, 0, false, now) : DropReason.SlowReader
  if (reason === written) return Outcome.Sent
  if (output.congested || !refuse(session, delivery, reason)) output.drop(1, reason, delivery.message)
  return Outcome.Dropped
}

function enqueueAtMostOnce(session: Session, delivery: Delivery, now: number): number {
  delivery.position = ++session.lastPosition
  return enqueue(session, delivery, now)
}

function enqueue(session: Session, delivery: Delivery, now: number): number {
  // it has ended while the message was on its way: nothing would take it out again, or off the budget
  if (session.output === null && session.journal === null) return Outcome.Dropped
  const queue = session.openQueue()
  const { limits } = session
  const bytes = deliveryBytes(delivery)
  while (!hasRoom(session, bytes) && !makeRoom(session, bytes, now)) {
    // the oldest lies in the store: the caller sees that it is read, and the bound holds again from the next message on
    if (limits.overflow === 'drop-oldest' && session.starved && limits.maximumQueuedMessages > 0) break
    // what could never fit drives nothing else out
    if (limits.overflow !== 'drop-oldest' || queue.length === 0 || bytes > limits.maximumQueuedBytes) {
      return refuseFull(session, delivery)
    }
    const oldest = queue.shift()!
    session.drop(DropReason.QueueFull, oldest.message)
    session.journal?.dequeue(session, oldest)
  }
  delivery.message.own()
  session.journal?.enqueue(session, delivery, 0)
  if (session.journal !== null && (session.unread || session.storedMessages > 0 || queue.length >= MEMORY_MESSAGES)) {
    session.addStored(1, bytes)
    const { expiresAt } = delivery.message
    if (expiresAt !== 0) session.awaitStoredExpiry(delivery.position, expiresAt, bytes)
  } else {
    queue.push(delivery)
    session.lastLoaded = delivery.position
  }
  return Outcome.Queued
}

/** There is no room for a message. */
function refuseFull(session: Session, { message }: Delivery): number {
  session.drop(DropReason.QueueFull, message)
  return session.limits.overflow === 'disconnect' ? Outcome.Overflow : Outcome.Full
}

/** Sends what waits, as far as the window allows. Calls `afterCommit` for each QoS 2 message that needs its commit first. */
export function sendQueued(
  session: Session,
  now: number,
  afterCommit: (session: Session, identifier: number) => void,
): void {
  const { queue, output } = session
  if (queue === null || output === null) return
  while (queue.length > 0 && !output.congested && session.inflightCount < session.window) {
    const next = queue.peek()!
    // another member's, until the store has kept that it is this one's
    const bytes = deliveryBytes(next)
    if (next.move !== null || !session.mayFly(bytes)) break
    if (bytes > LARGE_PACKET && !output.admits(bytes)) break
    const delivery = queue.shift()!
    if (expired(delivery, now)) {
      session.drop(DropReason.Expired, delivery.message)
      session.journal?.dequeue(session, delivery)
    } else if (delivery.qos === 0) {
      const reason = write(session, output, delivery, 0, false, now)
      if (reason !== written) {
        if (refuse(session, delivery, reason)) continue
        output.drop(1, reason, delivery.message)
      }
      session.journal?.dequeue(session, delivery)
    } else sendFromQueue(session, output, delivery, now, afterCommit)
  }
}

function sendFromQueue(
  session: Session,
  output: Output,
  delivery: Delivery,
  now: number,
  afterCommit: (session: Session, identifier: number) => void,
): void {
  const inflight = session.openInflight()
  const waits = delivery.qos === 2 && session.journal !== null
  const identifier = inflight.add(waits ? InflightState.Commit : sentState(delivery), keptInflight(session, delivery))
  session.journal?.assign(session, delivery, identifier)
  if (waits) afterCommit(session, identifier)
  else send(session, output, delivery, identifier, now)
}

/** Sends a message whose identifier is now committed, if the session is still connected. */
export function sendCommitted(session: Session, identifier: number, now: number): void {
  const { inflight, output } = session
  if (inflight === null) return
  const [next, action] = transition(inflight.state(identifier), InflightEvent.IdentifierCommitted)
  if (action !== InflightAction.SendPublish) return
  const delivery = inflight.delivery(identifier)
  // QoS 1 waits only where it comes from another member of a shared group
  inflight.advance(identifier, delivery?.qos === 1 ? InflightState.Puback : next)
  if (output !== null && delivery !== null) send(session, output, delivery, identifier, now)
}

/** Takes back a QoS 2 message whose commit failed: it was never sent. */
export function revoke(session: Session, identifier: number): void {
  const { inflight } = session
  if (inflight === null || inflight.state(identifier) !== InflightState.Commit) return
  inflight.remove(identifier)
}

/** Identifiers that could not be kept: what was to be sent under them waits again, before all else and in its order. */
export function requeueUncommitted(session: Session): void {
  const { inflight } = session
  if (inflight === null) return
  const queue = session.openQueue()
  for (const { identifier, state, delivery } of inflight.inOrder().reverse()) {
    if (state !== InflightState.Commit) continue
    inflight.remove(identifier)
    // once it is kept here, the queue is to be sent, and not what has the identifier
    if (delivery.move !== null) delivery.move.takenIdentifier = 0
    queue.insert(delivery)
  }
}

/**
 * Sends under a given identifier. What the client may not have, or does not allow for, counts as delivered
 * [MQTT-3.1.2-25], or goes to another member of its group.
 */
export function send(session: Session, output: Output, delivery: Delivery, identifier: number, now: number): boolean {
  const reason = write(session, output, delivery, identifier, delivery.sent, now)
  if (reason === written) {
    delivery.sent = true
    return true
  }
  session.inflight!.remove(identifier)
  if (refuse(session, delivery, reason)) return false
  output.drop(1, reason, delivery.message)
  session.journal?.dequeue(session, delivery)
  return false
}

/** Another member of its group may have it, but not QoS 2 that was sent before [MQTT-4.8.2-5]. False if none may. */
function refuse(session: Session, delivery: Delivery, reason: DropReason): boolean {
  if (delivery.origin === null || session.refused === null || (delivery.qos === 2 && delivery.sent)) return false
  session.refused(session, delivery, reason)
  return true
}

/** What `write` answers where it has written. */
const written = -1

function write(
  session: Session,
  output: Output,
  delivery: Delivery,
  identifier: number,
  dup: boolean,
  now: number,
): DropReason | typeof written {
  const { message } = delivery
  if (session.gate !== null && !session.gate(message, delivery.qos)) return DropReason.NotAuthorized
  const envelope = output.envelopes.delivery
  envelope.flags = (dup ? DUP : 0) | (delivery.qos << 1) | (delivery.retain ? RETAIN : 0)
  envelope.packetIdentifier = identifier
  envelope.messageExpiryInterval =
    message.expiresAt === 0 ? -1 : Math.max(0, Math.ceil((message.expiresAt - now) / 1000))
  envelope.subscriptionIdentifiers = delivery.subscriptionIdentifiers
  envelope.topicAlias = 0
  envelope.omitTopic = false
  if (session.outgoingAliases !== null) {
    const alias = session.outgoingAliases.assign(message.topic)
    envelope.topicAlias = Math.abs(alias)
    envelope.omitTopic = alias > 0
  }
  if (writePublish(output, message, envelope)) {
    output.sent[delivery.qos]!++
    return written
  }
  if (envelope.topicAlias !== 0 && !envelope.omitTopic) session.outgoingAliases!.revoke(message.topic)
  return DropReason.TooLarge
}

/** Gives up what has expired before it was ever sent; true if it has. */
export function abandonExpired(session: Session, identifier: number, delivery: Delivery, now: number): boolean {
  if (delivery.sent || !expired(delivery, now)) return false
  session.drop(DropReason.Expired, delivery.message)
  session.inflight!.remove(identifier)
  session.journal?.dequeue(session, delivery)
  return true
}

function expired(delivery: Delivery, now: number): boolean {
  const { expiresAt } = delivery.message
  return expiresAt !== 0 && expiresAt <= now
}

/** What stays with an identifier: nothing where it would never be sent again, neither by this session nor by another member. */
function keptInflight(session: Session, delivery: Delivery): Delivery | null {
  const { journal, limits } = session
  return journal === null && delivery.origin === null && !limits.budget.keepsInflight ? null : delivery
}

function sentState(delivery: { qos: QoS }): number {
  return delivery.qos === 1 ? InflightState.Puback : InflightState.Pubrec
}
