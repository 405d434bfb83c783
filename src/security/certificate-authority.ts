import { randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import type { Extension, Name } from '@peculiar/x509'
import { MqttError } from '../protocol/mqtt-error'
import { loadX509 } from './certificate-packages'
import { derInteger } from './der'
import { IssuedCertificate } from './issued-certificate'
import { type CertificateHash, type KeyOptions, PrivateKey, toPem } from './private-key'
import { subjectAlternativeNames } from './subject-alternative-name'

export interface CertificateOptions extends KeyOptions {
  /** The Common Name, at most 64 characters. */
  name: string
  /** The hash of the signature. Default: the CA's, or what suits its key. */
  hash?: CertificateHash | undefined
  /** How many days the certificate is valid. Default: 3650 for a CA, 397 for what it signs, never beyond the CA. */
  days?: number | undefined
}

export interface ServerCertificateOptions extends CertificateOptions {
  /** Host names and IP addresses beside `name`, which is always one of them. */
  hosts?: readonly string[] | undefined
}

export interface LoadedAuthority {
  /** PEM or DER. PEM may go on with the CA's own issuers. */
  cert: string | Uint8Array
  /** PEM or DER. */
  key: string | Uint8Array
  /** The password of an encrypted key. */
  passphrase?: string | undefined
}

export interface RevocationListOptions {
  /** Serial numbers of what the CA signed: the whole list, each time. */
  revoked: readonly string[]
  /** Days until clients of the list look for a newer one. Default: 30. */
  days?: number | undefined
}

type X509 = Awaited<ReturnType<typeof loadX509>>
type Validity = { notBefore: Date; notAfter: Date }

const dayMs = 86_400_000
/** Machines whose clock is a little slow trust a fresh certificate too. */
const backdatingMs = 600_000
const hashes: readonly CertificateHash[] = ['SHA-256', 'SHA-384', 'SHA-512']

/**
 * A Certificate Authority of your own: makes server and client certificates for peers that trust it.
 * Needs the optional packages `@peculiar/x509` and `reflect-metadata`, and `pkijs` for PFX files.
 */
export class CertificateAuthority {
  /** PEM: the CA's certificate, and its issuers if it has any. What clients have to trust. */
  readonly cert: string
  /** DER: the CA's certificate. */
  readonly certDer: Uint8Array

  private constructor(
    private readonly x509: X509,
    /** The CA first, then its issuers. */
    private readonly chain: readonly X509Certificate[],
    private readonly privateKey: PrivateKey,
  ) {
    this.cert = chain.map(String).join('')
    this.certDer = chain[0]!.raw
  }

  /**
   * Makes a self-signed CA.
   * Rejects with GNATMQ_OPTION_INVALID, or with GNATMQ_DEPENDENCY_MISSING when an optional package is not installed.
   */
  static async create(options: CertificateOptions): Promise<CertificateAuthority> {
    checkOptions(options)
    const x509 = await loadX509()
    const privateKey = await PrivateKey.generate(options)
    const subject = commonName(x509, options.name)
    const { notBefore, notAfter } = validity(options.days ?? 3650)
    const { key, algorithm } = await privateKey.signing(options.hash)
    const subjectKey = await x509.SubjectKeyIdentifierExtension.create(publicKeyOf(x509, privateKey), false, webcrypto)
    const certificate = await x509.X509CertificateGenerator.create(
      {
        serialNumber: randomSerialNumber(),
        subject,
        issuer: subject,
        notBefore,
        notAfter,
        publicKey: publicKeyOf(x509, privateKey),
        signingKey: key,
        signingAlgorithm: algorithm,
        extensions: [
          new x509.BasicConstraintsExtension(true, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
          subjectKey,
          new x509.AuthorityKeyIdentifierExtension(subjectKey.keyId),
        ],
      },
      webcrypto,
    )
    return new CertificateAuthority(x509, [new X509Certificate(new Uint8Array(certificate.rawData))], privateKey)
  }

  /**
   * Takes a CA that exists.
   * Rejects with GNATMQ_CERTIFICATE_INVALID, GNATMQ_CERTIFICATE_PASSPHRASE, GNATMQ_CERTIFICATE_KEY_MISMATCH,
   * GNATMQ_CERTIFICATE_EXPIRED or GNATMQ_DEPENDENCY_MISSING.
   */
  static async load(authority: LoadedAuthority): Promise<CertificateAuthority> {
    const x509 = await loadX509()
    const chain = readCertificates(authority.cert)
    const privateKey = PrivateKey.read(authority.key, authority.passphrase)
    const own = chain[0]!
    if (!own.ca) {
      throw new MqttError('GNATMQ_CERTIFICATE_INVALID', `the certificate of ${own.subject} is not that of a CA`)
    }
    if (!own.publicKey.export({ type: 'spki', format: 'der' }).equals(privateKey.publicDer)) {
      throw new MqttError(
        'GNATMQ_CERTIFICATE_KEY_MISMATCH',
        `the private key does not belong to the CA ${own.subject}: give the key that was made with it`,
      )
    }
    const now = Date.now()
    if (now > Date.parse(own.validTo) || now < Date.parse(own.validFrom)) {
      throw new MqttError(
        'GNATMQ_CERTIFICATE_EXPIRED',
        `the CA ${own.subject} is valid from ${own.validFrom} to ${own.validTo}: make a new one`,
      )
    }
    return new CertificateAuthority(x509, chain, privateKey)
  }

  /** The CA's private key as PEM (PKCS#8), not encrypted. */
  get key(): string {
    return this.privateKey.pem
  }

  /** When the CA expires. */
  get notAfter(): Date {
    return new Date(this.chain[0]!.validTo)
  }

  /** The CA's private key as PEM, encrypted: PKCS#8 with AES-256-CBC and PBKDF2. Throws GNATMQ_OPTION_INVALID for an empty password. */
  keyPem(passphrase: string): string {
    return this.privateKey.encryptedPem(passphrase)
  }

  /** A certificate for a server. `name` is the host name that clients connect to. Rejects with GNATMQ_OPTION_INVALID. */
  async issueServer(options: ServerCertificateOptions): Promise<IssuedCertificate> {
    checkOptions(options)
    const names = subjectAlternativeNames([options.name, ...(options.hosts ?? [])])
    return this.issue(options, [
      new this.x509.ExtendedKeyUsageExtension([this.x509.ExtendedKeyUsage.serverAuth]),
      new this.x509.SubjectAlternativeNameExtension(names),
    ])
  }

  /** A certificate for a client. `name` is the identity of the client. Rejects with GNATMQ_OPTION_INVALID. */
  async issueClient(options: CertificateOptions): Promise<IssuedCertificate> {
    checkOptions(options)
    return this.issue(options, [new this.x509.ExtendedKeyUsageExtension([this.x509.ExtendedKeyUsage.clientAuth])])
  }

  /** A Certificate Revocation List as PEM, for the `crl` option of a broker. Rejects with GNATMQ_OPTION_INVALID. */
  async crl(options: RevocationListOptions): Promise<string> {
    const { x509 } = this
    checkDays(options.days)
    const thisUpdate = wholeSeconds(Date.now() - backdatingMs)
    const { key, algorithm } = await this.privateKey.signing(this.hash())
    const list = await x509.X509CrlGenerator.create(
      {
        issuer: this.subject(),
        thisUpdate,
        nextUpdate: wholeSeconds(Date.now() + (options.days ?? 30) * dayMs),
        entries: options.revoked.map((serialNumber) => ({
          serialNumber: checkedSerialNumber(serialNumber),
          revocationDate: thisUpdate,
        })),
        extensions: [
          new x509.AuthorityKeyIdentifierExtension(await this.keyIdentifier()),
          // RFC 5280, 5.2.3: a CRL number that grows.
          new x509.Extension('2.5.29.20', false, derInteger(Date.now())),
        ],
        signingKey: key,
        signingAlgorithm: algorithm,
      },
      webcrypto,
    )
    // OpenSSL, and with it Node, reads a list under this label only.
    return toPem('X509 CRL', new Uint8Array(list.rawData))
  }

  private async issue(options: CertificateOptions, extensions: Extension[]): Promise<IssuedCertificate> {
    const { x509 } = this
    const privateKey = await PrivateKey.generate(options)
    const publicKey = publicKeyOf(x509, privateKey)
    const { key, algorithm } = await this.privateKey.signing(options.hash ?? this.hash())
    const keyEncipherment = publicKey.algorithm.name.startsWith('RSA') ? x509.KeyUsageFlags.keyEncipherment : 0
    const certificate = await x509.X509CertificateGenerator.create(
      {
        serialNumber: randomSerialNumber(),
        subject: commonName(x509, options.name),
        issuer: this.subject(),
        ...this.within(validity(options.days ?? 397)),
        publicKey,
        signingKey: key,
        signingAlgorithm: algorithm,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | keyEncipherment, true),
          ...extensions,
          await x509.SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
          new x509.AuthorityKeyIdentifierExtension(await this.keyIdentifier()),
        ],
      },
      webcrypto,
    )
    return new IssuedCertificate(options.name, new Uint8Array(certificate.rawData), privateKey, this.chain)
  }

  /** A certificate that outlives its CA is one that fails without a visible reason. */
  private within({ notBefore, notAfter }: Validity): Validity {
    const own = this.chain[0]!
    return {
      notBefore: new Date(Math.max(notBefore.getTime(), Date.parse(own.validFrom))),
      notAfter: new Date(Math.min(notAfter.getTime(), Date.parse(own.validTo))),
    }
  }

  private parsed() {
    return new this.x509.X509Certificate(this.certDer)
  }

  /** The CA's name in the encoding of its own certificate: a verifier compares the bytes. */
  private subject(): Name {
    return this.parsed().subjectName
  }

  private async keyIdentifier(): Promise<string> {
    const { x509 } = this
    const own = this.parsed().getExtension(x509.SubjectKeyIdentifierExtension)
    return (
      own ?? (await x509.SubjectKeyIdentifierExtension.create(publicKeyOf(x509, this.privateKey), false, webcrypto))
    ).keyId
  }

  private hash(): CertificateHash | undefined {
    const name = this.parsed().signatureAlgorithm.hash?.name
    return hashes.find((hash) => hash === name)
  }
}

const wholeSeconds = (ms: number): Date => new Date(Math.floor(ms / 1000) * 1000)

function validity(days: number): Validity {
  const now = Date.now()
  return { notBefore: wholeSeconds(now - backdatingMs), notAfter: wholeSeconds(now + days * dayMs) }
}

/** 127 random bits, the highest of them set: positive, and never zero (RFC 5280, 4.1.2.2). */
function randomSerialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.toString('hex')
}

const commonName = (x509: X509, name: string): Name => new x509.Name([{ CN: [{ utf8String: name }] }])

const publicKeyOf = (x509: X509, key: PrivateKey) => new x509.PublicKey(Buffer.from(key.publicDer))

function readCertificates(input: string | Uint8Array): X509Certificate[] {
  const text = typeof input === 'string' ? input : Buffer.from(input).toString('latin1')
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)
  try {
    return (blocks ?? [input]).map((block) => new X509Certificate(block))
  } catch (cause) {
    throw new MqttError(
      'GNATMQ_CERTIFICATE_INVALID',
      'the certificate of the CA cannot be read: PEM or DER is needed',
      {
        cause,
      },
    )
  }
}

function checkOptions({ name, hash, days }: CertificateOptions): void {
  if (typeof name !== 'string' || name.length === 0 || [...name].length > 64) {
    throw invalid('name is the Common Name of the certificate: give 1 to 64 characters')
  }
  if (hash !== undefined && !hashes.includes(hash)) throw invalid(`hash is "${hash}": use ${hashes.join(', ')}`)
  checkDays(days)
}

function checkDays(days: number | undefined): void {
  if (days !== undefined && !(Number.isInteger(days) && days >= 1 && days <= 36_500)) {
    throw invalid(`days is ${days}: use 1 to 36500`)
  }
}

function checkedSerialNumber(serialNumber: string): string {
  const hex = serialNumber.replaceAll(':', '').toLowerCase()
  if (!/^[0-9a-f]+$/.test(hex)) throw invalid(`"${serialNumber}" is not a serial number: use hexadecimal digits`)
  return hex.length % 2 === 0 ? hex : `0${hex}`
}

const invalid = (message: string): MqttError => new MqttError('GNATMQ_OPTION_INVALID', message)
