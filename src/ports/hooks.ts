import { MqttError } from '../protocol/mqtt-error'
import type { MessageProperties, QoS, UserProperties } from '../protocol/packet'
import type { ApplicationMessage } from './application-message'
import type { Client } from './client'
import type { ClientLimits } from './client-limits'
import { readFields } from './given-values'
import type { Rights } from './rights'

/** The user name and password of a CONNECT. */
export interface Credentials {
  username: string | undefined
  password: Buffer | undefined
}

/**
 * A "no" that says more, for MQTT 5.0 clients. Reason Codes below 0x80 are no denials and count as 0x87. Words that MQTT
 * cannot carry are left out, and the event `clientError` tells of them with GNATMQ_HOOK_FAILED.
 */
export interface Denial {
  reasonCode: number
  reasonString?: string | undefined
  userProperties?: UserProperties | undefined
  /** Where to go instead, in a CONNACK with Reason Code 0x9C or 0x9D (MQTT 5.0 section 4.11). */
  serverReference?: string | undefined
}

/** true allows; anything else denies. */
export type Verdict = boolean | Denial

/** What an identity says besides the user. What is left out of a re-authentication stays as it was. */
export interface IdentityTerms {
  /** What the client may do. Hooks are asked as well, and both must allow. Default: hooks alone decide. */
  readonly rights?: Rights | undefined
  /** What bounds the client. Default, for each that is left out: the option `clientLimits`. */
  readonly limits?: ClientLimits | undefined
  /**
   * When the connection ends with Reason Code 0x87, unless the client re-authenticates before: a Date, or milliseconds
   * since 1970 as `Date.now()` has them. Default: never.
   */
  readonly expiresAt?: Date | number | undefined
}

/** Who a client is, as `authenticate` answers. */
export interface Identity<Data = unknown> extends IdentityTerms {
  readonly success: true
  /** Perhaps another one than the CONNECT has. Default: that of the CONNECT. */
  readonly username?: string | undefined
  /** Becomes `client.data`. */
  readonly data?: Data | undefined
}

/** `true` allows. An Identity allows too, and names the client. Anything else denies. */
export type AuthenticateVerdict<Data = unknown> = Verdict | Identity<Data>

/**
 * A message that a client is about to publish. It is read where it lies: valid until the hook has answered, with a
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

/** A Topic Filter that a client is about to subscribe to. */
export interface SubscribeRequest {
  /** As asked for, `$share/NAME/` included. */
  readonly filter: string
  /** What it matches by: `filter` without `$share/NAME/`. Rights depend on this one. */
  readonly topicFilter: string
  /** The Share Name; undefined where the subscription is not shared. */
  readonly shareName: string | undefined
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly subscriptionIdentifier: number | undefined
  readonly userProperties: UserProperties
}

/** `true`, `false`, a Denial, or for a subscription the highest QoS to grant. */
export type SubscribeVerdict = Verdict | { readonly qos: QoS }

/** One exchange of an enhanced authentication (MQTT 5.0 section 4.12). One object a CONNECT or re-authentication. */
export interface AuthenticationExchange {
  /** Takes the client's Authentication Data and says how to go on. A throw or a rejection denies. */
  step(data: Buffer | undefined): AuthenticationStep | Promise<AuthenticationStep>
}

/** `continue` sends data and waits for the client's next; `success` ends the exchange; everything else denies. */
export type AuthenticationStep =
  | { readonly continue: Uint8Array }
  | (IdentityTerms & {
      readonly success: true
      /** Authentication Data for the client. */
      readonly data?: Uint8Array | undefined
      readonly username?: string | undefined
    })
  | Denial
  | false

/** Begins an exchange for a client that asks for this Authentication Method. */
export type AuthenticationMethod<Data = unknown> = (client: Client<Data>) => AuthenticationExchange

/**
 * What the application decides. Every hook may answer at once, which stays on the fast path, or with a promise. A
 * throw, a rejection, or no answer within `hookTimeout` denies.
 */
export interface Hooks<Data = unknown> {
  /** Asked at CONNECT. Default: every client may connect, but then plain listeners stay on the loopback interface. */
  authenticate?:
    | ((
        client: Client<Data>,
        credentials: Credentials,
      ) => AuthenticateVerdict<Data> | Promise<AuthenticateVerdict<Data>>)
    | undefined
  /** Asked for every PUBLISH, for a Will at CONNECT and again when it is published. */
  authorizePublish?: ((client: Client<Data>, message: PublishRequest) => Verdict | Promise<Verdict>) | undefined
  /**
   * Asked for every filter of a SUBSCRIBE, and again for each when a session resumes. A filter that is denied then, or
   * granted less, takes what waits in the session with it: messages that only it brought are dropped, or keep to its QoS.
   */
  authorizeSubscribe?:
    | ((client: Client<Data>, subscription: SubscribeRequest) => SubscribeVerdict | Promise<SubscribeVerdict>)
    | undefined
  /**
   * Asked whenever a message is about to be sent to a client, be it new, retained, or one that has waited: rights may have
   * been taken away since it subscribed. Answers at once; anything but true, or a throw, and the client does not get the
   * message; where it came through a shared subscription, the other members are asked. Costs every delivery a call, so
   * leave it out where `authorizeSubscribe` is enough.
   */
  authorizeDelivery?: ((client: Client<Data>, message: ApplicationMessage) => boolean) | undefined
  /**
   * Enhanced authentication by the name of its method, as `{ 'SCRAM-SHA-256': scramSha256(…) }`. Asked instead of `authenticate`;
   * where there is no `authenticate`, clients that name no method are refused.
   */
  authenticationMethods?: Readonly<Record<string, AuthenticationMethod<Data>>> | undefined
}

/** Whether clients have to authenticate. */
export const authenticates = ({ authenticate, authenticationMethods }: Hooks): boolean =>
  authenticate !== undefined || authenticationMethods !== undefined

/** Those of `given` that are hooks. Throws GNATMQ_OPTION_UNKNOWN for another name, and GNATMQ_OPTION_INVALID for a hook that is `present`. */
export function addedHooks(present: Hooks, given: Hooks): Hooks {
  const fields = readFields('hooks', given, Object.keys(present) as (keyof Hooks)[])
  const added = Object.entries(fields).filter(([, hook]) => hook !== undefined)
  const twice = added.find(([name]) => present[name as keyof Hooks] !== undefined)
  if (twice !== undefined)
    throw new MqttError('GNATMQ_OPTION_INVALID', `${twice[0]} is there already: leave one of them out`)
  return Object.fromEntries(added)
}
