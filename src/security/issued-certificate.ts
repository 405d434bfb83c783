import { X509Certificate } from 'node:crypto'
import { writePfx } from './pfx-writer'
import type { PrivateKey } from './private-key'

/** A certificate with its private key, and the CA that signed it. */
export class IssuedCertificate {
  /** PEM. */
  readonly cert: string
  /** PEM: the CA's certificate, and its issuers if it has any. What the other side has to trust. */
  readonly ca: string
  /** Hexadecimal, as `revoked` of `CertificateAuthority.crl` takes it. */
  readonly serialNumber: string
  readonly notAfter: Date
  private readonly x509: X509Certificate

  /** @internal */
  constructor(
    private readonly name: string,
    /** DER: what Windows calls a `.cer` file. */
    readonly certDer: Uint8Array,
    private readonly privateKey: PrivateKey,
    private readonly issuers: readonly X509Certificate[],
  ) {
    this.x509 = new X509Certificate(certDer)
    this.cert = this.x509.toString()
    this.ca = issuers.map(String).join('')
    this.serialNumber = this.x509.serialNumber
    this.notAfter = new Date(this.x509.validTo)
  }

  /** The private key as PEM (PKCS#8), not encrypted. */
  get key(): string {
    return this.privateKey.pem
  }

  /** The private key as PEM, encrypted: PKCS#8 with AES-256-CBC and PBKDF2. Throws GNATMQ_OPTION_INVALID for an empty password. */
  keyPem(passphrase: string): string {
    return this.privateKey.encryptedPem(passphrase)
  }

  /**
   * Certificate, key and CA in one PKCS#12 file with a password: AES-256, PBKDF2 and HMAC with SHA-256.
   * Rejects with GNATMQ_OPTION_INVALID for an empty password, GNATMQ_DEPENDENCY_MISSING without the package pkijs.
   */
  pfx(passphrase: string): Promise<Uint8Array> {
    const chain = this.issuers.map((issuer) => issuer.raw)
    return writePfx({ certificate: this.certDer, key: this.privateKey, chain, friendlyName: this.name }, passphrase)
  }
}
