import type { Client } from '../../ports/client'
import type { Clock } from '../../ports/clock'
import type { SessionBounds, SessionInfo, SubscriptionInfo, WillInfo } from '../../ports/inspection'
import { LARGEST_PACKET } from '../../protocol/output'
import type { WillPacket } from '../../protocol/packet'
import type { Router } from '../../routing/router'
import type { Subscription } from '../../routing/subscription'
import type { Session } from '../../session/session'
import type { Wills } from '../delivery/wills'
import type { SessionRegistry } from '../sessions/registry'
import { byReason } from '../wire/counters'

export interface SessionSources {
  readonly clock: Clock
  readonly registry: SessionRegistry
  readonly router: Router<Session>
  readonly wills: Wills
}

/** A session as the application sees it. */
export function sessionInfo(session: Session, { clock, registry, router, wills }: SessionSources): SessionInfo {
  const connection = registry.connection(session.clientId)
  const isConnected = session.output !== null && connection?.session === session
  const now = clock.now()
  const date = (at: number): Date => new Date(clock.wallTime() + at - now)
  const left = wills.waiting(session)
  const packet = isConnected ? connection.will : left?.will.packet
  return {
    clientId: session.clientId,
    username: session.username,
    client: isConnected ? (connection.client as Client) : undefined,
    durable: session.durable && session.expiryInterval > 0,
    expiryInterval: session.expiryInterval,
    expiresAt: session.expiresAt === 0 ? undefined : date(session.expiresAt),
    limits: boundsOf(session),
    window: session.window,
    inflightMessages: session.inflightCount,
    inflightBytes: session.inflight === null ? 0 : session.inflight.bytes,
    heldMessages: session.held === null ? 0 : session.held.size,
    queue: {
      messages: session.queuedMessages,
      bytes: session.queuedBytes,
      storedMessages: session.storedMessages,
      oldestAt: oldestAt(session, date),
    },
    outgoingBytes: isConnected ? connection.outbox.waitingBytes : 0,
    dropped: byReason(session.drops === null ? [] : session.drops.counts),
    subscriptions: router.countOf(session),
    will: packet == null ? undefined : willInfo(packet, left === undefined ? undefined : date(left.dueAt)),
  }
}

function boundsOf({ limits, outgoingAliases, output }: Session): SessionBounds {
  return {
    maximumPacketSize: output === null ? LARGEST_PACKET : output.maximumPacketSize,
    topicAliasMaximum: outgoingAliases === null ? 0 : outgoingAliases.maximum,
    maximumQueuedMessages: limits.maximumQueuedMessages,
    maximumQueuedBytes: limits.maximumQueuedBytes,
    maximumInflightBytes: limits.maximumInflightBytes,
  }
}

/** When the oldest of the messages came that are in flight or wait, as far as they are in memory. */
function oldestAt({ inflight, queue }: Session, date: (at: number) => Date): Date | undefined {
  const first = queue?.peek()?.arrivedAt
  let second = first ?? Number.POSITIVE_INFINITY
  if (inflight !== null) second = Math.min(second, inflight.oldestArrival)
  return second === -1 || second === Number.POSITIVE_INFINITY ? undefined : date(second * 1000)
}

function willInfo({ topic, qos, retain, payload, willDelayInterval }: WillPacket, dueAt: Date | undefined): WillInfo {
  return { topic, qos, retain, size: payload.length, delayInterval: willDelayInterval, dueAt }
}

/** A subscription as the application sees it. */
export function subscriptionInfo(subscription: Subscription<Session>): SubscriptionInfo {
  const { filter, group, noLocal, qos, retainAsPublished, retainHandling, subscriber } = subscription
  const { subscriptionIdentifier: identifier } = subscription
  return {
    clientId: subscriber.clientId,
    filter,
    qos,
    noLocal,
    retainAsPublished,
    retainHandling,
    subscriptionIdentifier: identifier === 0 ? undefined : identifier,
    shareName: group?.shareName,
  }
}
