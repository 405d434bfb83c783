import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Client } from '../ports/client'
import { MqttError } from '../protocol/mqtt-error'
import { HashQueue } from './hash-queue'
import { KnownPasswords } from './known-passwords'

/** A stored password. `rounds` is 0 for one round of salted SHA-512, the older `$6$` format. */
interface PasswordHash {
  rounds: number
  salt: Buffer
  hash: Buffer
}

const derive = promisify(pbkdf2)
const hashBytes = 64
/** mosquitto 2.0 takes no other length. */
const saltBytes = 12
/** About a twentieth of a second of one core for each login, and for each guess. */
const defaultRounds = 100_000
const maximumRounds = 10_000_000
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * The users of a password file as `mosquitto_passwd` and `gnatmq passwd` write it: one `username:hash` in a line,
 * with `$7$` (PBKDF2) or `$6$` (salted SHA-512) hashes. Empty lines and lines that begin with `#` are passed over.
 */
export class PasswordFile {
  private readonly hashes: readonly PasswordHash[]
  /** Picks the stand-in of an unknown user: the same for the same name as long as the file stays the same. */
  private readonly standInKey: Buffer
  private readonly known: KnownPasswords

  private constructor(
    private readonly users: ReadonlyMap<string, PasswordHash>,
    text: string,
  ) {
    this.hashes = [...users.values()]
    this.standInKey = createHash('sha256').update(text).digest()
    this.known = new KnownPasswords()
  }

  /** Reads a file. Rejects with GNATMQ_PASSWORD_FILE_INVALID for a file that is missing, broken or without users. */
  static async read(path: string): Promise<PasswordFile> {
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new MqttError('GNATMQ_PASSWORD_FILE_INVALID', `the password file ${path} cannot be read: ${reason}`, {
        cause,
      })
    }
    return PasswordFile.parse(text, path)
  }

  /** `name` is used in error messages. Throws GNATMQ_PASSWORD_FILE_INVALID with the line that is broken. */
  static parse(text: string, name: string): PasswordFile {
    const users = new Map<string, PasswordHash>()
    for (const [index, line] of text
      .replace(/^\uFEFF/, '')
      .split(/\r?\n/)
      .entries()) {
      if (line.trim() === '' || line.startsWith('#')) continue
      const broken = (what: string): MqttError => invalid(`${name}, line ${index + 1}: ${what}`)
      const colon = line.indexOf(':')
      if (colon < 1) throw broken('expected username:hash')
      const username = line.slice(0, colon)
      if (users.has(username)) throw broken(`the user "${username}" is listed a second time`)
      const stored = parseHash(line.slice(colon + 1).trimEnd())
      if (typeof stored === 'string') throw broken(stored)
      users.set(username, stored)
    }
    if (users.size === 0) throw invalid(`${name} holds no user: add one with "gnatmq passwd ${name} USER"`)
    return new PasswordFile(users, text)
  }

  /** The user names, in the order of the file. */
  get usernames(): string[] {
    return [...this.users.keys()]
  }

  /**
   * Whether that is the user's password. An unknown user takes as long as a known one. Computed off the main thread, for one or two
   * clients at a time; false without a user name or a password. Give the client as well: then the addresses of clients take
   * turns, and a client that goes while it waits costs nothing more.
   */
  async verify(
    username: string | undefined,
    password: Uint8Array | undefined,
    client: Pick<Client, 'remoteAddress' | 'signal'> | undefined = undefined,
  ): Promise<boolean> {
    if (username === undefined || password === undefined) return false
    const mark = this.known.markOf(username, password)
    const answer = this.known.answer(username, mark)
    if (answer !== undefined) return answer
    const right = await HashQueue.ofProcess.run(client, async () => {
      // the same may have been computed meanwhile
      return this.known.answer(username, mark) ?? this.compute(username, password)
    })
    if (right === undefined) return false
    this.known.add(username, mark, right)
    return right
  }

  private async compute(username: string, password: Uint8Array): Promise<boolean> {
    const known = this.users.get(username)
    const stored = known ?? this.standIn(username)
    const hash = await digest(password, stored.salt, stored.rounds)
    return timingSafeEqual(hash, stored.hash) && known !== undefined
  }

  /** One of the stored hashes: among users of several costs, unknown names are spread as the known ones are. */
  private standIn(username: string): PasswordHash {
    const pick = createHmac('sha256', this.standInKey).update(username).digest().readUInt32BE(0)
    return this.hashes[pick % this.hashes.length]!
  }
}

/**
 * The part after `username:` in a password file: `$7$rounds$salt$hash`, PBKDF2 with HMAC SHA-512.
 * Rejects with GNATMQ_OPTION_INVALID for an empty password.
 */
export async function hashPassword(password: string | Uint8Array): Promise<string> {
  const bytes = Buffer.from(password)
  if (bytes.length === 0)
    throw new MqttError('GNATMQ_OPTION_INVALID', 'the password is empty: give at least one character')
  const salt = randomBytes(saltBytes)
  const hash = await digest(bytes, salt, defaultRounds)
  return `$7$${defaultRounds}$${salt.toString('base64')}$${hash.toString('base64')}`
}

async function digest(password: Uint8Array, salt: Buffer, rounds: number): Promise<Buffer> {
  if (rounds === 0) return createHash('sha512').update(password).update(salt).digest()
  return derive(password, salt, rounds, hashBytes, 'sha512')
}

/** The hash, or what is wrong with it. */
function parseHash(text: string): PasswordHash | string {
  const [before, kind, ...rest] = text.split('$')
  if (before !== '' || kind === undefined) {
    return 'the password is not hashed: write the line with "gnatmq passwd" or "mosquitto_passwd"'
  }
  if (kind !== '6' && kind !== '7') return `a hash of the kind $${kind}$ is not known: use $7$ or $6$`
  const [rounds, salt, hash, ...excess] = kind === '7' ? rest : ['0', ...rest]
  if (hash === undefined || excess.length > 0) return `a $${kind}$ hash has ${kind === '7' ? 3 : 2} fields`
  if (!/^\d{1,8}$/.test(rounds!) || Number(rounds) > maximumRounds || (kind === '7' && Number(rounds) === 0)) {
    return `the number of rounds is "${rounds}": expected 1 to ${maximumRounds}`
  }
  if (salt === '' || !base64.test(salt!) || !base64.test(hash)) return 'salt and hash are base64'
  const stored = { rounds: Number(rounds), salt: Buffer.from(salt!, 'base64'), hash: Buffer.from(hash, 'base64') }
  return stored.hash.length === hashBytes ? stored : `the hash has ${stored.hash.length} bytes: expected ${hashBytes}`
}

const invalid = (message: string): MqttError => new MqttError('GNATMQ_PASSWORD_FILE_INVALID', message)
