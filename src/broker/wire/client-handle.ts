import type { Client, ClientDisconnectOptions } from '../../ports/client'
import { type ClientLimits, givenClientLimits } from '../../ports/client-limits'
import type { Peer } from '../../ports/listener'
import type { Right, Rights } from '../../ports/rights'
import type { PeerCertificate } from '../../ports/tls'
import { MqttError } from '../../protocol/mqtt-error'
import type { ConnectPacket, ProtocolVersion, QoS, UserProperties } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { ClientExtras, type IdentityFields } from './client-extras'
import { ClientRights } from './client-rights'
import { givenDisconnect } from './given-reason'

/** What a Client shows of its connection. */
export interface ClientConnection {
  readonly channel: { readonly peer: Peer }
  readonly open: boolean
  readonly end: { whenGone(listener: () => void): void }
  /** Settles once nothing more is delivered that the client may not have any more. */
  identityChanged(hasOtherRights: boolean): Promise<void>
  disconnect(reasonCode: number, options: ClientDisconnectOptions, error: MqttError): void
}

/** The Client of a connection: what the application sees of it. */
export class ClientHandle implements Client {
  readonly clientId: string
  username: string | undefined
  readonly protocolVersion: ProtocolVersion
  readonly clean: boolean
  keepAlive: number
  readonly userProperties: UserProperties
  data: unknown = undefined
  /** What its User Properties count for in the memory, once its CONNECT is accepted. */
  propertiesCost = 0
  /** null where the client has nothing of it. */
  extras: ClientExtras | null = null
  private readonly acceptedAtWallTime: number
  private connection: ClientConnection

  constructor(connection: ClientConnection, packet: ConnectPacket, clientId: string, wallTime: number) {
    this.connection = connection
    this.clientId = clientId
    this.username = packet.username
    this.protocolVersion = packet.protocolVersion
    this.clean = packet.clean
    this.keepAlive = packet.keepAlive
    this.userProperties = packet.properties.userProperties ?? noProperties
    this.acceptedAtWallTime = wallTime
  }

  /** The connection has closed: a Will that waits, or the application, may keep the client for long, and must not keep all of the connection. */
  release(): void {
    const { peer } = this.connection.channel
    this.connection = { ...gone, channel: { peer } }
  }

  get remoteAddress(): string | undefined {
    return this.connection.channel.peer.remoteAddress
  }

  get remotePort(): number | undefined {
    return this.connection.channel.peer.remotePort
  }

  get servername(): string | undefined {
    return this.connection.channel.peer.servername
  }

  get certificate(): PeerCertificate | undefined {
    return this.connection.channel.peer.certificate
  }

  get tlsVersion(): string | undefined {
    return this.connection.channel.peer.tlsVersion
  }

  get connectedAt(): Date {
    return new Date(this.acceptedAtWallTime)
  }

  get connected(): boolean {
    return this.connection.open
  }

  get signal(): AbortSignal {
    const extras = this.openExtras()
    if (extras.aborter === undefined) {
      const aborter = new AbortController()
      extras.aborter = aborter
      this.connection.end.whenGone(() => aborter.abort())
    }
    return extras.aborter.signal
  }

  get expiresAt(): Date | undefined {
    const at = this.extras?.expiresAt
    return at === undefined ? undefined : new Date(at)
  }

  openExtras(): ClientExtras {
    return (this.extras ??= new ClientExtras())
  }

  /** Takes the identity that the application has given. What it leaves out stays as it was. */
  identify(identity: IdentityFields): void {
    const extras = this.openExtras()
    const { expiresAt, limits, rights } = identity
    if (limits !== undefined) extras.limits = limits
    if (expiresAt !== undefined) extras.expiresAt = expiresAt
    if (rights !== undefined) extras.rights = rights
  }

  get rights(): readonly Right[] | undefined {
    return this.extras?.rights?.compiled.list
  }

  /** Whether its rights allow a message. */
  mayPublish(topic: string, qos: QoS, retain: boolean): boolean {
    const rights = this.extras === null ? null : this.extras.rights
    return rights === null || rights.mayPublish(topic, (qos << 1) | (retain ? 1 : 0))
  }

  setRights(given: Rights | undefined): Promise<void> {
    const rights = given === undefined ? null : new ClientRights(given)
    this.openExtras().rights = rights
    return this.connection.identityChanged(true)
  }

  get limits(): ClientLimits | undefined {
    return this.extras?.limits
  }

  setLimits(given: ClientLimits | undefined): void {
    this.openExtras().limits = given === undefined ? undefined : givenClientLimits('limits', given)
    void this.connection.identityChanged(false)
  }

  disconnect(reasonCode: number = ReasonCode.AdministrativeAction, options: ClientDisconnectOptions = {}): void {
    const words = givenDisconnect(reasonCode, options)
    this.connection.disconnect(
      reasonCode,
      words,
      new MqttError('GNATMQ_DISCONNECTED', 'the application closed the connection', { reasonCode }),
    )
  }
}

/** What is left of a connection that has closed. */
const gone = Object.freeze({
  open: false,
  end: Object.freeze({ whenGone: (listener: () => void): void => listener() }),
  identityChanged: (): Promise<void> => Promise.resolve(),
  disconnect: (): void => undefined,
})

const noProperties: UserProperties = Object.freeze([])
