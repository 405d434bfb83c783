import type { MessageProperties, QoS, UserProperties } from '../protocol/packet'
import type { Client } from './client'

/** The user name and password of a CONNECT. */
export interface Credentials {
  username: string | undefined
  password: Buffer | undefined
}

/** A "no" that says more, for MQTT 5.0 clients. Reason Codes below 0x80 are no denials and count as 0x87. */
export interface Denial {
  reasonCode: number
  reasonString?: string
  userProperties?: UserProperties
}

/** true allows; anything else denies. */
export type Verdict = boolean | Denial

/**
 * A message that somebody wants to publish. It is read where it lies: valid until the hook has answered, with a
 * promise or without.
 */
export interface PublishRequest {
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  /** A copy, made when it is asked for. */
  readonly payload: Buffer
  readonly payloadLength: number
  readonly properties: MessageProperties
  /** True for a Will, which is asked about at CONNECT and again when it is published. */
  readonly will: boolean
}

/** A Topic Filter that somebody wants to subscribe to. */
export interface SubscribeRequest {
  /** As asked for, `$share/NAME/` included. */
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly subscriptionIdentifier: number | undefined
  readonly userProperties: UserProperties
}

/** `true`, `false`, a Denial, or for a subscription the highest QoS to grant. */
export type SubscribeVerdict = Verdict | { readonly qos: QoS }

/**
 * What the application decides. Every hook may answer at once, which stays on the fast path, or with a promise. A
 * throw, a rejection, or no answer within `hookTimeout` denies.
 */
export interface Hooks {
  /** Asked at CONNECT. Default: everybody may connect, but then plain listeners stay on the loopback interface. */
  authenticate?: ((client: Client, credentials: Credentials) => Verdict | Promise<Verdict>) | undefined
  /** Asked for every PUBLISH, for a Will at CONNECT and again when it is published. */
  authorizePublish?: ((client: Client, message: PublishRequest) => Verdict | Promise<Verdict>) | undefined
  /** Asked for every filter of a SUBSCRIBE, and again for each when a session resumes. */
  authorizeSubscribe?: ((client: Client, subscription: SubscribeRequest) => SubscribeVerdict | Promise<SubscribeVerdict>) | undefined
}
