import { createDecipheriv, createHash, pbkdf2Sync } from 'node:crypto'
import { createRequire } from 'node:module'
import { MqttError } from '../protocol/mqtt-error'
import { childrenOf, type DerElement, integerOf, objectIdentifierOf, octetsOf } from './der-reader'

/** Decrypts with the AlgorithmIdentifier of a PFX or of an encrypted PKCS#8 key (RFC 8018, RFC 7292). */

/** Above this a file is taken for a broken one: it would block the process for minutes. */
const maximumRounds = 10_000_000

/** 1 makes a key, 2 an initialisation vector, 3 a key for a MAC (RFC 7292 B.3). */
export type Pkcs12Purpose = 1 | 2 | 3

const pbes2 = '1.2.840.113549.1.5.13'
const pbkdf2 = '1.2.840.113549.1.5.12'

const digests: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

const hmacs: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
}

const ciphers: Readonly<Record<string, { name: string; keyLength: number }>> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyLength: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyLength: 24 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keyLength: 32 },
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keyLength: 24 },
}

/** The schemes of the Windows tools: SHA-1 and a cipher of the nineties. */
const legacySchemes: Readonly<Record<string, { cipher: 'des' | 'rc2'; keyLength: number }>> = {
  '1.2.840.113549.1.12.1.3': { cipher: 'des', keyLength: 24 },
  '1.2.840.113549.1.12.1.4': { cipher: 'des', keyLength: 16 },
  '1.2.840.113549.1.12.1.5': { cipher: 'rc2', keyLength: 16 },
  '1.2.840.113549.1.12.1.6': { cipher: 'rc2', keyLength: 5 },
}

/** What the bytes are encrypted with, in an algorithm that is not read here. */
export class UnknownAlgorithm extends Error {}

/** Throws UnknownAlgorithm, RangeError for broken parameters, and whatever a wrong password makes a cipher throw. */
export function decrypt(algorithm: DerElement, ciphertext: Uint8Array, passphrase: string): Buffer {
  const [oid, parameters] = childrenOf(algorithm)
  const scheme = objectIdentifierOf(oid!)
  if (scheme === pbes2) return decryptPbes2(parameters!, ciphertext, passphrase)
  const legacy = legacySchemes[scheme]
  if (legacy === undefined) throw new UnknownAlgorithm(`the encryption ${scheme}`)
  const [salt, rounds] = childrenOf(parameters!)
  const derive = (purpose: Pkcs12Purpose, length: number): Buffer =>
    pkcs12Key('sha1', pkcs12Password(passphrase), octetsOf(salt!), roundsOf(rounds!), purpose, length)
  const key = derive(1, legacy.keyLength)
  const iv = derive(2, 8)
  if (legacy.cipher === 'rc2') return decryptRc2(key, iv, ciphertext)
  // Two-key Triple DES uses its first key again as the third.
  return decipher('des-ede3-cbc', Buffer.concat([key, key.subarray(0, 24 - key.length)]), iv, ciphertext)
}

function decryptPbes2(parameters: DerElement, ciphertext: Uint8Array, passphrase: string): Buffer {
  const [derivation, encryption] = childrenOf(parameters).map(childrenOf)
  const cipher = ciphers[objectIdentifierOf(encryption![0]!)]
  if (cipher === undefined) throw new UnknownAlgorithm(`the cipher ${objectIdentifierOf(encryption![0]!)}`)
  const key = pbkdf2Key(derivation!, passphrase, cipher.keyLength)
  return decipher(cipher.name, key, octetsOf(encryption![1]!), ciphertext)
}

/** `derivation` is the AlgorithmIdentifier's content: PBKDF2 and its parameters (RFC 8018 A.2). */
export function pbkdf2Key(derivation: DerElement[], passphrase: string, length: number): Buffer {
  if (objectIdentifierOf(derivation[0]!) !== pbkdf2) {
    throw new UnknownAlgorithm(`the key derivation ${objectIdentifierOf(derivation[0]!)}`)
  }
  const [salt, rounds, ...optional] = childrenOf(derivation[1]!)
  const prf = optional.find((element) => element.tag === 0x30)
  const hmac = prf === undefined ? 'sha1' : hmacs[objectIdentifierOf(childrenOf(prf)[0]!)]
  if (hmac === undefined) throw new UnknownAlgorithm('the HMAC of the key derivation')
  return pbkdf2Sync(passphrase, octetsOf(salt!), roundsOf(rounds!), length, hmac)
}

/** Node's name of a digest or HMAC algorithm. */
export function digestName(oid: string): string {
  const name = digests[oid] ?? hmacs[oid]
  if (name === undefined) throw new UnknownAlgorithm(`the digest ${oid}`)
  return name
}

export function roundsOf(element: DerElement): number {
  const rounds = integerOf(element)
  if (rounds < 1 || rounds > maximumRounds) throw new RangeError(`${rounds} rounds of key derivation`)
  return rounds
}

/** RFC 7292 B.1: UTF-16, big end first, with a terminating zero. */
export function pkcs12Password(passphrase: string): Buffer {
  return Buffer.from(`${passphrase}\0`, 'utf16le').swap16()
}

/** The key derivation of PKCS#12, RFC 7292 B.2. */
export function pkcs12Key(
  digest: string,
  password: Uint8Array,
  salt: Uint8Array,
  rounds: number,
  purpose: Pkcs12Purpose,
  length: number,
): Buffer {
  const block = digest === 'sha384' || digest === 'sha512' ? 128 : 64
  const diversifier = Buffer.alloc(block, purpose)
  const input = Buffer.concat([stretch(salt, block), stretch(password, block)])
  const out: Buffer[] = []
  for (let made = 0; made < length; ) {
    let a = createHash(digest).update(diversifier).update(input).digest()
    for (let i = 1; i < rounds; i++) a = createHash(digest).update(a).digest()
    out.push(a)
    made += a.length
    const b = stretch(a, block).subarray(0, block)
    for (let at = 0; at < input.length; at += block) addOne(input.subarray(at, at + block), b)
  }
  return Buffer.concat(out).subarray(0, length)
}

/** Repeats `bytes` up to a multiple of `block`. */
function stretch(bytes: Uint8Array, block: number): Buffer {
  const length = Math.ceil(bytes.length / block) * block
  return length === 0 ? Buffer.alloc(0) : Buffer.alloc(length, bytes)
}

/** target = target + b + 1, as big-endian numbers. */
function addOne(target: Uint8Array, b: Uint8Array): void {
  let carry = 1
  for (let i = target.length - 1; i >= 0; i--) {
    carry += target[i]! + b[i]!
    target[i] = carry
    carry >>= 8
  }
}

function decipher(name: string, key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Buffer {
  const cipher = createDecipheriv(name, key, iv)
  return Buffer.concat([cipher.update(ciphertext), cipher.final()])
}

/** OpenSSL 3, and so Node, has no RC2 any more; node-forge has. */
function decryptRc2(key: Buffer, iv: Buffer, ciphertext: Uint8Array): Buffer {
  const { rc2, util } = loadForge(createRequire(import.meta.url))
  const cipher = rc2.createDecryptionCipher(key.toString('binary'), key.length * 8)
  cipher.start(iv.toString('binary'))
  cipher.update(util.createBuffer(Buffer.from(ciphertext).toString('binary')))
  if (!cipher.finish()) throw new RangeError('RC2 padding')
  return Buffer.from(cipher.output.getBytes(), 'binary')
}

type Forge = Pick<typeof import('node-forge'), 'rc2' | 'util'>

/** Loads the optional package. Throws GNATMQ_DEPENDENCY_MISSING. */
export function loadForge(require: (name: string) => unknown): Forge {
  try {
    return require('node-forge') as Forge
  } catch (cause) {
    throw new MqttError(
      'GNATMQ_DEPENDENCY_MISSING',
      'this PFX is encrypted with RC2, as old Windows tools do, and reading it needs an optional package: ' +
        'run "npm install node-forge", or export the PFX anew with AES',
      { cause },
    )
  }
}
