import { printable } from './printable'
import { ReasonCode } from './reason-code'

/**
 * Every error that the broker makes: its stable code, what it means, and the MQTT Reason Code
 * that it carries on the wire, where there is one.
 */
export const errorTable = {
  GNATMQ_OPTION_UNKNOWN: { meaning: 'an option that the broker does not have' },
  GNATMQ_OPTION_INVALID: { meaning: 'an option whose value is out of its range or of another type' },
  GNATMQ_SSL_PROTOCOL_UNSUPPORTED: { meaning: 'an SSL protocol that no OpenSSL of Node has, or a range upside down' },
  GNATMQ_CERTIFICATE_INVALID: { meaning: 'a certificate or key that cannot be read' },
  GNATMQ_CERTIFICATE_PASSPHRASE: { meaning: 'a wrong or missing password of a PFX or a private key' },
  GNATMQ_CERTIFICATE_KEY_MISMATCH: { meaning: 'a private key that does not belong to the certificate' },
  GNATMQ_CERTIFICATE_EXPIRED: { meaning: 'a certificate that is no longer, or not yet, valid' },
  GNATMQ_CERTIFICATE_REFUSED: {
    meaning: 'a client certificate that is missing, untrusted, revoked, expired or refused by checkServerIdentity',
  },
  GNATMQ_TLS_HANDSHAKE: { meaning: 'a TLS handshake that failed or took too long' },
  GNATMQ_DEPENDENCY_MISSING: { meaning: 'an optional package that this function needs is not installed' },
  GNATMQ_PASSWORD_FILE_INVALID: { meaning: 'a password file that cannot be read, with the line' },
  GNATMQ_PORT_IN_USE: { meaning: 'another process listens on the port' },
  GNATMQ_LISTEN_FAILED: { meaning: 'a listener that cannot start' },
  GNATMQ_ANONYMOUS_LISTENER: { meaning: 'a plain listener beyond the loopback interface without authentication' },
  GNATMQ_NOT_RUNNING: { meaning: 'an operation on a broker that is not started, or that is stopping' },
  GNATMQ_ALREADY_STARTED: { meaning: 'start() of a broker that runs' },
  GNATMQ_STORE_FAILED: { meaning: 'the store did not commit', reasonCode: ReasonCode.QuotaExceeded },
  GNATMQ_WAIT_TIMEOUT: { meaning: 'what a test waits for has not come in time: testBroker of gnatmq/testing' },
  GNATMQ_CLUSTER_NODE_ID: { meaning: 'a nodeId that another node of the cluster has' },
  GNATMQ_CLUSTER_FORMAT: { meaning: 'nodes of a cluster whose versions cannot understand each other' },
  GNATMQ_MALFORMED_PACKET: { meaning: 'a packet that cannot be parsed', reasonCode: ReasonCode.MalformedPacket },
  GNATMQ_PROTOCOL_ERROR: { meaning: 'a packet that is not allowed here', reasonCode: ReasonCode.ProtocolError },
  GNATMQ_PROTOCOL_VERSION: {
    meaning: 'a protocol version that the broker does not support',
    reasonCode: ReasonCode.UnsupportedProtocolVersion,
  },
  GNATMQ_CLIENT_IDENTIFIER: {
    meaning: 'a Client Identifier that is not allowed',
    reasonCode: ReasonCode.ClientIdentifierNotValid,
  },
  GNATMQ_BAD_CREDENTIALS: {
    meaning: 'a user name or password that is wrong',
    reasonCode: ReasonCode.BadUserNameOrPassword,
  },
  GNATMQ_NOT_AUTHORIZED: { meaning: 'something that the client may not do', reasonCode: ReasonCode.NotAuthorized },
  GNATMQ_IDENTITY_EXPIRED: {
    meaning: 'an identity whose expiresAt has come, and that was not renewed',
    reasonCode: ReasonCode.NotAuthorized,
  },
  GNATMQ_REVOKED: {
    meaning: 'a client whose connection, session or rights the application has revoked',
    reasonCode: ReasonCode.NotAuthorized,
  },
  GNATMQ_MESSAGE_RATE: {
    meaning: 'a client that has published faster than its limits allow for longer than rateTolerance',
    reasonCode: ReasonCode.MessageRateTooHigh,
  },
  GNATMQ_SESSION_OWNER: {
    meaning: 'a Client Identifier whose session belongs to another user',
    reasonCode: ReasonCode.NotAuthorized,
  },
  GNATMQ_HOOK_FAILED: {
    meaning: 'a hook that threw, rejected, did not answer in time or answered what MQTT cannot carry: the answer is no',
    reasonCode: ReasonCode.NotAuthorized,
  },
  GNATMQ_SERVER_BUSY: { meaning: 'more connections than allowed', reasonCode: ReasonCode.ServerBusy },
  GNATMQ_CONNECTION_RATE: {
    meaning: 'an address that has failed to authenticate too often within a minute',
    reasonCode: ReasonCode.ConnectionRateExceeded,
  },
  GNATMQ_SERVER_SHUTTING_DOWN: { meaning: 'the broker stops', reasonCode: ReasonCode.ServerShuttingDown },
  GNATMQ_CONNECT_TIMEOUT: { meaning: 'no CONNECT within connectTimeout', reasonCode: ReasonCode.MaximumConnectTime },
  GNATMQ_KEEP_ALIVE_TIMEOUT: {
    meaning: 'no packet within one and a half times Keep Alive',
    reasonCode: ReasonCode.KeepAliveTimeout,
  },
  GNATMQ_SESSION_TAKEN_OVER: {
    meaning: 'another connection with the same Client Identifier',
    reasonCode: ReasonCode.SessionTakenOver,
  },
  GNATMQ_TOPIC_NAME_INVALID: {
    meaning: 'a Topic Name that is empty, holds a wildcard, or is too long',
    reasonCode: ReasonCode.TopicNameInvalid,
  },
  GNATMQ_TOPIC_FILTER_INVALID: {
    meaning: 'a Topic Filter against section 4.7',
    reasonCode: ReasonCode.TopicFilterInvalid,
  },
  GNATMQ_TOPIC_ALIAS_INVALID: {
    meaning: 'a Topic Alias of 0, above the maximum, or unknown',
    reasonCode: ReasonCode.TopicAliasInvalid,
  },
  GNATMQ_RECEIVE_MAXIMUM: {
    meaning: 'more QoS 1 and 2 messages in flight than Receive Maximum',
    reasonCode: ReasonCode.ReceiveMaximumExceeded,
  },
  GNATMQ_PACKET_TOO_LARGE: {
    meaning: 'a packet larger than Maximum Packet Size',
    reasonCode: ReasonCode.PacketTooLarge,
  },
  GNATMQ_QUOTA_EXCEEDED: { meaning: 'a bound of the broker is reached', reasonCode: ReasonCode.QuotaExceeded },
  GNATMQ_QOS_NOT_SUPPORTED: { meaning: 'a QoS above Maximum QoS', reasonCode: ReasonCode.QoSNotSupported },
  GNATMQ_RETAIN_NOT_SUPPORTED: {
    meaning: 'a retained message where retain is off',
    reasonCode: ReasonCode.RetainNotSupported,
  },
  GNATMQ_PAYLOAD_FORMAT_INVALID: {
    meaning: 'a payload that is not the UTF-8 that it claims to be',
    reasonCode: ReasonCode.PayloadFormatInvalid,
  },
  GNATMQ_DISCONNECTED: {
    meaning: 'a connection that the application closed',
    reasonCode: ReasonCode.AdministrativeAction,
  },
  GNATMQ_REQUEST_FAILED: { meaning: 'a request without a response: in time, or because the responder failed' },
  GNATMQ_CONNECTION_LOST: { meaning: 'a connection that broke' },
} as const satisfies Record<string, { meaning: string; reasonCode?: number }>

/** A stable code of the error table. */
export type MqttErrorCode = keyof typeof errorTable

export interface MqttErrorOptions {
  cause?: unknown
  /** A Reason Code other than the table's. */
  reasonCode?: number | undefined
}

/** The one error class of the broker. `code` is stable; the message is for people. */
export class MqttError extends Error {
  override readonly name = 'MqttError'
  readonly code: MqttErrorCode
  /** The MQTT 5.0 Reason Code, where the error has one on the wire. */
  readonly reasonCode: number | undefined

  constructor(code: MqttErrorCode, message: string, options: MqttErrorOptions = {}) {
    super(printable(message), options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    const row: { readonly meaning: string; readonly reasonCode?: number } = errorTable[code]
    this.reasonCode = options.reasonCode ?? row.reasonCode
  }
}

/** A packet that cannot be parsed: Reason Code 0x81. */
export const malformed = (message: string): MqttError => new MqttError('GNATMQ_MALFORMED_PACKET', message)

/** A packet that can be parsed but is not allowed: Reason Code 0x82. */
export const protocolError = (message: string): MqttError => new MqttError('GNATMQ_PROTOCOL_ERROR', message)
