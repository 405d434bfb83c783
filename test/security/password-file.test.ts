import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { hashPassword, PasswordFile } from '../../src/security/password-file'

const bytes = (text: string) => new TextEncoder().encode(text)
const broken = (message: RegExp) =>
  expect.objectContaining({ code: 'GNATMQ_PASSWORD_FILE_INVALID', message: expect.stringMatching(message) })

const folder = () => mkdtemp(join(tmpdir(), 'gnatmq-password-'))

async function mosquittoPasswd(users: Record<string, string>, ...options: string[]): Promise<string> {
  const file = join(await folder(), 'users')
  await writeFile(file, '')
  for (const [username, password] of Object.entries(users)) {
    const run = spawnSync('mosquitto_passwd', [...options, '-b', file, username, password], { encoding: 'utf8' })
    expect(run.status, String(run.error ?? run.stderr)).toBe(0)
  }
  return file
}

const salt = Buffer.alloc(12, 1).toString('base64')
const hash = Buffer.alloc(64, 2).toString('base64')
const goodLine = `user:$7$101$${salt}$${hash}`

describe('a password file', () => {
  it.each([[[]], [['-H', 'sha512']], [['-I', '5000']]])('of mosquitto_passwd %j is read', async (options) => {
    const file = await PasswordFile.read(await mosquittoPasswd({ ada: 'lovelace', bob: 'pass wörd' }, ...options))
    expect(file.usernames).toEqual(['ada', 'bob'])
    expect(await file.verify('ada', bytes('lovelace'))).toBe(true)
    expect(await file.verify('bob', bytes('pass wörd'))).toBe(true)
    for (const wrong of ['pass wörd', 'lovelac', 'lovelace ', '']) {
      expect(await file.verify('ada', bytes(wrong))).toBe(false)
    }
  })

  it('denies unknown users, and users without a password', async () => {
    const file = PasswordFile.parse(`ada:${await hashPassword('secret')}`, 'users')
    for (const username of ['bob', 'ADA', '', '__proto__', 'constructor', undefined]) {
      expect(await file.verify(username, bytes('secret'))).toBe(false)
    }
    expect(await file.verify('ada', undefined)).toBe(false)
    expect(await file.verify('ada', bytes('secret'))).toBe(true)
  })

  it('spends on an unknown user what it spends on a known one', async () => {
    const rounds = 400_000
    const file = PasswordFile.parse(`ada:$7$${rounds}$${salt}$${hash}`, 'users')
    // one that is not known yet
    let guesses = 0
    const timed = async (username: string) => {
      const start = performance.now()
      await file.verify(username, bytes(`wrong ${guesses++}`))
      return performance.now() - start
    }
    const fastest = async (username: string) =>
      Math.min(await timed(username), await timed(username), await timed(username))
    const known = await fastest('ada')
    const unknown = await fastest('nobody')
    expect(unknown).toBeGreaterThan(known / 2)
    expect(unknown).toBeLessThan(known * 2)
  })

  it('recognises what it has computed before: a client that comes back waits for none that guess', async () => {
    const file = PasswordFile.parse(`ada:$7$400000$${salt}$${hash}`, 'users')
    expect(await file.verify('ada', bytes('wrong'))).toBe(false)
    const start = performance.now()
    for (let n = 0; n < 1000; n++) expect(await file.verify('ada', bytes('wrong'))).toBe(false)
    const repeated = performance.now() - start
    expect(await file.verify('ada', bytes('another'))).toBe(false)
    expect(repeated).toBeLessThan(500 * (performance.now() - start - repeated))
  })

  it('denies a client that goes before its turn', async () => {
    const file = PasswordFile.parse(`ada:${await hashPassword('secret')}`, 'users')
    const first = file.verify('ada', bytes('wrong'), undefined)
    const aborter = new AbortController()
    const gone = file.verify('ada', bytes('secret'), { remoteAddress: '192.0.2.1', signal: aborter.signal })
    const others = Array.from({ length: 3 }, (_, n) => file.verify('ada', bytes(`guess ${n}`)))
    aborter.abort()
    expect(await Promise.all([first, gone, ...others])).toEqual([false, expect.any(Boolean), false, false, false])
    expect(await file.verify('ada', bytes('secret'))).toBe(true)
  })

  it('takes passwords that are no text', async () => {
    const password = Uint8Array.of(0, 255, 254, 10)
    const file = PasswordFile.parse(`device:${await hashPassword(password)}`, 'users')
    expect(await file.verify('device', password)).toBe(true)
    expect(await file.verify('device', Uint8Array.of(0, 255, 254))).toBe(false)
  })

  it('passes over comments, empty lines, line ends of Windows and a byte order mark', () => {
    const file = PasswordFile.parse(`\uFEFF# users\r\n\r\n${goodLine}\r\n`, 'users')
    expect(file.usernames).toEqual(['user'])
  })

  it.each([
    ['', /users holds no user/],
    ['\n# nobody\n', /users holds no user/],
    [`${goodLine}\nnonsense`, /users, line 2: expected username:hash/],
    [`\n\n:$7$101$${salt}$${hash}`, /line 3: expected username:hash/],
    ['user:secret', /line 1: the password is not hashed/],
    ['user:', /line 1: the password is not hashed/],
    ['user:$argon2id$v=19$a$b', /line 1: a hash of the kind \$argon2id\$/],
    ['user:$7$', /line 1: a \$7\$ hash has 3 fields/],
    [`user:$7$101$${salt}`, /3 fields/],
    [`user:$7$101$${salt}$${hash}$x`, /3 fields/],
    [`user:$6$101$${salt}$${hash}`, /2 fields/],
    [`user:$7$0$${salt}$${hash}`, /number of rounds is "0"/],
    [`user:$7$-1$${salt}$${hash}`, /number of rounds/],
    [`user:$7$99999999$${salt}$${hash}`, /number of rounds/],
    [`user:$7$1e3$${salt}$${hash}`, /number of rounds/],
    [`user:$7$101$$${hash}`, /base64/],
    [`user:$7$101$s@lt$${hash}`, /base64/],
    [`user:$7$101$${salt}$`, /0 bytes: expected 64/],
    [`user:$7$101$${salt}$${salt}`, /12 bytes: expected 64/],
    [`${goodLine}\n${goodLine}`, /line 2: the user "user" is listed a second time/],
  ])('that is broken is refused with its line: %j', (text, message) => {
    expect(() => PasswordFile.parse(text, 'users')).toThrow(broken(message))
  })

  it('that is missing is refused with its path', async () => {
    const path = join(await folder(), 'none')
    await expect(PasswordFile.read(path)).rejects.toEqual(broken(/none cannot be read: ENOENT/))
  })
})

describe('hashPassword', () => {
  it('writes a $7$ hash, with another salt each time', async () => {
    const [one, two] = await Promise.all([hashPassword('secret'), hashPassword('secret')])
    expect(one).toMatch(/^\$7\$100000\$[A-Za-z0-9+/=]{16}\$[A-Za-z0-9+/=]{88}$/)
    expect(one).not.toBe(two)
    await expect(hashPassword('')).rejects.toEqual(expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }))
  })

  it('writes what mosquitto lets in', async () => {
    const path = await folder()
    await writeFile(join(path, 'users'), `ada:${await hashPassword('lovelace')}\n`)
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as { port: number }
    probe.close()
    await once(probe, 'close')
    const config = join(path, 'mosquitto.conf')
    const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous false', `password_file ${join(path, 'users')}`]
    // Started by root, mosquitto would become a user that cannot read the file.
    lines.push(`user ${userInfo().username}`)
    await writeFile(config, lines.join('\n'))
    const mosquitto = spawn('mosquitto', ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] })
    const exit = once(mosquitto, 'exit')
    let log = ''
    mosquitto.stderr.on('data', (chunk) => (log += chunk))
    const publish = async (password: string) => {
      const args = ['-h', '127.0.0.1', '-p', String(port), '-u', 'ada', '-P', password, '-t', 'lamp', '-m', 'on']
      const [status] = await once(spawn('mosquitto_pub', args, { stdio: 'ignore' }), 'exit')
      return status
    }
    try {
      await vi.waitFor(async () => expect(await publish('lovelace'), log).toBe(0), { timeout: 10_000, interval: 50 })
      expect(await publish('wrong')).toBe(5)
    } finally {
      mosquitto.kill()
      await exit
    }
  })
})
