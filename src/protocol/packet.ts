/** Quality of Service levels (section 4.3). */
export type QoS = 0 | 1 | 2

/** The Protocol Level of CONNECT: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0. */
export type ProtocolVersion = 3 | 4 | 5

/** Control Packet types (section 2.1.2), as they stand in the upper half of the first byte. */
export const PacketType = {
  Connect: 1,
  Connack: 2,
  Publish: 3,
  Puback: 4,
  Pubrec: 5,
  Pubrel: 6,
  Pubcomp: 7,
  Subscribe: 8,
  Suback: 9,
  Unsubscribe: 10,
  Unsuback: 11,
  Pingreq: 12,
  Pingresp: 13,
  Disconnect: 14,
  Auth: 15,
} as const

/** User Properties keep their order and may repeat a name (MQTT 5.0 section 1.5.7). */
export type UserProperties = ReadonlyArray<readonly [name: string, value: string]>

/** Properties of an application message (MQTT 5.0 section 3.3.2.3), those that travel from publisher to subscriber. */
export interface MessageProperties {
  /** 1 says that the payload is UTF-8 text. */
  payloadFormatIndicator?: 0 | 1 | undefined
  /** Seconds until the message expires. */
  messageExpiryInterval?: number | undefined
  contentType?: string | undefined
  responseTopic?: string | undefined
  correlationData?: Uint8Array | undefined
  userProperties?: UserProperties | undefined
}

/** The Will of a CONNECT (section 3.1.2.5). */
export interface WillPacket {
  topic: string
  payload: Uint8Array
  qos: QoS
  retain: boolean
  /** MQTT 5.0: seconds between the end of the connection and the publishing of the Will. */
  willDelayInterval: number
  properties: MessageProperties
}

export interface ConnectPacket {
  type: typeof PacketType.Connect
  protocolName: string
  protocolVersion: ProtocolVersion
  /** Clean Session of 3.1.1, Clean Start of 5.0. */
  clean: boolean
  /** Seconds. */
  keepAlive: number
  clientId: string
  username?: string | undefined
  password?: Uint8Array | undefined
  will?: WillPacket | undefined
  properties: ConnectProperties
}

/** Properties of CONNECT (MQTT 5.0 section 3.1.2.11). */
export interface ConnectProperties {
  sessionExpiryInterval?: number | undefined
  receiveMaximum?: number | undefined
  maximumPacketSize?: number | undefined
  topicAliasMaximum?: number | undefined
  requestResponseInformation?: boolean | undefined
  requestProblemInformation?: boolean | undefined
  userProperties?: UserProperties | undefined
  authenticationMethod?: string | undefined
  authenticationData?: Uint8Array | undefined
}

export interface SubscriptionRequest {
  filter: string
  qos: QoS
  noLocal: boolean
  retainAsPublished: boolean
  /** 0: send retained messages, 1: only for a new subscription, 2: never. */
  retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  type: typeof PacketType.Subscribe
  packetIdentifier: number
  subscriptions: SubscriptionRequest[]
  /** MQTT 5.0: 1 to 268,435,455. */
  subscriptionIdentifier?: number | undefined
  userProperties?: UserProperties | undefined
}

export interface UnsubscribePacket {
  type: typeof PacketType.Unsubscribe
  packetIdentifier: number
  filters: string[]
  userProperties?: UserProperties | undefined
}

export interface PingreqPacket {
  type: typeof PacketType.Pingreq
}

export interface DisconnectPacket {
  type: typeof PacketType.Disconnect
  reasonCode: number
  sessionExpiryInterval?: number | undefined
  reasonString?: string | undefined
  userProperties?: UserProperties | undefined
}

export interface AuthPacket {
  type: typeof PacketType.Auth
  reasonCode: number
  authenticationMethod?: string | undefined
  authenticationData?: Uint8Array | undefined
  reasonString?: string | undefined
  userProperties?: UserProperties | undefined
}

/** What a client may send besides PUBLISH and its acknowledgements. */
export type ClientPacket =
  | ConnectPacket
  | SubscribePacket
  | UnsubscribePacket
  | PingreqPacket
  | DisconnectPacket
  | AuthPacket

/** Properties of CONNACK (MQTT 5.0 section 3.2.2.3). An absent property has its default. */
export interface ConnackProperties {
  sessionExpiryInterval?: number | undefined
  receiveMaximum?: number | undefined
  maximumQoS?: 0 | 1 | undefined
  retainAvailable?: boolean | undefined
  maximumPacketSize?: number | undefined
  assignedClientIdentifier?: string | undefined
  topicAliasMaximum?: number | undefined
  reasonString?: string | undefined
  userProperties?: UserProperties | undefined
  wildcardSubscriptionAvailable?: boolean | undefined
  subscriptionIdentifiersAvailable?: boolean | undefined
  sharedSubscriptionAvailable?: boolean | undefined
  serverKeepAlive?: number | undefined
  responseInformation?: string | undefined
  serverReference?: string | undefined
  authenticationMethod?: string | undefined
  authenticationData?: Uint8Array | undefined
}

/** Properties that explain a Reason Code, in SUBACK, UNSUBACK and the acknowledgements. */
export interface ReasonProperties {
  reasonString?: string | undefined
  userProperties?: UserProperties | undefined
}

/** Properties of a DISCONNECT that the server sends (MQTT 5.0 section 3.14.2.2). */
export interface DisconnectProperties extends ReasonProperties {
  serverReference?: string | undefined
}

/** Properties of AUTH (MQTT 5.0 section 3.15.2.2). */
export interface AuthProperties extends ReasonProperties {
  authenticationMethod?: string | undefined
  authenticationData?: Uint8Array | undefined
}
