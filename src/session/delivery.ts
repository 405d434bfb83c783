import type { Message } from '../protocol/message'
import type { QoS } from '../protocol/packet'

/** How a delivery came from another member of a shared group: see Move. */
export interface PendingMove {
  takenIdentifier: number
  readonly isOver: boolean
  /** Whether its session was connected when it came. */
  readonly wasConnected: boolean
  keep(): void
}

/** A message on its way to one session, from its arrival until its last acknowledgement. */
export class Delivery {
  readonly message: Message
  /** Lowered where the client is granted less by now. */
  qos: QoS
  /** The RETAIN flag that this session gets it with (section 3.3.1.3). */
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[]
  /** Grows with each message of the session. */
  position = 0
  /** Seconds of the broker's clock at which it came; -1 where that is not known, as after a restart. */
  arrivedAt = -1
  /** True once it was sent: sending it again sets DUP [MQTT-3.3.1-1]. */
  sent = false
  /** Where the queue has it, if it expires: see DeliveryQueue. */
  place = 0
  /** Where the queue has it among those that expire; -1 if it has not. */
  expiryIndex = -1
  /** What brought it from another member of its group, while that is not kept: until then it is not sent. */
  move: PendingMove | null = null
  /** True while its own commit is open: until then no other member of its group gets it. */
  uncommitted = false
  /** True if its session went offline meanwhile: another member gets it then. */
  handOnLater = false
  /** The shared group that it came through, so that another member can have it; null where no other can. */
  readonly origin: DeliveryOrigin | null

  constructor(
    message: Message,
    qos: QoS,
    retain: boolean,
    subscriptionIdentifiers: readonly number[],
    origin: DeliveryOrigin | null,
  ) {
    this.message = message
    this.qos = qos
    this.retain = retain
    this.subscriptionIdentifiers = subscriptionIdentifiers
    this.origin = origin
  }
}

/** Where a delivery came from, if another member could take it (MQTT 5.0 section 4.8.2). */
export interface DeliveryOrigin {
  /** The filter of the group, `$share/NAME/` included. */
  readonly filter: string
  /** Client Identifiers of the members that may not have it, or cannot take it. */
  readonly refusedBy?: readonly string[]
}

export const noIdentifiers: readonly number[] = Object.freeze([])
