/**
 * The broker: everything that `import` and `require` of `gnatmq` give.
 *
 * @module gnatmq
 */

export type { MessageStreamOptions } from './broker/delivery/message-stream'
export type { PublishOptions } from './broker/delivery/publish-options'
export type { RequestOptions, Responder, Response } from './broker/delivery/requests'
export type { EndSubscription } from './broker/delivery/session-subscriptions'
export type { ApplicationSubscribeOptions } from './broker/delivery/subscribe-options'
export type { LimitOptions } from './limits'
export { type BrokerState, MqttBroker, type UserAuth } from './mqtt-broker'
export type { MqttBrokerOptions } from './options'
export { MemoryStore } from './persistence/memory-store'
export type { ApplicationMessage as Message } from './ports/application-message'
export type { Client, ClientDisconnectOptions } from './ports/client'
export type { ClientLimits } from './ports/client-limits'
export type { Clock } from './ports/clock'
export type {
  BrokerEvents,
  DisconnectReason,
  ErrorDetails,
  HandlerFailure,
  MessageAcknowledgement,
  MessageDrop,
  RestoreProgress,
  SessionEndReason,
  SubscriptionEvent,
} from './ports/events'
export type { ExplainCause, ExplainCheck, ExplainRequest, Explanation } from './ports/explanation'
export type {
  AuthenticateVerdict,
  AuthenticationExchange,
  AuthenticationMethod,
  AuthenticationStep,
  Credentials,
  Denial,
  Hooks,
  Identity,
  IdentityTerms,
  PublishRequest,
  SubscribeRequest,
  SubscribeVerdict,
  Verdict,
} from './ports/hooks'
export type {
  ListOptions,
  QueueInfo,
  SessionBounds,
  SessionInfo,
  SubscriptionCursor,
  SubscriptionInfo,
  SubscriptionListOptions,
  WillInfo,
} from './ports/inspection'
export type { Channel, Listener, ListenerAddress, ListenerContext, Peer, WaitingPeer } from './ports/listener'
export type { Logger, LogMethod } from './ports/logger'
export type { RevocationTarget, Revoked } from './ports/revocation'
export type { CompiledRights, Right, Rights } from './ports/rights'
export type {
  BrokerHistograms,
  BrokerStatistics,
  CountsByQoS,
  DroppedMessages,
  HistogramCounts,
} from './ports/statistics'
export type * from './ports/store'
export type {
  CertificateInput,
  CheckServerIdentity,
  PeerVerification,
  SniCallback,
  SslProtocol,
  SslProtocolSetting,
  TlsIdentity,
  TlsOptions,
  TlsSettings,
} from './ports/tls'
export type {
  Decision,
  TracedBytes,
  TracedDecision,
  TracedPacket,
  TraceEntry,
  TraceOptions,
  TraceStream,
  TraceTarget,
} from './ports/trace'
export { covers } from './protocol/covers'
export { MqttError, type MqttErrorCode, type MqttErrorOptions } from './protocol/mqtt-error'
export type { MessageProperties, ProtocolVersion, QoS, UserProperties } from './protocol/packet'
export { ReasonCode } from './protocol/reason-code'
export { compileRights } from './rights/compile-rights'
export type { SharedStrategy } from './routing/shared-group'
export {
  CertificateAuthority,
  type CertificateOptions,
  type LoadedAuthority,
  type RevocationListOptions,
  type ServerCertificateOptions,
} from './security/certificate-authority'
export { IssuedCertificate } from './security/issued-certificate'
export { hashPassword, PasswordFile } from './security/password-file'
export type { CertificateHash, EllipticCurve, KeyOptions } from './security/private-key'
export { type ScramCredentials, type ScramLookup, scramCredentials, scramSha256 } from './security/scram-sha-256'
export { type CertificateFiles, type PemCertificate, ServerCertificate } from './security/server-certificate'
export { MqttSslProtocols } from './security/ssl-protocol'
export type { OverflowPolicy } from './session/session'
export type { ApplicationServer } from './transport/attached-websocket'
export { type InProcessListener, inProcess } from './transport/in-process'
export { type TcpOptions, tcp } from './transport/tcp'
export { type TlsListenerOptions, tls } from './transport/tls'
export { type AttachOptions, type WebSocketOptions, webSocket } from './transport/websocket'
export type { InputOf, OutputOf, StandardResult, StandardSchema } from './typed/standard-schema'
export {
  checkPayloads,
  defineTopic,
  type PayloadEncoding,
  type TopicParameters,
  type TypedBroker,
  type TypedMessage,
  TypedTopic,
} from './typed/typed-topic'
