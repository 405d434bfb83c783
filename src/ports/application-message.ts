import type { MessageProperties, QoS } from '../protocol/packet'

/**
 * A message as the application sees it. Payload and properties are copies, made when they are asked for: what is written
 * into them changes no other copy of the message.
 */
export interface ApplicationMessage {
  readonly topic: string
  readonly payload: Buffer
  /** MQTT 5.0 properties, without the expiry, which counts down: see `expiresAt`. */
  readonly properties: MessageProperties
  readonly qos: QoS
  /** The RETAIN flag that it was published with. */
  readonly retain: boolean
  /** `clock.now()` when it expires, 0 if never (MQTT 5.0 section 3.3.2.3.3). */
  readonly expiresAt: number
  /** The Client Identifier of its publisher; undefined for the application itself. */
  readonly publisher: string | undefined
  /** The `origin` that the application published it with. It is not stored: undefined after a restart. */
  readonly origin: string | undefined
}
