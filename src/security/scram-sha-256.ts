import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import type { AuthenticationExchange, AuthenticationMethod, AuthenticationStep } from '../ports/hooks'

const derive = promisify(pbkdf2)
const KEY_BYTES = 32

/** What a server keeps of a password: enough to check it, too little to log in with (RFC 5802 section 3). */
export interface ScramCredentials {
  salt: Uint8Array
  iterations: number
  storedKey: Uint8Array
  serverKey: Uint8Array
}

/** Default of `iterations`: 15,000; RFC 7677 asks for 4,096 at least. */
export async function scramCredentials(
  password: string,
  iterations = 15_000,
  salt: Uint8Array = randomBytes(16),
): Promise<ScramCredentials> {
  const salted = await derive(password.normalize('NFKC'), salt, iterations, KEY_BYTES, 'sha256')
  return { salt, iterations, storedKey: sha256(hmac(salted, 'Client Key')), serverKey: hmac(salted, 'Server Key') }
}

/** Where the credentials of a user come from; undefined for an unknown one. */
export type ScramLookup = (username: string) => ScramCredentials | undefined | Promise<ScramCredentials | undefined>

/**
 * The Authentication Method SCRAM-SHA-256 (RFC 7677), without channel binding. Unknown users go through the same
 * exchange as known ones, with a salt of their own that does not change, and fail at its end.
 */
export function scramSha256(lookup: ScramLookup): AuthenticationMethod {
  const secret = randomBytes(KEY_BYTES)
  return () => new ScramExchange(lookup, secret)
}

class ScramExchange implements AuthenticationExchange {
  private readonly lookup: ScramLookup
  private readonly secret: Buffer
  private username = ''
  private credentials: ScramCredentials | undefined
  private nonce = ''
  private header = ''
  private firstMessages = ''

  constructor(lookup: ScramLookup, secret: Buffer) {
    this.lookup = lookup
    this.secret = secret
  }

  async step(data: Buffer | undefined): Promise<AuthenticationStep> {
    // a client may leave the first message out of CONNECT and send it in its first AUTH
    if (data === undefined) return this.nonce === '' ? { continue: new Uint8Array(0) } : false
    return this.nonce === '' ? this.first(data.toString('utf8')) : this.final(data.toString('utf8'))
  }

  /** client-first-message: `n,,n=user,r=nonce` */
  private async first(message: string): Promise<AuthenticationStep> {
    const match = /^((?:n|y),(?:a=[^,]*)?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+))(?:,.*)?$/s.exec(message)
    if (match === null) return false
    const [, header, bare, name, clientNonce] = match as unknown as [string, string, string, string, string]
    if (/=(?!2C|3D)/.test(name)) return false
    this.header = header
    this.username = name.replaceAll('=2C', ',').replaceAll('=3D', '=')
    this.credentials = await this.lookup(this.username)
    const { salt, iterations } = this.credentials ?? this.imagined()
    this.nonce = clientNonce + randomBytes(18).toString('base64')
    const answer = `r=${this.nonce},s=${Buffer.from(salt).toString('base64')},i=${iterations}`
    this.firstMessages = `${bare},${answer}`
    return { continue: Buffer.from(answer) }
  }

  /** client-final-message: `c=header,r=nonce,p=proof` */
  private final(message: string): AuthenticationStep {
    const match = /^(c=([^,]+),r=([^,]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)$/s.exec(message)
    if (match === null) return false
    const [, withoutProof, header, nonce, proofText] = match as unknown as [string, string, string, string, string]
    if (nonce !== this.nonce || Buffer.from(header, 'base64').toString('utf8') !== this.header) return false
    const { storedKey, serverKey } = this.credentials ?? this.imagined()
    const signed = `${this.firstMessages},${withoutProof}`
    const proof = Buffer.from(proofText, 'base64')
    if (proof.length !== KEY_BYTES) return false
    const signature = hmac(storedKey, signed)
    const clientKey = Buffer.from(proof.map((byte, i) => byte ^ signature[i]!))
    if (!timingSafeEqual(sha256(clientKey), storedKey) || this.credentials === undefined) return false
    const data = Buffer.from(`v=${hmac(serverKey, signed).toString('base64')}`)
    return { success: true, data, username: this.username }
  }

  private imagined(): ScramCredentials {
    const salt = hmac(this.secret, this.username).subarray(0, 16)
    return { salt, iterations: 15_000, storedKey: hmac(this.secret, 'stored'), serverKey: hmac(this.secret, 'server') }
  }
}

function hmac(key: Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest()
}
