/** Why a message was not delivered to one receiver. The values are places in a list of counts. */
export const DropReason = {
  /** QoS 0, while too many bytes wait for a client that reads too slowly. */
  SlowReader: 0,
  /** The queue of the session, or the budget of all queues, is full. */
  QueueFull: 1,
  /** Its Message Expiry Interval was over before it was sent (MQTT 5.0 section 3.3.2.3.3). */
  Expired: 2,
  /** Larger than the Maximum Packet Size of the client (MQTT 5.0 section 3.1.2.11.4). */
  TooLarge: 3,
  /** `authorizeDelivery` denied it, or `authorizeSubscribe` when its session resumed. */
  NotAuthorized: 4,
} as const

export type DropReason = (typeof DropReason)[keyof typeof DropReason]

/** The name of a reason, as the application knows it. */
export function dropReasonName(
  reason: DropReason,
): 'slowReader' | 'queueFull' | 'expired' | 'tooLarge' | 'notAuthorized' {
  return (['slowReader', 'queueFull', 'expired', 'tooLarge', 'notAuthorized'] as const)[reason]
}

/** Counts of 0 by reason. */
export function noDrops(): number[] {
  return [0, 0, 0, 0, 0]
}
