import type { Clock } from '../../ports/clock'
import type { Logger } from '../../ports/logger'
import type { DeadlineWheel } from './deadline-wheel'
import type { OutboxLimits } from './outbox'
import type { PacketHandler } from './packet-handler'
import type { Turn } from './turn'

/** What a connection needs of its broker. One object serves for all connections. */
export interface ConnectionContext<C> {
  readonly clock: Clock
  readonly logger: Logger
  readonly turn: Turn
  readonly wheel: DeadlineWheel
  readonly outbox: OutboxLimits
  readonly connectTimeoutMs: number
  /** Bytes, before and after CONNECT is accepted. */
  readonly maximumConnectPacketSize: number
  readonly maximumPacketSize: number
  readonly packets: PacketHandler<C>
}
