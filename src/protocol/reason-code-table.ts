import { PacketType } from './packet'
import { ReasonCode } from './reason-code'

const acknowledgement = [
  ReasonCode.Success,
  ReasonCode.UnspecifiedError,
  ReasonCode.ImplementationSpecificError,
  ReasonCode.NotAuthorized,
  ReasonCode.TopicNameInvalid,
  ReasonCode.PacketIdentifierInUse,
  ReasonCode.QuotaExceeded,
  ReasonCode.PayloadFormatInvalid,
]

const release = [ReasonCode.Success, ReasonCode.PacketIdentifierNotFound]

/** Reason Codes that a client may send, by packet type. What only a server sends is not among them. */
const clientCodes: ReadonlyMap<number, ReadonlySet<number>> = new Map<number, ReadonlySet<number>>([
  [PacketType.Puback, new Set(acknowledgement)],
  [PacketType.Pubrec, new Set(acknowledgement)],
  [PacketType.Pubrel, new Set(release)],
  [PacketType.Pubcomp, new Set(release)],
  [
    PacketType.Disconnect,
    new Set<number>([
      ReasonCode.Success,
      ReasonCode.DisconnectWithWill,
      ReasonCode.UnspecifiedError,
      ReasonCode.MalformedPacket,
      ReasonCode.ProtocolError,
      ReasonCode.ImplementationSpecificError,
      ReasonCode.TopicNameInvalid,
      ReasonCode.ReceiveMaximumExceeded,
      ReasonCode.TopicAliasInvalid,
      ReasonCode.PacketTooLarge,
      ReasonCode.MessageRateTooHigh,
      ReasonCode.QuotaExceeded,
      ReasonCode.AdministrativeAction,
      ReasonCode.PayloadFormatInvalid,
    ]),
  ],
  [PacketType.Auth, new Set<number>([ReasonCode.ContinueAuthentication, ReasonCode.ReAuthenticate])],
])

/** Whether a client may send a Reason Code in a packet of this type (MQTT 5.0 sections 3.4 to 3.7, 3.14, 3.15). */
export function isReasonCodeOf(type: number, code: number, _fromClient: true): boolean {
  return clientCodes.get(type)?.has(code) === true
}
