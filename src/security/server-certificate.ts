import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { SecureContextOptions } from 'node:tls'
import { invalidValue, readFields } from '../ports/given-values'
import type { CertificateInput, TlsIdentity } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import { certificatesOf } from './certificate-input'
import { privateKeyOf } from './key-input'
import { readPkcs12 } from './pkcs12'

/** A certificate and its private key, PEM or DER each. */
export interface PemCertificate {
  /** The certificate, and the intermediate certificates that clients don't have. */
  cert: CertificateInput
  /** PKCS#8, PKCS#1 or SEC1, encrypted or not. */
  key: string | Uint8Array
  /** The password of an encrypted key. */
  passphrase?: string | undefined
  /** Further intermediate certificates. */
  ca?: CertificateInput | undefined
}

/** Names of files: a PFX, or a certificate and its private key, PEM or DER. */
export type CertificateFiles =
  | { pfx: string; passphrase?: string | undefined }
  | { cert: string; key: string; passphrase?: string | undefined; ca?: string | undefined }

/**
 * What a broker proves its name with: a certificate, its private key, and the intermediate certificates between it and
 * the CA that clients trust. All that can be wrong with them is found at once, but for their dates: see `check`.
 */
export class ServerCertificate implements TlsIdentity {
  /** The distinguished name that the certificate is for, a line for each part. */
  readonly subject: string
  /** The distinguished name of the CA that signed it. */
  readonly issuer: string
  /** The names that clients may use: `DNS:localhost, IP Address:127.0.0.1`. */
  readonly subjectAltName: string | undefined
  readonly validFrom: Date
  readonly validTo: Date
  /** SHA-256 of the certificate, in hexadecimal pairs with colons. */
  readonly fingerprint256: string
  /** PEM: the certificate, then its intermediate certificates. */
  readonly cert: string
  readonly #key: string

  private constructor(certificates: readonly X509Certificate[], key: KeyObject) {
    const chain = chainOf(certificates, key)
    const own = chain[0]!
    this.subject = own.subject
    this.issuer = own.issuer
    this.subjectAltName = own.subjectAltName
    this.validFrom = new Date(own.validFrom)
    this.validTo = new Date(own.validTo)
    this.fingerprint256 = own.fingerprint256
    this.cert = chain.map(String).join('')
    this.#key = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  }

  /**
   * Reads a PFX (PKCS#12), as `openssl pkcs12`, Windows and `gnatmq cert` write it. The old ciphers of Windows tools
   * need the optional package node-forge.
   * Throws GNATMQ_CERTIFICATE_PASSPHRASE, GNATMQ_CERTIFICATE_INVALID, GNATMQ_CERTIFICATE_KEY_MISMATCH or
   * GNATMQ_DEPENDENCY_MISSING.
   */
  static fromPfx(bytes: Uint8Array, passphrase?: string): ServerCertificate {
    if (!(bytes instanceof Uint8Array)) {
      throw new MqttError(
        'GNATMQ_OPTION_INVALID',
        'the PFX is not a Buffer: read the file, or use ServerCertificate.fromFiles',
      )
    }
    checkPassphrase(passphrase)
    const { keys, certificates } = readPkcs12(bytes, passphrase)
    if (keys.length === 0) {
      throw new MqttError('GNATMQ_CERTIFICATE_INVALID', 'the PFX holds no private key: export it with its private key')
    }
    const privateKeys = keys.map(pkcs8Key)
    const x509 = certificates.flatMap((der) => certificatesOf(der, 'the PFX'))
    const key = privateKeys.find((one) => x509.some((certificate) => certificate.checkPrivateKey(one)))
    return new ServerCertificate(x509, key ?? privateKeys[0]!)
  }

  /** Throws GNATMQ_CERTIFICATE_PASSPHRASE, GNATMQ_CERTIFICATE_INVALID or GNATMQ_CERTIFICATE_KEY_MISMATCH. */
  static fromPem(pem: PemCertificate): ServerCertificate {
    const { cert, key, passphrase, ca } = readFields('fromPem', pem, pemNames, 'passed over') as PemCertificate
    checkPassphrase(passphrase)
    const certificates = certificatesOf(cert, 'cert')
    if (ca !== undefined) certificates.push(...certificatesOf(ca, 'ca'))
    return new ServerCertificate(certificates, privateKeyOf(key, passphrase))
  }

  /** The same from files. Rejects with GNATMQ_CERTIFICATE_INVALID, too, for a file that cannot be read. */
  static async fromFiles(files: CertificateFiles): Promise<ServerCertificate> {
    const { pfx, cert: certFile, key: keyFile, passphrase, ca: caFile } = readFields('fromFiles', files, fileNames)
    checkPassphrase(passphrase)
    if (pfx !== undefined) {
      if (certFile !== undefined || keyFile !== undefined || caFile !== undefined)
        throw new MqttError('GNATMQ_OPTION_INVALID', 'pfx comes beside cert, key or ca: give one or the other')
      return ServerCertificate.fromPfx(await contentOf('pfx', pfx), passphrase)
    }
    const [cert, key, ca] = await Promise.all([
      contentOf('cert', certFile),
      contentOf('key', keyFile),
      caFile === undefined ? undefined : contentOf('ca', caFile),
    ])
    return ServerCertificate.fromPem({ cert, key, passphrase, ca })
  }

  /** Throws GNATMQ_CERTIFICATE_EXPIRED unless the certificate is valid at `wallTimeMs`, milliseconds since 1970. */
  check(wallTimeMs: number): void {
    if (!Number.isFinite(wallTimeMs)) throw invalidValue('wallTimeMs', 'milliseconds since 1970', wallTimeMs)
    const name = this.subject.replaceAll('\n', ', ')
    if (wallTimeMs > this.validTo.getTime()) {
      throw new MqttError(
        'GNATMQ_CERTIFICATE_EXPIRED',
        `the server certificate (${name}) expired on ${this.validTo.toISOString()}: have a new one signed`,
      )
    }
    if (wallTimeMs < this.validFrom.getTime()) {
      throw new MqttError(
        'GNATMQ_CERTIFICATE_EXPIRED',
        `the server certificate (${name}) is valid from ${this.validFrom.toISOString()} only: check the machine's clock`,
      )
    }
  }

  secureContextOptions(): SecureContextOptions {
    return { cert: this.cert, key: this.#key }
  }
}

const pemNames = ['cert', 'key', 'passphrase', 'ca'] as const
const fileNames = ['pfx', ...pemNames] as const

function checkPassphrase(passphrase: unknown): asserts passphrase is string | undefined {
  if (passphrase !== undefined && typeof passphrase !== 'string')
    throw invalidValue('passphrase', 'a string', passphrase)
}

/** The certificate that fits the key, and the way up from it, without the root: clients trust their own copy of that. */
function chainOf(certificates: readonly X509Certificate[], key: KeyObject): X509Certificate[] {
  const own = certificates.find((certificate) => certificate.checkPrivateKey(key))
  if (own === undefined) {
    throw new MqttError(
      'GNATMQ_CERTIFICATE_KEY_MISMATCH',
      certificates.length === 0
        ? 'the private key comes without a certificate: export both together'
        : `the private key does not belong to the certificate (${certificates[0]!.subject.replaceAll('\n', ', ')}): ` +
            'give the key that its signing request was made with',
    )
  }
  const chain = [own]
  for (let last = own; ; ) {
    const issuer = certificates.find(
      (one) => !chain.includes(one) && !isSelfIssued(one) && last.checkIssued(one) && last.verify(one.publicKey),
    )
    if (issuer === undefined) return chain
    chain.push(issuer)
    last = issuer
  }
}

const isSelfIssued = (certificate: X509Certificate): boolean => certificate.subject === certificate.issuer

function pkcs8Key(der: Uint8Array): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
  } catch (cause) {
    throw new MqttError(
      'GNATMQ_CERTIFICATE_INVALID',
      'the private key in the PFX is of a kind that Node does not know: use an RSA or EC key',
      { cause },
    )
  }
}

async function contentOf(what: string, file: unknown): Promise<Buffer> {
  // a number would be read as a file that is open already
  if (typeof file !== 'string' || file === '') throw invalidValue(what, 'the name of a file', file)
  try {
    return await readFile(file)
  } catch (cause) {
    throw new MqttError(
      'GNATMQ_CERTIFICATE_INVALID',
      `the file ${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}
