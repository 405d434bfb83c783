import type {
  DetailedPeerCertificate,
  TlsOptions as NodeTlsOptions,
  PeerCertificate,
  SecureContext,
  SecureContextOptions,
  TLSSocket,
} from 'node:tls'
import type { MqttError } from '../protocol/mqtt-error'

/** What a certificate brings to a secure context: `pfx`/`passphrase`, or `cert`/`key`. */
export interface TlsIdentity {
  secureContextOptions(): SecureContextOptions
}

/** What the chain check found, before a hook overrules it. */
export interface PeerVerification {
  authorized: boolean
  authorizationError: Error | undefined
}

/**
 * Node's `tls.checkServerIdentity`, called by the broker with a client's certificate before one byte of MQTT is read.
 * An Error refuses the peer; undefined accepts it, even against a chain error that the third argument tells of.
 * `hostname` is the name that the client asked for (SNI), or an empty string.
 */
export type CheckServerIdentity = (
  hostname: string,
  peerCertificate: PeerCertificate,
  verification: PeerVerification,
) => Error | undefined

/** Node's `SNICallback`. */
export type SniCallback = (servername: string, done: (error: Error | null, context?: SecureContext) => void) => void

/** The values of MqttSslProtocols. */
export type SslProtocol = 'None' | 'SSLv3' | 'TLSv1_0' | 'TLSv1_1' | 'TLSv1_2' | 'TLSv1_3'
/** Exactly one version, or a range. */
export type SslProtocolSetting = SslProtocol | { min: SslProtocol; max: SslProtocol }

/** DER or PEM, one or several. */
export type CertificateInput = string | Uint8Array | ReadonlyArray<string | Uint8Array>

/** The TLS options of a broker or of one listener. */
export interface TlsOptions {
  /** Certificate and private key: a ServerCertificate. Default for a listener: the broker's. */
  certificate?: TlsIdentity | undefined
  /** One TLS version or a range, as `MqttSslProtocols.TLSv1_3` or `{ min, max }`. Default: TLS 1.2 to 1.3. */
  sslProtocol?: SslProtocolSetting | undefined
  /** Judges the client's certificate: see CheckServerIdentity. Asks clients for a certificate. */
  checkServerIdentity?: CheckServerIdentity | undefined
  /** Chooses the certificate by the server name that the client asks for. Default: `certificate` for every name. */
  SNICallback?: SniCallback | undefined
  /** CAs that client certificates are checked against. Asks clients for a certificate. */
  ca?: CertificateInput | undefined
  /** Revocation lists of those CAs. */
  crl?: CertificateInput | undefined
  /** Whether a client without a certificate is refused. Default: true with `ca` or `checkServerIdentity`. */
  requireCertificate?: boolean | undefined
  /** Cipher list in OpenSSL's words. Default: Node's. */
  ciphers?: string | undefined
  /**
   * Refuses a client that offers application protocols (ALPN) and not that of the listener, as RFC 7301 asks: `mqtt`, over
   * WebSocket `http/1.1`. Default: false; the first protocol that the client offers is taken then.
   */
  strictAlpn?: boolean | undefined
}

/** TLS options, checked, as a TLS listener uses them. */
export interface TlsSettings {
  /** For `tls.createServer`: identity, versions, SNI, ALPN, client certificates. */
  serverOptions: NodeTlsOptions
  /** Whether a client without a certificate is refused. */
  requiresCertificate: boolean
  /** Judges a peer after the handshake: the reason why it is refused, or undefined. */
  admit(socket: TLSSocket): MqttError | undefined
}

export type { DetailedPeerCertificate, PeerCertificate }

/** The names of the TLS options. */
export const tlsOptionNames = [
  'certificate',
  'sslProtocol',
  'checkServerIdentity',
  'SNICallback',
  'ca',
  'crl',
  'requireCertificate',
  'ciphers',
  'strictAlpn',
] as const satisfies readonly (keyof TlsOptions)[]

/** Protocols that a listener cannot speak: a client that offers nothing else is not answered with one of them. */
const otherHttp: readonly string[] = ['h2', 'h3']

/**
 * The part of Node's options that chooses the application protocol (RFC 7301). Node ends the handshake of a client whose protocols it does
 * not choose from, so that of a client with other names gets the first of those.
 */
export function alpn(protocol: string, strict = false): Pick<NodeTlsOptions, 'ALPNCallback' | 'ALPNProtocols'> {
  if (strict) return { ALPNProtocols: [protocol], ALPNCallback: undefined }
  const choose = ({ protocols }: { protocols: string[] }): string | undefined =>
    protocols.includes(protocol) ? protocol : protocols.find((name) => !otherHttp.includes(name))
  return { ALPNProtocols: undefined, ALPNCallback: choose }
}
