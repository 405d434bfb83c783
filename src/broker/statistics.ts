import { type MemoryBudget, usedMemory } from '../memory/memory-budget'
import type { BrokerStatistics, CountsByQoS } from '../ports/statistics'
import type { QueueBudget } from '../session/queue-budget'
import type { Session } from '../session/session'
import { byReason, Counters } from './wire/counters'

/** Where the counts are. */
interface Counted {
  readonly connections: { readonly size: number }
  readonly registry: { readonly connectedCount: number; readonly size: number }
  readonly router: { readonly subscriptionCount: number; readonly sharedCount: number; readonly refusedCount: number }
  readonly retained: { readonly count: number; readonly bytes: number; readonly refusedCount: number }
  readonly turn: {
    readonly waitingBytes: number
    readonly pool: { readonly incomingBytes: number }
    readonly counters: Counters
  }
}

/** What a broker that does not run has. */
export function noStatistics(): BrokerStatistics {
  const turn = { waitingBytes: 0, pool: { incomingBytes: 0 }, counters: new Counters() }
  const registry = { connectedCount: 0, size: 0 }
  const routing = {
    router: { subscriptionCount: 0, sharedCount: 0, refusedCount: 0 },
    retained: { count: 0, bytes: 0, refusedCount: 0 },
  }
  return statisticsOf({ connections: { size: 0 }, registry, ...routing, turn }, undefined, undefined)
}

/** A copy: it does not change any more. */
export function statisticsOf(
  counted: Counted,
  budget: QueueBudget<Session> | undefined,
  memory: MemoryBudget | undefined,
): BrokerStatistics {
  const { connections, registry, retained, router, turn } = counted
  const { counters } = turn
  const dropped = counters.dropped.map((count, reason) => count + (budget?.dropped[reason] ?? 0))
  return {
    connections: connections.size,
    clients: registry.connectedCount,
    sessions: registry.size,
    subscriptions: router.subscriptionCount,
    sharedSubscriptions: router.sharedCount,
    retainedMessages: retained.count,
    retainedBytes: retained.bytes,
    queuedMessages: budget?.messages ?? 0,
    queuedBytes: budget?.bytes ?? 0,
    outgoingBytes: turn.waitingBytes,
    memoryBytes: (memory === undefined ? 0 : usedMemory(memory)) + turn.waitingBytes + turn.pool.incomingBytes,
    droppedMessages: dropped.reduce((sum, count) => sum + count, 0),
    dropped: byReason(dropped),
    receivedMessages: byQoS(counters.received),
    sentMessages: byQoS(counters.sent),
    receivedBytes: counters.receivedBytes,
    sentBytes: counters.sentBytes,
    refusedSubscriptions: router.refusedCount,
    refusedRetainedMessages: retained.refusedCount,
    refusedConnections: Object.fromEntries(counters.refusedConnections),
    acceptedConnections: counters.acceptedConnections,
    acceptedClients: counters.acceptedClients,
    maximumClients: counters.maximumClients,
    expiredSessions: counters.expiredSessions,
    commits: counters.commits,
    refusedCommits: counters.refusedCommits,
    commitMs: counters.commitMs,
  }
}

function byQoS([qos0 = 0, qos1 = 0, qos2 = 0]: readonly number[]): CountsByQoS {
  return { qos0, qos1, qos2 }
}
