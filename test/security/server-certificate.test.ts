import { createHmac, pbkdf2Sync, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MqttError, type MqttErrorCode } from '../../src/protocol/mqtt-error'
import { DerTag, der, derInteger, derObjectIdentifier } from '../../src/security/der'
import { childrenOf, octetsOf, readDer } from '../../src/security/der-reader'
import { loadForge } from '../../src/security/password-encryption'
import { ServerCertificate } from '../../src/security/server-certificate'
import { derOf, makePfx, openssl, TestAuthority, temporaryFile } from '../support/certificates'

const root = new TestAuthority('Root')
const intermediate = new TestAuthority('Intermediate', { issuer: root })
const ec = intermediate.server()
const rsa = root.server('localhost', { key: 'rsa' })

function refusal(run: () => unknown): { code: MqttErrorCode; message: string } {
  try {
    run()
  } catch (error) {
    if (error instanceof MqttError) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error('nothing was thrown')
}

const codeOf = (run: () => unknown): MqttErrorCode => refusal(run).code

describe('a PFX', () => {
  it.each([
    ['RSA, AES-256 and SHA-256', rsa, {}],
    ['EC, AES-256 and SHA-256', ec, {}],
    ['RSA, RC2-40 and Triple DES', rsa, { legacy: true }],
    ['EC, RC2-40 and Triple DES', ec, { legacy: true }],
    ['RSA, Triple DES for all', rsa, { flags: ['-legacy', '-descert'] }],
    ['RC2-128', ec, { flags: ['-legacy', '-certpbe', 'PBE-SHA1-RC2-128', '-keypbe', 'PBE-SHA1-2DES'] }],
    ['a key in RC2-40', ec, { flags: ['-legacy', '-keypbe', 'PBE-SHA1-RC2-40'] }],
    [
      'AES-128 and a SHA-512 MAC',
      ec,
      { flags: ['-keypbe', 'AES-128-CBC', '-certpbe', 'AES-128-CBC', '-macalg', 'sha512'] },
    ],
    ['AES-192 and a SHA-384 MAC', ec, { flags: ['-keypbe', 'AES-192-CBC', '-certpbe', 'NONE', '-macalg', 'sha384'] }],
    ['an unencrypted key', ec, { flags: ['-keypbe', 'NONE', '-certpbe', 'NONE'] }],
    ['no MAC', ec, { flags: ['-nomac'] }],
    ['a single round', ec, { flags: ['-noiter', '-nomaciter'] }],
  ])('of %s loads', (_, issued, options) => {
    const certificate = ServerCertificate.fromPfx(makePfx(issued, 'pässword 1', options), 'pässword 1')
    expect(certificate.cert).toBe(new X509Certificate(issued.cert).toString())
    expect(() => createSecureContext(certificate.secureContextOptions())).not.toThrow()
  })

  it('without a password loads with none and with an empty one', () => {
    const pfx = makePfx(ec, '')
    expect(ServerCertificate.fromPfx(pfx).subject).toBe('CN=localhost')
    expect(ServerCertificate.fromPfx(pfx, '').subject).toBe('CN=localhost')
  })

  it('with a chain brings the intermediate certificate, and leaves the root to the clients', () => {
    const pfx = makePfx(ec, 'secret', { chain: [root.cert, intermediate.cert] })
    const own = new X509Certificate(ec.cert).toString()
    expect(ServerCertificate.fromPfx(pfx, 'secret').cert).toBe(own + new X509Certificate(intermediate.cert).toString())
  })

  it.each([[{}], [{ legacy: true }], [{ flags: ['-nomac'] }]])('with a wrong password says so: %j', (options) => {
    const pfx = makePfx(ec, 'secret', options)
    expect(codeOf(() => ServerCertificate.fromPfx(pfx, 'Secret'))).toBe('GNATMQ_CERTIFICATE_PASSPHRASE')
    expect(refusal(() => ServerCertificate.fromPfx(pfx))).toMatchObject({ code: 'GNATMQ_CERTIFICATE_PASSPHRASE' })
  })

  it('with the MAC of RFC 9579 loads, and knows a wrong password', () => {
    const [version, authSafe] = childrenOf(readDer(makePfx(ec, 'secret', { flags: ['-nomac'] })))
    const salt = Buffer.from('salt of the MAC')
    const safe = octetsOf(childrenOf(childrenOf(authSafe!)[1]!)[0]!)
    const mac = createHmac('sha256', pbkdf2Sync('secret', salt, 1000, 32, 'sha256'))
      .update(safe)
      .digest()
    const sequence = (...content: Uint8Array[]) => der(DerTag.Sequence, ...content)
    const hmac = sequence(derObjectIdentifier('1.2.840.113549.2.9'), der(DerTag.Null))
    const parameters = sequence(der(DerTag.OctetString, salt), derInteger(1000), derInteger(32), hmac)
    const derivation = sequence(derObjectIdentifier('1.2.840.113549.1.5.12'), parameters)
    const algorithm = sequence(derObjectIdentifier('1.2.840.113549.1.5.14'), sequence(derivation, hmac))
    const digestInfo = sequence(algorithm, der(DerTag.OctetString, mac))
    const macData = sequence(digestInfo, der(DerTag.OctetString, Buffer.from('unused')), derInteger(1))
    const pfx = sequence(version!.bytes, authSafe!.bytes, macData)
    expect(ServerCertificate.fromPfx(pfx, 'secret').subject).toBe('CN=localhost')
    expect(codeOf(() => ServerCertificate.fromPfx(pfx, 'wrong'))).toBe('GNATMQ_CERTIFICATE_PASSPHRASE')
  })

  it('in BER, with indefinite lengths and strings in pieces, loads', () => {
    const [version, authSafe, macData] = childrenOf(readDer(makePfx(ec, 'secret')))
    const [type, content] = childrenOf(authSafe!)
    const safe = octetsOf(childrenOf(content!)[0]!)
    const indefinite = (tag: number, ...parts: Uint8Array[]) =>
      Buffer.concat([Buffer.of(tag, 0x80), ...parts, Buffer.of(0, 0)])
    const pieces = [safe.subarray(0, 100), safe.subarray(100)].map((piece) => der(DerTag.OctetString, piece))
    const string = indefinite(DerTag.OctetString | 0x20, ...pieces)
    const pfx = indefinite(
      DerTag.Sequence,
      version!.bytes,
      indefinite(DerTag.Sequence, type!.bytes, indefinite(0xa0, string)),
      macData!.bytes,
    )
    expect(ServerCertificate.fromPfx(pfx, 'secret').subject).toBe('CN=localhost')
  })

  it('without a private key is refused', () => {
    const pfx = openssl('pkcs12', '-export', '-nokeys', '-in', ec.certFile, '-passout', 'pass:secret')
    expect(refusal(() => ServerCertificate.fromPfx(pfx, 'secret'))).toEqual({
      code: 'GNATMQ_CERTIFICATE_INVALID',
      message: expect.stringContaining('export it with its private key'),
    })
  })

  it('that is none is refused', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('garbage'), derOf(ec.cert), Buffer.from(ec.cert)]) {
      expect(codeOf(() => ServerCertificate.fromPfx(bytes, 'secret'))).toBe('GNATMQ_CERTIFICATE_INVALID')
    }
    expect(codeOf(() => ServerCertificate.fromPfx('file.pfx' as never))).toBe('GNATMQ_OPTION_INVALID')
  })

  it('that is damaged is refused by an MqttError, whatever the damage', () => {
    const whole = makePfx(ec, 'secret', { flags: ['-noiter', '-nomaciter'] })
    const damage = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255), length: fc.nat(whole.length) })
    fc.assert(
      fc.property(damage, ({ at, value, length }) => {
        const bytes = Buffer.from(whole)
        bytes[at] = value
        for (const damaged of [bytes, whole.subarray(0, length)]) {
          try {
            ServerCertificate.fromPfx(damaged, 'secret')
          } catch (error) {
            expect(error).toBeInstanceOf(MqttError)
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('in RC2 names the package that it needs where that is missing', () => {
    const missing = (): never => {
      throw Object.assign(new Error("Cannot find module 'node-forge'"), { code: 'MODULE_NOT_FOUND' })
    }
    expect(refusal(() => loadForge(missing))).toEqual({
      code: 'GNATMQ_DEPENDENCY_MISSING',
      message: expect.stringContaining('npm install node-forge'),
    })
  })
})

describe('a certificate and a key', () => {
  const encrypted = (...flags: string[]): Buffer =>
    openssl('pkcs8', '-topk8', '-in', rsa.keyFile, '-passout', 'pass:secret', ...flags)
  const traditional = openssl('rsa', '-in', rsa.keyFile, '-traditional')

  it.each<[string, string | Uint8Array, string | undefined]>([
    ['PEM PKCS#8', rsa.key, undefined],
    ['PEM PKCS#8 as bytes', Buffer.from(rsa.key), undefined],
    ['DER PKCS#8', derOf(rsa.key), undefined],
    ['PEM PKCS#1', traditional.toString(), undefined],
    ['DER PKCS#1', derOf(traditional.toString()), undefined],
    ['encrypted PEM PKCS#8', encrypted().toString(), 'secret'],
    ['encrypted DER PKCS#8', encrypted('-outform', 'DER'), 'secret'],
    ['PKCS#8 in RC2-40', encrypted('-v1', 'PBE-SHA1-RC2-40', '-provider', 'legacy', '-provider', 'default'), 'secret'],
    [
      'encrypted PEM PKCS#1',
      openssl('rsa', '-in', rsa.keyFile, '-traditional', '-aes256', '-passout', 'pass:secret'),
      'secret',
    ],
  ])('%s loads', (_, key, passphrase) => {
    const certificate = ServerCertificate.fromPem({ cert: rsa.cert, key, passphrase })
    expect(() => createSecureContext(certificate.secureContextOptions())).not.toThrow()
  })

  it('in SEC1 loads, PEM and DER', () => {
    const sec1 = openssl('ec', '-in', ec.keyFile).toString()
    expect(sec1).toContain('BEGIN EC PRIVATE KEY')
    for (const key of [sec1, derOf(sec1)]) {
      expect(ServerCertificate.fromPem({ cert: derOf(ec.cert), key }).subject).toBe('CN=localhost')
    }
  })

  it('tells what it holds', () => {
    const certificate = ServerCertificate.fromPem(rsa)
    expect(certificate).toMatchObject({
      subject: 'CN=localhost',
      issuer: 'CN=Root',
      subjectAltName: 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
      fingerprint256: new X509Certificate(rsa.cert).fingerprint256,
    })
    expect(certificate.validFrom.getTime()).toBeLessThan(Date.now())
    expect(certificate.validTo.getTime()).toBeGreaterThan(Date.now())
  })

  it('keeps its private key out of what a log would show', () => {
    expect(JSON.stringify(ServerCertificate.fromPem(rsa))).not.toContain('PRIVATE KEY')
  })

  it('finds its own certificate and its way up in any order', () => {
    const cert = [root.cert, intermediate.cert, ec.cert].join('\n')
    const expected = [ec.cert, intermediate.cert].map((pem) => new X509Certificate(pem).toString()).join('')
    expect(ServerCertificate.fromPem({ cert, key: ec.key }).cert).toBe(expected)
    expect(ServerCertificate.fromPem({ cert: ec.cert, key: ec.key, ca: derOf(intermediate.cert) }).cert).toBe(expected)
  })

  it('that do not belong together are refused', () => {
    const { code, message } = refusal(() => ServerCertificate.fromPem({ cert: ec.cert, key: rsa.key }))
    expect(code).toBe('GNATMQ_CERTIFICATE_KEY_MISMATCH')
    expect(message).toContain('does not belong to the certificate (CN=localhost)')
  })

  it('with a wrong or missing password are refused', () => {
    const keys = [
      encrypted(),
      encrypted('-outform', 'DER'),
      encrypted('-v1', 'PBE-SHA1-RC2-40', '-provider', 'legacy', '-provider', 'default'),
      openssl('rsa', '-in', rsa.keyFile, '-traditional', '-aes256', '-passout', 'pass:secret'),
    ]
    for (const key of keys) {
      for (const passphrase of ['wrong', undefined]) {
        const run = () => ServerCertificate.fromPem({ cert: rsa.cert, key, passphrase })
        expect(codeOf(run)).toBe('GNATMQ_CERTIFICATE_PASSPHRASE')
      }
    }
  })

  it('that cannot be read are refused', () => {
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'
    for (const cert of ['', 'garbage', broken, Buffer.from('garbage'), rsa.key, []]) {
      expect(codeOf(() => ServerCertificate.fromPem({ cert, key: rsa.key }))).toBe('GNATMQ_CERTIFICATE_INVALID')
    }
    for (const key of [
      '',
      'garbage',
      Buffer.from('garbage'),
      rsa.cert,
      broken.replaceAll('CERTIFICATE', 'PRIVATE KEY'),
    ]) {
      expect(codeOf(() => ServerCertificate.fromPem({ cert: rsa.cert, key }))).toBe('GNATMQ_CERTIFICATE_INVALID')
    }
    expect(codeOf(() => ServerCertificate.fromPem({ cert: undefined as never, key: rsa.key }))).toBe(
      'GNATMQ_OPTION_INVALID',
    )
    expect(codeOf(() => ServerCertificate.fromPem({ cert: rsa.cert, key: undefined as never }))).toBe(
      'GNATMQ_OPTION_INVALID',
    )
  })

  it('are checked against the time', () => {
    const certificate = ServerCertificate.fromPem(rsa)
    expect(() => certificate.check(Date.now())).not.toThrow()
    const late = refusal(() => certificate.check(certificate.validTo.getTime() + 1))
    expect(late).toMatchObject({ code: 'GNATMQ_CERTIFICATE_EXPIRED', message: expect.stringContaining('new one') })
    const early = refusal(() => certificate.check(certificate.validFrom.getTime() - 1))
    expect(early).toMatchObject({ code: 'GNATMQ_CERTIFICATE_EXPIRED', message: expect.stringContaining('clock') })
  })
})

describe('files', () => {
  it('load as a PFX, and as PEM or DER', async () => {
    const pfx = temporaryFile(makePfx(ec, 'secret'), 'pfx')
    expect((await ServerCertificate.fromFiles({ pfx, passphrase: 'secret' })).subject).toBe('CN=localhost')
    const loaded = await ServerCertificate.fromFiles({ cert: rsa.certFile, key: rsa.keyFile })
    expect(loaded.cert).toBe(new X509Certificate(readFileSync(rsa.certFile)).toString())
    const der = { cert: temporaryFile(derOf(rsa.cert), 'cer'), key: temporaryFile(derOf(rsa.key), 'der') }
    expect((await ServerCertificate.fromFiles(der)).cert).toBe(loaded.cert)
  })

  it('that are missing are named', async () => {
    await expect(ServerCertificate.fromFiles({ pfx: '/nowhere/broker.pfx' })).rejects.toMatchObject({
      code: 'GNATMQ_CERTIFICATE_INVALID',
      message: expect.stringContaining('/nowhere/broker.pfx'),
    })
  })
})
