import { pingresp } from '../../protocol/codec'
import { protocolError } from '../../protocol/mqtt-error'
import { type ClientPacket, type ConnectPacket, type DisconnectPacket, PacketType } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import type { Connection } from '../wire/connection'

/** The packets that are read to an object, CONNECT aside. Throws MqttError for what ends the connection. */
export function receiveControlPacket(connection: Connection, packet: Exclude<ClientPacket, ConnectPacket>): void {
  const { core } = connection
  switch (packet.type) {
    case PacketType.Subscribe:
      core.subscriber.subscribe(connection, packet)
      return
    case PacketType.Unsubscribe:
      core.subscriber.unsubscribe(connection, packet)
      return
    case PacketType.Pingreq:
      connection.outbox.write(pingresp)
      return
    case PacketType.Disconnect:
      receiveDisconnect(connection, packet)
      return
    case PacketType.Auth:
      core.authentication.receive(connection, packet)
      return
  }
}

function receiveDisconnect(connection: Connection, { reasonCode, sessionExpiryInterval }: DisconnectPacket): void {
  const { session } = connection
  if (sessionExpiryInterval !== undefined && session !== null) {
    if (sessionExpiryInterval > 0 && session.expiryInterval === 0)
      throw protocolError('DISCONNECT that revives a session without expiry [MQTT-3.14.2-2]')
    connection.core.sessions.changeExpiry(session, sessionExpiryInterval)
  }
  // [MQTT-3.14.4-3] a clean end takes the Will with it
  if (reasonCode === ReasonCode.Success) connection.will = null
  connection.finish({ reasonCode, byClient: true, error: undefined }, null)
}
