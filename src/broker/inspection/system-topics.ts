import type { Clock } from '../../ports/clock'
import type { BrokerStatistics, CountsByQoS } from '../../ports/statistics'
import { VERSION } from '../../ports/version'

const MINUTE_MS = 60_000
/** Minutes of the averages. */
const MINUTES = [1, 5, 15] as const

export interface SystemTopicParts {
  readonly clock: Clock
  /** 0 publishes nothing. */
  readonly intervalMs: number
  readonly statistics: () => BrokerStatistics
  readonly publish: (topic: string, payload: string) => void
}

/** A count, and what of it came in a minute on an average. */
class Load {
  private last = 0
  private readonly averages = [0, 0, 0]

  /** The average of each of `MINUTES`, where `count` is the count now and `ms` the time since the last call. */
  update(count: number, ms: number): readonly number[] {
    const perMinute = ((count - this.last) * MINUTE_MS) / ms
    this.last = count
    for (const [i, minutes] of MINUTES.entries()) {
      const kept = Math.exp(-ms / (minutes * MINUTE_MS))
      this.averages[i] = perMinute + kept * (this.averages[i]! - perMinute)
    }
    return this.averages
  }
}

/** Publishes counts below `$SYS/broker`, under the names that mosquitto has for them, as far as they have changed. */
export class SystemTopics {
  private readonly parts: SystemTopicParts
  private readonly published = new Map<string, string>()
  private readonly loads = new Map<string, Load>()
  private readonly begunAt: number
  private updatedAt: number
  private stop: () => void = () => undefined

  constructor(parts: SystemTopicParts) {
    this.parts = parts
    this.begunAt = this.updatedAt = parts.clock.now()
  }

  begin(): void {
    const { clock, intervalMs } = this.parts
    if (intervalMs === 0) return
    this.publish('version', `gnatmq version ${VERSION}`)
    this.update()
    this.stop = clock.every(intervalMs, () => this.update())
  }

  end(): void {
    this.stop()
  }

  private update(): void {
    const statistics = this.parts.statistics()
    const now = this.parts.clock.now()
    this.publish('uptime', `${Math.floor((now - this.begunAt) / 1000)} seconds`)
    for (const [name, value] of Object.entries(valuesOf(statistics))) this.publish(name, String(value))
    const passed = now - this.updatedAt
    this.updatedAt = now
    if (passed > 0) this.updateLoads(statistics, passed)
  }

  private updateLoads(statistics: BrokerStatistics, ms: number): void {
    for (const [name, count] of Object.entries(countsOf(statistics))) {
      let load = this.loads.get(name)
      if (load === undefined) this.loads.set(name, (load = new Load()))
      const averages = load.update(count, ms)
      for (const [i, minutes] of MINUTES.entries()) this.publish(`load/${name}/${minutes}min`, averages[i]!.toFixed(2))
    }
  }

  private publish(name: string, value: string): void {
    const topic = `$SYS/broker/${name}`
    if (this.published.get(topic) === value) return
    this.published.set(topic, value)
    this.parts.publish(topic, value)
  }
}

function valuesOf(statistics: BrokerStatistics): Record<string, number> {
  const { clients, queuedBytes, queuedMessages, retainedBytes, retainedMessages, sessions } = statistics
  const stored = retainedMessages + queuedMessages
  return {
    'clients/connected': clients,
    'clients/active': clients,
    'clients/disconnected': sessions - clients,
    'clients/inactive': sessions - clients,
    'clients/total': sessions,
    'clients/maximum': statistics.maximumClients,
    'clients/expired': statistics.expiredSessions,
    'subscriptions/count': statistics.subscriptions,
    'shared_subscriptions/count': statistics.sharedSubscriptions,
    'retained messages/count': retainedMessages,
    'messages/stored': stored,
    'store/messages/count': stored,
    'store/messages/bytes': retainedBytes + queuedBytes,
    'publish/messages/received': sum(statistics.receivedMessages),
    'publish/messages/sent': sum(statistics.sentMessages),
    'publish/messages/dropped': statistics.droppedMessages,
    'bytes/received': statistics.receivedBytes,
    'bytes/sent': statistics.sentBytes,
    'heap/current': process.memoryUsage().heapUsed,
  }
}

/** What there are averages of. */
function countsOf(statistics: BrokerStatistics): Record<string, number> {
  return {
    'publish/received': sum(statistics.receivedMessages),
    'publish/sent': sum(statistics.sentMessages),
    'publish/dropped': statistics.droppedMessages,
    'bytes/received': statistics.receivedBytes,
    'bytes/sent': statistics.sentBytes,
    sockets: statistics.acceptedConnections,
    connections: statistics.acceptedClients,
  }
}

const sum = ({ qos0, qos1, qos2 }: CountsByQoS): number => qos0 + qos1 + qos2
