import { DEFAULT_CIPHERS, type SecureVersion } from 'node:tls'
import type { SslProtocolSetting } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'

/** The SSL and TLS versions of a broker. One of them as `sslProtocol` means exactly that version. */
export const MqttSslProtocols = {
  /** No TLS: the broker listens in plain text. */
  None: 'None',
  /** In no OpenSSL that Node ships: the broker refuses it. */
  SSLv3: 'SSLv3',
  /** For old devices only: insecure. */
  TLSv1_0: 'TLSv1_0',
  /** For old devices only: insecure. */
  TLSv1_1: 'TLSv1_1',
  TLSv1_2: 'TLSv1_2',
  TLSv1_3: 'TLSv1_3',
} as const

export type MqttSslProtocols = (typeof MqttSslProtocols)[keyof typeof MqttSslProtocols]

/** What Node's `tls` takes for an `sslProtocol`. */
export interface ProtocolRange {
  minVersion: SecureVersion
  maxVersion: SecureVersion
  /** Only where Node's own list is too strict for the version. */
  ciphers?: string | undefined
}

/** In rising order. */
const nodeVersions: ReadonlyMap<string, SecureVersion> = new Map<string, SecureVersion>([
  [MqttSslProtocols.TLSv1_0, 'TLSv1'],
  [MqttSslProtocols.TLSv1_1, 'TLSv1.1'],
  [MqttSslProtocols.TLSv1_2, 'TLSv1.2'],
  [MqttSslProtocols.TLSv1_3, 'TLSv1.3'],
])
const ranks: readonly SecureVersion[] = [...nodeVersions.values()]

/**
 * The versions that a setting allows: one value is exactly that version, `{ min, max }` a range, nothing TLS 1.2 to 1.3.
 * `ciphers` is a list of the user's own.
 * Throws GNATMQ_SSL_PROTOCOL_UNSUPPORTED or GNATMQ_OPTION_INVALID.
 */
export function protocolRange(setting: SslProtocolSetting | undefined, ciphers?: string): ProtocolRange {
  const { min, max } = bounds(setting)
  const minVersion = nodeVersion(min)
  const maxVersion = nodeVersion(max)
  if (ranks.indexOf(minVersion) > ranks.indexOf(maxVersion)) {
    throw new MqttError(
      'GNATMQ_SSL_PROTOCOL_UNSUPPORTED',
      `sslProtocol is upside down: min ${min} is above max ${max}. Exchange them`,
    )
  }
  // OpenSSL 3 allows the SHA-1 signatures of TLS 1.0 and 1.1 at security level 0 only.
  if (minVersion !== 'TLSv1' && minVersion !== 'TLSv1.1') {
    return ciphers === undefined ? { minVersion, maxVersion } : { minVersion, maxVersion, ciphers }
  }
  const list = ciphers ?? DEFAULT_CIPHERS
  return { minVersion, maxVersion, ciphers: list.includes('@SECLEVEL=') ? list : `${list}:@SECLEVEL=0` }
}

function bounds(setting: SslProtocolSetting | undefined): { min: string; max: string } {
  if (setting === undefined) return { min: MqttSslProtocols.TLSv1_2, max: MqttSslProtocols.TLSv1_3 }
  if (typeof setting === 'string') return { min: setting, max: setting }
  if (typeof setting === 'object' && setting !== null && setting.min !== undefined && setting.max !== undefined) {
    return setting
  }
  throw new MqttError(
    'GNATMQ_OPTION_INVALID',
    'sslProtocol is not one of MqttSslProtocols, nor { min, max } of two of them',
  )
}

function nodeVersion(protocol: string): SecureVersion {
  const version = nodeVersions.get(protocol)
  if (version !== undefined) return version
  if (protocol === MqttSslProtocols.SSLv3) {
    throw new MqttError(
      'GNATMQ_SSL_PROTOCOL_UNSUPPORTED',
      'SSLv3 is broken and in no OpenSSL that Node ships. ' +
        'Use MqttSslProtocols.TLSv1_2 or TLSv1_3; for clients that know nothing newer, MqttSslProtocols.TLSv1_0',
    )
  }
  if (protocol === MqttSslProtocols.None) {
    throw new MqttError(
      'GNATMQ_SSL_PROTOCOL_UNSUPPORTED',
      'MqttSslProtocols.None means no TLS: leave the certificate out, or choose MqttSslProtocols.TLSv1_2 or TLSv1_3',
    )
  }
  throw new MqttError(
    'GNATMQ_OPTION_INVALID',
    `sslProtocol is ${JSON.stringify(protocol)}: use one of MqttSslProtocols (${[...nodeVersions.keys()].join(', ')})`,
  )
}
