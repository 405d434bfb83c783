import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents, DisconnectReason } from '../../ports/events'
import type { Logger } from '../../ports/logger'
import { decodePacket, pingresp } from '../../protocol/codec'
import type { Frame } from '../../protocol/frame'
import { MqttError } from '../../protocol/mqtt-error'
import { type ConnectPacket, PacketType } from '../../protocol/packet'
import type { PublishPacket } from '../../protocol/publish-packet'
import type { QueueSender } from '../delivery/queue-sender'
import type { WideFanout } from '../delivery/wide-fanout'
import type { AddressCounts } from '../wire/address-counts'
import type { Connection } from '../wire/connection'
import type { HalfOpen } from '../wire/half-open'
import type { PacketHandler } from '../wire/packet-handler'
import type { AcknowledgementReceiver } from './acknowledgement'
import type { AuthReceiver } from './auth'
import type { ConnectReceiver } from './connect'
import type { DisconnectReceiver } from './disconnect'
import type { LargeRequests } from './large-requests'
import type { PublishReceiver } from './publish'
import type { Revoker } from './revoker'
import type { SubscribeReceiver } from './subscribe'
import type { UnsubscribeReceiver } from './unsubscribe'

/** Bytes of a SUBSCRIBE or UNSUBSCRIBE that is read in slices. */
const LARGE_REQUEST = 1024

export interface DispatcherParts {
  readonly logger: Logger
  readonly events: EventEmitter<BrokerEvents>
  readonly publish: PublishReceiver
  readonly acknowledgement: AcknowledgementReceiver
  readonly connect: ConnectReceiver
  readonly subscribe: SubscribeReceiver
  readonly unsubscribe: UnsubscribeReceiver
  readonly largeRequests: LargeRequests
  readonly disconnect: DisconnectReceiver
  readonly auth: AuthReceiver
  readonly revoker: Revoker
  readonly queues: QueueSender
  readonly wide: WideFanout
  /** Every connection, before and after its CONNECT. */
  readonly connections: Set<Connection>
  readonly halfOpen: HalfOpen
  readonly addressCounts: AddressCounts
}

/** Brings each packet to the receiver of its type. */
export class PacketDispatcher implements PacketHandler<Connection> {
  private readonly parts: DispatcherParts
  private readonly publishReceiver: PublishReceiver
  private readonly acknowledgementReceiver: AcknowledgementReceiver

  constructor(parts: DispatcherParts) {
    this.parts = parts
    this.publishReceiver = parts.publish
    this.acknowledgementReceiver = parts.acknowledgement
  }

  beginChunk(): void {
    this.publishReceiver.beginChunk()
    this.acknowledgementReceiver.beginChunk()
  }

  publish(connection: Connection, packet: PublishPacket): void {
    this.publishReceiver.receive(connection, packet)
  }

  acknowledgement(connection: Connection, bytes: Buffer, frame: Frame): void {
    this.acknowledgementReceiver.receive(connection, bytes, frame)
  }

  connect(connection: Connection, bytes: Buffer, frame: Frame): void {
    const { connect } = this.parts
    let packet: ConnectPacket
    try {
      packet = decodePacket(bytes, frame.start, frame.body, frame.end, connection.version) as ConnectPacket
    } catch (error) {
      if (!(error instanceof MqttError)) throw error
      connect.refuseMalformed(connection, bytes, frame, error)
      return
    }
    connection.speak(packet.protocolVersion)
    connect.receive(connection, packet)
  }

  control(connection: Connection, bytes: Buffer, frame: Frame): void {
    const type = frame.first >> 4
    // what was published before it comes before its answer
    if (connection.session !== null) this.parts.wide.settle(connection.session)
    if ((type === PacketType.Subscribe || type === PacketType.Unsubscribe) && frame.end - frame.body > LARGE_REQUEST) {
      this.parts.largeRequests.receive(connection, bytes, frame)
      return
    }
    const packet = decodePacket(bytes, frame.start, frame.body, frame.end, connection.version)
    switch (packet.type) {
      case PacketType.Subscribe:
        this.parts.subscribe.subscribe(connection, packet)
        return
      case PacketType.Unsubscribe:
        this.parts.unsubscribe.unsubscribe(connection, packet)
        return
      case PacketType.Pingreq:
        connection.outbox.write(pingresp)
        return
      case PacketType.Disconnect:
        this.parts.disconnect.receive(connection, packet)
        return
      case PacketType.Auth:
        this.parts.auth.receive(connection, packet)
        return
    }
  }

  ended(connection: Connection, reason: DisconnectReason): void {
    this.parts.disconnect.ended(connection, reason)
  }

  closed(connection: Connection): void {
    this.parts.connections.delete(connection)
    this.parts.halfOpen.leave(connection)
    // a connection whose stream has closed still counts while the packets that came before are worked off
    this.parts.addressCounts.remove(connection.channel.peer.remoteAddress)
    connection.client?.release()
  }

  identityChanged(connection: Connection, hasOtherRights: boolean): Promise<void> {
    return this.parts.revoker.revise(connection, hasOtherRights)
  }

  drained({ outbox, session }: Connection): void {
    if (session !== null && session.output === outbox) this.parts.queues.send(session)
  }

  report(connection: Connection, error: MqttError, topic: string | undefined): void {
    const { channel, client, open, session } = connection
    const { events, logger } = this.parts
    const { code, reasonCode, cause } = error
    const { path, remoteAddress } = channel.peer
    const details = { clientId: client?.clientId, username: client?.username, topic, path }
    const fields = { code, reasonCode, ...details, remoteAddress }
    // a stack says something only of a fault: a wrong password has none to show
    logger.warn(cause === undefined ? fields : { ...fields, err: error }, error.message)
    if (events.listenerCount('clientError') === 0) return
    const accepted = (open || connection.closing) && session !== null
    events.emit('clientError', error, { ...channel.peer }, accepted ? (client ?? undefined) : undefined, details)
  }
}
