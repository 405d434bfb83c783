import {
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  pbkdf2Sync,
  randomBytes,
  webcrypto,
} from 'node:crypto'
import { promisify } from 'node:util'
import { MqttError } from '../protocol/mqtt-error'
import { DerTag, der, derInteger, derObjectIdentifier } from './der'

export type EllipticCurve = 'P-256' | 'P-384' | 'P-521'
export type CertificateHash = 'SHA-256' | 'SHA-384' | 'SHA-512'

/** Which key a certificate gets. */
export interface KeyOptions {
  /** Default: `ec`, or `rsa` when `bits` is given. EC costs a broker far less in each handshake. */
  key?: 'rsa' | 'ec' | undefined
  /** Length of an RSA key in bits, 2048 to 4096. Default: 2048. */
  bits?: number | undefined
  /** Curve of an EC key. Default: `P-256`. */
  curve?: EllipticCurve | undefined
}

/** A private key and the algorithm that it signs with, as WebCrypto takes them. */
export interface SigningKey {
  key: webcrypto.CryptoKey
  algorithm: { name: string; hash: CertificateHash }
}

const curves: Readonly<Record<EllipticCurve, { openssl: string; hash: CertificateHash }>> = {
  'P-256': { openssl: 'prime256v1', hash: 'SHA-256' },
  'P-384': { openssl: 'secp384r1', hash: 'SHA-384' },
  'P-521': { openssl: 'secp521r1', hash: 'SHA-512' },
}

/** PBKDF2 rounds that protect a private key: about a tenth of a second for each guess of its password. */
export const keyDerivationRounds = 200_000

const generate = promisify(generateKeyPair)

/** An RSA or EC private key. */
export class PrivateKey {
  /** PKCS#8, not encrypted. */
  readonly der: Uint8Array
  /** SubjectPublicKeyInfo. */
  readonly publicDer: Uint8Array

  private constructor(private readonly keyObject: KeyObject) {
    this.der = keyObject.export({ type: 'pkcs8', format: 'der' })
    this.publicDer = createPublicKey(keyObject).export({ type: 'spki', format: 'der' })
  }

  /** Throws GNATMQ_OPTION_INVALID for a key that it does not make. */
  static async generate(options: KeyOptions): Promise<PrivateKey> {
    const wanted = checkedKeyOptions(options)
    const pair =
      wanted.key === 'rsa'
        ? await generate('rsa', { modulusLength: wanted.bits })
        : await generate('ec', { namedCurve: curves[wanted.curve].openssl, paramEncoding: 'named' })
    return new PrivateKey(pair.privateKey)
  }

  /**
   * Reads PEM (PKCS#8, PKCS#1 or SEC1) or DER (PKCS#8), encrypted or not.
   * Throws GNATMQ_CERTIFICATE_PASSPHRASE or GNATMQ_CERTIFICATE_INVALID.
   */
  static read(input: string | Uint8Array, passphrase?: string): PrivateKey {
    const bytes = typeof input === 'string' ? Buffer.from(input) : Buffer.from(input)
    const pem = bytes.includes('-----BEGIN')
    const encrypted = pem ? bytes.includes('ENCRYPTED') : isEncryptedPkcs8(bytes)
    if (encrypted && !passphrase) {
      throw new MqttError('GNATMQ_CERTIFICATE_PASSPHRASE', 'the private key is encrypted: give its password')
    }
    try {
      const secret = encrypted ? { passphrase: passphrase as string } : {}
      const key = pem
        ? createPrivateKey({ key: bytes, format: 'pem', ...secret })
        : createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8', ...secret })
      if (key.asymmetricKeyType === 'rsa' || key.asymmetricKeyType === 'ec') return new PrivateKey(key)
    } catch (cause) {
      if (encrypted) {
        throw new MqttError('GNATMQ_CERTIFICATE_PASSPHRASE', 'the password of the private key is wrong', { cause })
      }
      throw new MqttError('GNATMQ_CERTIFICATE_INVALID', 'the private key cannot be read: PEM or DER is needed', {
        cause,
      })
    }
    throw new MqttError('GNATMQ_CERTIFICATE_INVALID', 'the private key is neither RSA nor EC')
  }

  /** PKCS#8 as PEM, not encrypted. */
  get pem(): string {
    return toPem('PRIVATE KEY', this.der)
  }

  /** Encrypted PKCS#8 as PEM. */
  encryptedPem(passphrase: string): string {
    return toPem('ENCRYPTED PRIVATE KEY', this.encryptedDer(passphrase))
  }

  /**
   * PKCS#8 EncryptedPrivateKeyInfo: PBES2 with AES-256-CBC, PBKDF2, HMAC SHA-256 (RFC 5958, RFC 8018).
   * Made here because Node's own export derives with 2048 rounds and takes no other number.
   */
  encryptedDer(passphrase: string): Uint8Array {
    checkPassphrase(passphrase)
    const salt = randomBytes(16)
    const iv = randomBytes(16)
    const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync(passphrase, salt, keyDerivationRounds, 32, 'sha256'), iv)
    const ciphertext = Buffer.concat([cipher.update(this.der), cipher.final()])
    const prf = der(DerTag.Sequence, derObjectIdentifier('1.2.840.113549.2.9'), der(DerTag.Null))
    const derivation = der(
      DerTag.Sequence,
      derObjectIdentifier('1.2.840.113549.1.5.12'),
      der(DerTag.Sequence, der(DerTag.OctetString, salt), derInteger(keyDerivationRounds), prf),
    )
    const encryption = der(DerTag.Sequence, derObjectIdentifier('2.16.840.1.101.3.4.1.42'), der(DerTag.OctetString, iv))
    const algorithm = der(
      DerTag.Sequence,
      derObjectIdentifier('1.2.840.113549.1.5.13'),
      der(DerTag.Sequence, derivation, encryption),
    )
    return der(DerTag.Sequence, algorithm, der(DerTag.OctetString, ciphertext))
  }

  /** The key as WebCrypto signs with it. `hash` defaults to what suits the key. */
  async signing(hash?: CertificateHash): Promise<SigningKey> {
    const details = this.keyObject.asymmetricKeyDetails
    if (this.keyObject.asymmetricKeyType === 'rsa') {
      const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: hash ?? 'SHA-256' } as const
      return { key: await webcrypto.subtle.importKey('pkcs8', this.der, algorithm, false, ['sign']), algorithm }
    }
    const curve = (Object.keys(curves) as EllipticCurve[]).find((name) => curves[name].openssl === details?.namedCurve)
    if (curve === undefined) {
      throw new MqttError('GNATMQ_CERTIFICATE_INVALID', `a key on the curve ${details?.namedCurve} cannot sign here`)
    }
    const key = await webcrypto.subtle.importKey('pkcs8', this.der, { name: 'ECDSA', namedCurve: curve }, false, [
      'sign',
    ])
    return { key, algorithm: { name: 'ECDSA', hash: hash ?? curves[curve].hash } }
  }
}

/** Throws GNATMQ_OPTION_INVALID for a password that protects nothing. */
export function checkPassphrase(passphrase: string): void {
  if (typeof passphrase !== 'string' || passphrase === '') {
    throw new MqttError('GNATMQ_OPTION_INVALID', 'the password is empty: give one, or write the key without a password')
  }
}

export function toPem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes)
    .toString('base64')
    .match(/.{1,64}/g) as string[]
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

function checkedKeyOptions(options: KeyOptions): { key: 'rsa'; bits: number } | { key: 'ec'; curve: EllipticCurve } {
  const { bits, curve } = options
  const key = options.key ?? (bits === undefined ? 'ec' : 'rsa')
  if (key !== 'rsa' && key !== 'ec') throw invalid(`key is "${key}": use "rsa" or "ec"`)
  if (key === 'rsa') {
    if (curve !== undefined) throw invalid('an RSA key has no curve: leave curve out, or ask for key "ec"')
    if (bits !== undefined && !(Number.isInteger(bits) && bits >= 2048 && bits <= 4096)) {
      throw invalid(`bits is ${bits}: use 2048 to 4096`)
    }
    return { key, bits: bits ?? 2048 }
  }
  if (bits !== undefined) throw invalid('an EC key has no bits: leave bits out, or ask for key "rsa"')
  if (curve !== undefined && !Object.hasOwn(curves, curve)) {
    throw invalid(`curve is "${curve}": use ${Object.keys(curves).join(', ')}`)
  }
  return { key, curve: curve ?? 'P-256' }
}

/** A plain PKCS#8 begins with its version, an encrypted one with its algorithm. */
function isEncryptedPkcs8(bytes: Uint8Array): boolean {
  if (bytes[0] !== DerTag.Sequence) return false
  const lengthBytes = bytes[1]! < 0x80 ? 0 : bytes[1]! & 0x7f
  return bytes[2 + lengthBytes] === DerTag.Sequence
}

const invalid = (message: string): MqttError => new MqttError('GNATMQ_OPTION_INVALID', message)
