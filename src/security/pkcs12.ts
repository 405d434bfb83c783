import { createHmac, timingSafeEqual } from 'node:crypto'
import { MqttError } from '../protocol/mqtt-error'
import { childrenOf, type DerElement, objectIdentifierOf, octetsOf, readDer } from './der-reader'
import {
  decrypt,
  digestName,
  pbkdf2Key,
  pkcs12Key,
  pkcs12Password,
  roundsOf,
  UnknownAlgorithm,
} from './password-encryption'

/** What a PFX holds, decrypted: keys as PKCS#8 DER, certificates as DER. */
export interface Pkcs12 {
  keys: Uint8Array[]
  certificates: Uint8Array[]
}

const oid = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  safeContentsBag: '1.2.840.113549.1.12.10.1.6',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  pbmac1: '1.2.840.113549.1.5.14',
}

/**
 * Reads a PFX (RFC 7292). Node gives a PFX to OpenSSL and shows nothing of it, and OpenSSL 3 refuses those of old
 * Windows tools; so the broker reads it, with Node's ciphers.
 * Throws GNATMQ_CERTIFICATE_PASSPHRASE, GNATMQ_CERTIFICATE_INVALID or GNATMQ_DEPENDENCY_MISSING.
 */
export function readPkcs12(bytes: Uint8Array, passphrase: string | undefined): Pkcs12 {
  let unproven = false
  try {
    const [, authSafe, macData] = childrenOf(readDer(bytes))
    const [type, content] = childrenOf(authSafe!)
    if (objectIdentifierOf(type!) !== oid.data) throw new RangeError('a PFX that is not protected by a password')
    const safe = octetsOf(childrenOf(content!)[0]!)
    if (macData !== undefined) checkMac(macData, safe, passphrase)
    unproven = macData === undefined
    const found: Pkcs12 = { keys: [], certificates: [] }
    for (const info of childrenOf(readDer(safe)))
      readBags(readDer(safeContents(info, passphrase ?? '')), found, passphrase ?? '')
    // one garbled block in 256 looks as if it had been padded
    if (unproven && found.keys.length + found.certificates.length === 0) throw new RangeError('nothing in it')
    return found
  } catch (cause) {
    if (cause instanceof MqttError) throw cause
    if (cause instanceof UnknownAlgorithm) {
      throw new MqttError(
        'GNATMQ_CERTIFICATE_INVALID',
        `the PFX uses ${cause.message}, which is not read here: export it anew with AES-256 and SHA-256`,
        { cause },
      )
    }
    // Without a MAC, a wrong password shows only by what decryption makes of the bytes.
    if (unproven) throw wrongPassword(passphrase, cause)
    throw new MqttError(
      'GNATMQ_CERTIFICATE_INVALID',
      'the bytes are no PFX (PKCS#12): export certificate and private key as .pfx or .p12, or use ServerCertificate.fromPem',
      { cause },
    )
  }
}

function wrongPassword(passphrase: string | undefined, cause?: unknown): MqttError {
  const message = passphrase
    ? 'the password of the PFX is wrong: give the one that it was exported with'
    : 'the PFX is protected by a password: give the one that it was exported with'
  return new MqttError('GNATMQ_CERTIFICATE_PASSPHRASE', message, { cause })
}

/** RFC 7292 4 and RFC 9579. */
function checkMac(macData: DerElement, safe: Uint8Array, passphrase: string | undefined): void {
  const [digestInfo, salt, rounds] = childrenOf(macData)
  const [algorithm, expected] = childrenOf(digestInfo!)
  const [type, parameters] = childrenOf(algorithm!)
  // An absent password is either no bytes at all or the terminating zero alone: tools differ.
  const passwords = passphrase ? [pkcs12Password(passphrase)] : [pkcs12Password(''), Buffer.alloc(0)]
  const matches = passwords.some((password) => {
    const mac =
      objectIdentifierOf(type!) === oid.pbmac1
        ? pbmac1(parameters!, safe, passphrase ?? '')
        : pkcs12Mac(digestName(objectIdentifierOf(type!)), password, octetsOf(salt!), rounds, safe)
    return mac.length === expected!.content.length && timingSafeEqual(mac, expected!.content)
  })
  if (!matches) throw wrongPassword(passphrase)
}

function pkcs12Mac(
  digest: string,
  password: Uint8Array,
  salt: Uint8Array,
  rounds: DerElement | undefined,
  safe: Uint8Array,
): Buffer {
  const length = createHmac(digest, '').digest().length
  const key = pkcs12Key(digest, password, salt, rounds === undefined ? 1 : roundsOf(rounds), 3, length)
  return createHmac(digest, key).update(safe).digest()
}

function pbmac1(parameters: DerElement, safe: Uint8Array, passphrase: string): Buffer {
  const [derivation, scheme] = childrenOf(parameters).map(childrenOf)
  const digest = digestName(objectIdentifierOf(scheme![0]!))
  const key = pbkdf2Key(derivation!, passphrase, createHmac(digest, '').digest().length)
  return createHmac(digest, key).update(safe).digest()
}

/** The SafeContents of a ContentInfo, decrypted. */
function safeContents(info: DerElement, passphrase: string): Uint8Array {
  const [type, content] = childrenOf(info)
  const kind = objectIdentifierOf(type!)
  const [inner] = childrenOf(content!)
  if (kind === oid.data) return octetsOf(inner!)
  if (kind !== oid.encryptedData) throw new UnknownAlgorithm(`the content type ${kind}`)
  const [, algorithm, ciphertext] = childrenOf(childrenOf(inner!)[1]!)
  return decrypt(algorithm!, octetsOf(ciphertext!), passphrase)
}

function readBags(contents: DerElement, found: Pkcs12, passphrase: string): void {
  for (const bag of childrenOf(contents)) {
    const [type, value] = childrenOf(bag)
    const [inner] = childrenOf(value!)
    switch (objectIdentifierOf(type!)) {
      case oid.keyBag:
        found.keys.push(inner!.bytes)
        break
      case oid.shroudedKeyBag: {
        const [algorithm, ciphertext] = childrenOf(inner!)
        found.keys.push(decrypt(algorithm!, octetsOf(ciphertext!), passphrase))
        break
      }
      case oid.certBag: {
        const [kind, certificate] = childrenOf(inner!)
        if (objectIdentifierOf(kind!) === oid.x509Certificate) {
          found.certificates.push(octetsOf(childrenOf(certificate!)[0]!))
        }
        break
      }
      case oid.safeContentsBag:
        readBags(inner!, found, passphrase)
        break
    }
  }
}
