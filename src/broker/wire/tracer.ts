import type { ProtocolVersion } from '../../protocol/packet'
import type { IncomingAliases } from '../../session/incoming-aliases'
import type { OutgoingAliases } from '../../session/outgoing-aliases'

/** What is asked of a connection that is traced. */
export interface Traced {
  readonly client: { readonly clientId: string } | null
  readonly version: ProtocolVersion
  readonly incomingAliases: IncomingAliases | null
  readonly session: { readonly outgoingAliases: OutgoingAliases | null } | null
}

/** What is known of a message that concerns a session. */
export interface TracedMessage {
  readonly topic: string
  readonly qos: number
}

/** Told of what comes from clients and goes to them, while anything is traced. */
export interface Tracer {
  /** Whether anything is to be told of what comes from this connection. */
  follows(connection: Traced): boolean
  /** `bytes[start, end)` is a packet that the client has sent, before it is read. */
  received(connection: Traced, bytes: Buffer, start: number, end: number): void
  /** `bytes` go to the client, behind those before. */
  sent(connection: object, bytes: Uint8Array): void
  /** A message waits in a session. */
  queued(clientId: string, message: TracedMessage): void
  /** A session has lost messages; `topic` is undefined where it is not known. */
  dropped(clientId: string, topic: string | undefined, reason: string, messages: number): void
}
