import type { DroppedMessages } from '../../ports/statistics'
import { DropReason, noDrops } from '../../protocol/drop-reason'
import type { MqttErrorCode } from '../../protocol/mqtt-error'
import type { Measurements } from './measurements'

/** What has happened since the broker started. Written where it happens, read by the statistics. */
export class Counters {
  /** PUBLISH packets of clients, by QoS, whatever became of them. */
  readonly received = [0, 0, 0]
  /** PUBLISH packets to clients, by QoS, those that are sent again included. */
  readonly sent = [0, 0, 0]
  /** Messages that no queue had yet, by `DropReason`. */
  readonly dropped = noDrops()
  /** Bytes of the MQTT stream, those of TLS and WebSocket left out. */
  receivedBytes = 0
  sentBytes = 0
  /** Connections that were refused before their CONNECT was accepted, by the code of the error. */
  readonly refusedConnections = new Map<MqttErrorCode, number>()
  /** Commits that the store has answered, and those of them that it refused. */
  commits = 0
  refusedCommits = 0
  /** Sessions whose Session Expiry Interval was over. */
  expiredSessions = 0
  /** Milliseconds that all commits took together. */
  commitMs = 0
  /** Connections that were let in, and CONNECT packets that were accepted. */
  acceptedConnections = 0
  acceptedClients = 0
  /** The most clients that were connected at a time. */
  maximumClients = 0
  /** null until histograms are first asked for. */
  measured: Measurements | null = null

  /** The store has answered after so many milliseconds. */
  addCommit(ms: number): void {
    this.commitMs += ms
    this.measured?.commits.observe(ms)
  }

  /** A client is one of so many that are connected now. */
  acceptClient(clients: number): void {
    this.acceptedClients++
    if (clients > this.maximumClients) this.maximumClients = clients
  }

  refuseConnection(code: MqttErrorCode): void {
    this.refusedConnections.set(code, (this.refusedConnections.get(code) ?? 0) + 1)
  }
}

/** Counts by `DropReason`, by their names. */
export function byReason(counts: readonly number[]): DroppedMessages {
  const of = (reason: DropReason): number => counts[reason] ?? 0
  return {
    slowReader: of(DropReason.SlowReader),
    queueFull: of(DropReason.QueueFull),
    expired: of(DropReason.Expired),
    tooLarge: of(DropReason.TooLarge),
    notAuthorized: of(DropReason.NotAuthorized),
  }
}
