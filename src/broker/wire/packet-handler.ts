import type { DisconnectReason } from '../../ports/events'
import type { Frame } from '../../protocol/frame'
import type { MqttError } from '../../protocol/mqtt-error'
import type { PublishPacket } from '../../protocol/publish-packet'

/** Receives the packets of all connections, and their ends. Throws MqttError for what ends a connection. */
export interface PacketHandler<C> {
  /** Before the packets of a chunk. */
  beginChunk(): void
  /** `packet` is valid during the call. */
  publish(connection: C, packet: PublishPacket): void
  acknowledgement(connection: C, bytes: Buffer, frame: Frame): void
  connect(connection: C, bytes: Buffer, frame: Frame): void
  /** Any other packet. */
  control(connection: C, bytes: Buffer, frame: Frame): void
  /** The connection has given its session up. Called once, before its stream ends. */
  ended(connection: C, reason: DisconnectReason): void
  /** The stream has closed as well. Called once. */
  closed(connection: C): void
  /** The client has taken what waited for it. */
  drained(connection: C): void
  /** The client has another identity. Settles once nothing more is delivered that it may not have any more. */
  identityChanged(connection: C, hasOtherRights: boolean): Promise<void>
  /** Something that the application is to be told of. */
  report(connection: C, error: MqttError, topic: string | undefined): void
}
