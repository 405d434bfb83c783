import { createPrivateKey, type KeyObject } from 'node:crypto'
import { MqttError } from '../protocol/mqtt-error'
import { pemBlocks, pemOf } from './certificate-input'
import { childrenOf, octetsOf, readDer } from './der-reader'
import { decrypt } from './password-encryption'

const keyLabels: readonly string[] = ['PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY', 'ENCRYPTED PRIVATE KEY']

/**
 * A private key from PEM or DER: PKCS#8, PKCS#1 or SEC1, encrypted or not.
 * Throws GNATMQ_CERTIFICATE_PASSPHRASE or GNATMQ_CERTIFICATE_INVALID.
 */
export function privateKeyOf(input: string | Uint8Array, passphrase: string | undefined): KeyObject {
  if (typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw new MqttError(
      'GNATMQ_OPTION_INVALID',
      'key is not a string (PEM) or a Buffer (PEM or DER): read the file first',
    )
  }
  const pem = pemOf(input)
  if (pem === undefined) return derKey(input as Uint8Array, passphrase)
  const [block] = pemBlocks(pem, keyLabels)
  if (block === undefined) throw unreadable()
  if (block.includes('BEGIN ENCRYPTED PRIVATE KEY')) return encryptedKey(derOf(block), passphrase)
  const encrypted = block.includes('ENCRYPTED')
  if (encrypted && !passphrase) throw passwordNeeded()
  try {
    return createPrivateKey(encrypted ? { key: block, passphrase: passphrase as string } : block)
  } catch (cause) {
    throw encrypted ? passwordWrong(cause) : unreadable(cause)
  }
}

/** An unencrypted PKCS#8, PKCS#1 or SEC1 key, or an encrypted PKCS#8. */
function derKey(bytes: Uint8Array, passphrase: string | undefined): KeyObject {
  if (isEncrypted(bytes)) return encryptedKey(bytes, passphrase)
  const key = Buffer.from(bytes)
  let cause: unknown
  for (const type of ['pkcs8', 'pkcs1', 'sec1'] as const) {
    try {
      return createPrivateKey({ key, format: 'der', type })
    } catch (error) {
      cause ??= error
    }
  }
  throw unreadable(cause)
}

/** RFC 5958: EncryptedPrivateKeyInfo begins with an AlgorithmIdentifier, an unencrypted key with its version. */
function isEncrypted(bytes: Uint8Array): boolean {
  try {
    return childrenOf(readDer(bytes))[0]!.tag === 0x30
  } catch {
    return false
  }
}

function encryptedKey(bytes: Uint8Array, passphrase: string | undefined): KeyObject {
  if (!passphrase) throw passwordNeeded()
  try {
    return createPrivateKey({ key: Buffer.from(bytes), format: 'der', type: 'pkcs8', passphrase })
  } catch (cause) {
    return legacyKey(bytes, passphrase, cause)
  }
}

/** Ciphers of old Windows tools, which Node refuses just as it refuses a wrong password. */
function legacyKey(bytes: Uint8Array, passphrase: string, cause: unknown): KeyObject {
  try {
    const [algorithm, ciphertext] = childrenOf(readDer(bytes))
    const key = decrypt(algorithm!, octetsOf(ciphertext!), passphrase)
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  } catch (error) {
    throw error instanceof MqttError ? error : passwordWrong(cause)
  }
}

function derOf(block: string): Buffer {
  return Buffer.from(block.replace(/-----[^-]+-----/g, ''), 'base64')
}

const passwordNeeded = (): MqttError =>
  new MqttError('GNATMQ_CERTIFICATE_PASSPHRASE', 'the private key is encrypted: give its password as passphrase')

const passwordWrong = (cause: unknown): MqttError =>
  new MqttError(
    'GNATMQ_CERTIFICATE_PASSPHRASE',
    'the private key cannot be decrypted: the password is wrong, give the one that it was encrypted with',
    { cause },
  )

const unreadable = (cause?: unknown): MqttError =>
  new MqttError(
    'GNATMQ_CERTIFICATE_INVALID',
    'the private key cannot be read: give PEM ("BEGIN PRIVATE KEY") or DER of PKCS#8, PKCS#1 or SEC1',
    { cause },
  )
