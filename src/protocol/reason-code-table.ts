import { PacketType } from './packet'
import { ReasonCode } from './reason-code'

const acknowledgement: readonly number[] = [
  ReasonCode.Success,
  ReasonCode.UnspecifiedError,
  ReasonCode.ImplementationSpecificError,
  ReasonCode.NotAuthorized,
  ReasonCode.TopicNameInvalid,
  ReasonCode.PacketIdentifierInUse,
  ReasonCode.QuotaExceeded,
  ReasonCode.PayloadFormatInvalid,
]

const release: readonly number[] = [ReasonCode.Success, ReasonCode.PacketIdentifierNotFound]

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

const refusals: readonly number[] = [
  ReasonCode.UnspecifiedError,
  ReasonCode.ImplementationSpecificError,
  ReasonCode.NotAuthorized,
  ReasonCode.TopicFilterInvalid,
  ReasonCode.PacketIdentifierInUse,
]

/** Reason Codes that a server may send, by packet type. */
const serverCodes: ReadonlyMap<number, ReadonlySet<number>> = new Map<number, ReadonlySet<number>>([
  [
    PacketType.Connack,
    new Set<number>([
      ReasonCode.Success,
      ReasonCode.UnspecifiedError,
      ReasonCode.MalformedPacket,
      ReasonCode.ProtocolError,
      ReasonCode.ImplementationSpecificError,
      ReasonCode.UnsupportedProtocolVersion,
      ReasonCode.ClientIdentifierNotValid,
      ReasonCode.BadUserNameOrPassword,
      ReasonCode.NotAuthorized,
      ReasonCode.ServerUnavailable,
      ReasonCode.ServerBusy,
      ReasonCode.Banned,
      ReasonCode.BadAuthenticationMethod,
      ReasonCode.TopicNameInvalid,
      ReasonCode.PacketTooLarge,
      ReasonCode.QuotaExceeded,
      ReasonCode.PayloadFormatInvalid,
      ReasonCode.RetainNotSupported,
      ReasonCode.QoSNotSupported,
      ReasonCode.UseAnotherServer,
      ReasonCode.ServerMoved,
      ReasonCode.ConnectionRateExceeded,
    ]),
  ],
  [PacketType.Puback, new Set([...acknowledgement, ReasonCode.NoMatchingSubscribers])],
  [PacketType.Pubrec, new Set([...acknowledgement, ReasonCode.NoMatchingSubscribers])],
  [PacketType.Pubrel, new Set(release)],
  [PacketType.Pubcomp, new Set(release)],
  [
    PacketType.Suback,
    new Set<number>([
      ReasonCode.Success,
      ReasonCode.GrantedQoS1,
      ReasonCode.GrantedQoS2,
      ...refusals,
      ReasonCode.QuotaExceeded,
      ReasonCode.SharedSubscriptionsNotSupported,
      ReasonCode.SubscriptionIdentifiersNotSupported,
      ReasonCode.WildcardSubscriptionsNotSupported,
    ]),
  ],
  [PacketType.Unsuback, new Set<number>([ReasonCode.Success, ReasonCode.NoSubscriptionExisted, ...refusals])],
  [
    PacketType.Disconnect,
    new Set<number>([
      ReasonCode.Success,
      ReasonCode.UnspecifiedError,
      ReasonCode.MalformedPacket,
      ReasonCode.ProtocolError,
      ReasonCode.ImplementationSpecificError,
      ReasonCode.NotAuthorized,
      ReasonCode.ServerBusy,
      ReasonCode.ServerShuttingDown,
      ReasonCode.KeepAliveTimeout,
      ReasonCode.SessionTakenOver,
      ReasonCode.TopicFilterInvalid,
      ReasonCode.TopicNameInvalid,
      ReasonCode.ReceiveMaximumExceeded,
      ReasonCode.TopicAliasInvalid,
      ReasonCode.PacketTooLarge,
      ReasonCode.MessageRateTooHigh,
      ReasonCode.QuotaExceeded,
      ReasonCode.AdministrativeAction,
      ReasonCode.PayloadFormatInvalid,
      ReasonCode.RetainNotSupported,
      ReasonCode.QoSNotSupported,
      ReasonCode.UseAnotherServer,
      ReasonCode.ServerMoved,
      ReasonCode.SharedSubscriptionsNotSupported,
      ReasonCode.ConnectionRateExceeded,
      ReasonCode.MaximumConnectTime,
      ReasonCode.SubscriptionIdentifiersNotSupported,
      ReasonCode.WildcardSubscriptionsNotSupported,
    ]),
  ],
  [
    PacketType.Auth,
    new Set<number>([ReasonCode.Success, ReasonCode.ContinueAuthentication, ReasonCode.ReAuthenticate]),
  ],
])

/**
 * The Reason Code that is sent: `code` itself where a server may send it in a packet of this type, else 0x80
 * Unspecified error. What hooks and the application name is not always one of the packet's own.
 */
export function reasonCodeOf(type: number, code: number): number {
  return serverCodes.get(type)?.has(code) === true ? code : ReasonCode.UnspecifiedError
}
