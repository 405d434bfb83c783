import type { ProtocolVersion, UserProperties } from '../protocol/packet'
import type { ClientLimits } from './client-limits'
import type { Right, Rights } from './rights'
import type { PeerCertificate } from './tls'

export interface ClientDisconnectOptions {
  /** MQTT 5.0 clients are told; the others only see the connection close. */
  reasonString?: string | undefined
  userProperties?: UserProperties | undefined
  /** Where to go instead, with Reason Code 0x9C or 0x9D (MQTT 5.0 section 4.11). */
  serverReference?: string | undefined
}

/** A connected client, as hooks and events see it. */
export interface Client<Data = unknown> {
  readonly clientId: string
  readonly username: string | undefined
  readonly protocolVersion: ProtocolVersion
  /** Clean Session of MQTT 3.1.1, Clean Start of 5.0. */
  readonly clean: boolean
  /** Seconds, as it is in force; 0 is off. */
  readonly keepAlive: number
  /** User Properties of the CONNECT (MQTT 5.0 section 3.1.2.11.8). */
  readonly userProperties: UserProperties
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  /** The name that the client asked for in its TLS handshake. */
  readonly servername: string | undefined
  /** The client's TLS certificate, if it sent one. */
  readonly certificate: PeerCertificate | undefined
  /** The TLS version, as Node names it: `TLSv1.3`; undefined without TLS. */
  readonly tlsVersion: string | undefined
  /** When its CONNECT was accepted. */
  readonly connectedAt: Date
  readonly connected: boolean
  /**
   * Aborts when the client has gone, so that nothing more is done for it: its connection has closed, or it has sent all that it
   * had to send before its CONNECT was answered. Made when it is first asked for.
   */
  readonly signal: AbortSignal
  /** When the identity that `authenticate` has answered with expires, and the connection with it; undefined if it does not. */
  readonly expiresAt: Date | undefined
  /** The rights of its identity; undefined where hooks alone decide. */
  readonly rights: readonly Right[] | undefined
  /** The limits of its identity; undefined where it has none. */
  readonly limits: ClientLimits | undefined
  /** What the application wants to remember about this client: the `data` of its identity, or what is assigned here. */
  data: Data
  /**
   * Gives it other rights, or with undefined none, so that hooks alone decide. They hold at once. Subscriptions that they do not allow end, or
   * are granted less, and what waits because of them is dropped; resolves once nothing more of it can be delivered. Rejects with
   * GNATMQ_STORE_FAILED. Throws GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN or GNATMQ_TOPIC_FILTER_INVALID.
   */
  setRights(rights: Rights | undefined): Promise<void>
  /**
   * Bounds it otherwise, in the place of the limits of its identity; they hold at once. With undefined the option `clientLimits` alone does. Throws
   * GNATMQ_OPTION_INVALID or GNATMQ_OPTION_UNKNOWN.
   */
  setLimits(limits: ClientLimits | undefined): void
  /**
   * Ends the connection. The Will is published unless `reasonCode` is 0. Default Reason Code: 0x98 Administrative action.
   * Throws GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN or GNATMQ_PACKET_TOO_LARGE for what MQTT cannot carry.
   */
  disconnect(reasonCode?: number, options?: ClientDisconnectOptions): void
}
