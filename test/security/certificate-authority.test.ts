import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { CertificateAuthority } from '../../src/security/certificate-authority'
import { loadOptional } from '../../src/security/certificate-packages'
import { openssl } from './certificate-tools'

const code = (expected: string) => expect.objectContaining({ name: 'MqttError', code: expected })

describe('a Certificate Authority', () => {
  it('is a CA to Node and to openssl, with critical constraints and its identifiers', async () => {
    const authority = await CertificateAuthority.create({ name: 'MyCARoot' })
    const certificate = new X509Certificate(authority.cert)
    expect(certificate.ca).toBe(true)
    expect(certificate.subject).toBe('CN=MyCARoot')
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    const { output } = await openssl({ 'ca.pem': authority.cert }, ['x509', '-in', 'ca.pem', '-noout', '-text'])
    expect(output).toMatch(/Basic Constraints: critical\s+CA:TRUE/)
    expect(output).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign/)
    const identifier = /Subject Key Identifier:\s+([0-9A-F:]+)/.exec(output)?.[1]
    expect(identifier).toHaveLength(59)
    expect(output).toMatch(new RegExp(`Authority Key Identifier:\\s+(keyid:)?${identifier}`))
  })

  it('is made as in the walk-through: CN=MyCARoot, SHA-512, RSA 4096, a password on its key', async () => {
    const authority = await CertificateAuthority.create({ name: 'MyCARoot', bits: 4096, hash: 'SHA-512' })
    expect(new X509Certificate(authority.cert).publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096)
    const key = authority.keyPem('<password>')
    const loaded = await CertificateAuthority.load({ cert: authority.certDer, key, passphrase: '<password>' })
    const server = await loaded.issueServer({ name: 'broker.example' })
    const files = { 'ca.pem': authority.cert, 'server.pem': server.cert, 'ca.key': key }
    const text = await openssl(files, ['x509', '-in', 'server.pem', '-noout', '-text'])
    expect(text.output).toContain('sha512WithRSAEncryption')
    expect((await openssl(files, ['verify', '-x509_strict', '-CAfile', 'ca.pem', 'server.pem'])).status).toBe(0)
    const opened = await openssl(files, ['pkey', '-in', 'ca.key', '-passin', 'pass:<password>', '-check', '-noout'])
    expect(opened.output).toContain('Key is valid')
  }, 60_000)

  it.each([
    ['P-256', 'SHA-256', 'ecdsa-with-SHA256'],
    ['P-384', 'SHA-384', 'ecdsa-with-SHA384'],
    ['P-521', 'SHA-512', 'ecdsa-with-SHA512'],
  ] as const)('signs on the curve %s, by default with %s', async (curve, hash, algorithm) => {
    for (const options of [{ curve }, { curve, hash }]) {
      const authority = await CertificateAuthority.create({ name: 'CA', ...options })
      const server = await authority.issueServer({ name: 'localhost', curve })
      const files = { 'ca.pem': authority.cert, 'server.pem': server.cert }
      expect((await openssl(files, ['x509', '-in', 'server.pem', '-noout', '-text'])).output).toContain(algorithm)
      expect((await openssl(files, ['verify', '-x509_strict', '-CAfile', 'ca.pem', 'server.pem'])).status).toBe(0)
    }
  })

  it('gives every certificate a positive serial number of its own', async () => {
    const authority = await CertificateAuthority.create({ name: 'CA' })
    const issued = await Promise.all(Array.from({ length: 20 }, () => authority.issueClient({ name: 'sensor' })))
    const serialNumbers = issued.map(({ certDer }) => new X509Certificate(certDer).serialNumber)
    expect(new Set(serialNumbers).size).toBe(20)
    for (const serialNumber of serialNumbers) expect(serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/)
  })

  it('is valid a little before it was made, and in the years after 2050', async () => {
    const authority = await CertificateAuthority.create({ name: 'CA', days: 36_500 })
    const certificate = new X509Certificate(authority.cert)
    const before = Date.now() - Date.parse(certificate.validFrom)
    expect(before).toBeGreaterThan(60_000)
    expect(before).toBeLessThan(3_600_000)
    expect(authority.notAfter.getFullYear()).toBe(new Date(Date.now() + 36_500 * 86_400_000).getFullYear())
  })

  it('signs nothing that outlives it', async () => {
    const authority = await CertificateAuthority.create({ name: 'CA', days: 10 })
    const server = await authority.issueServer({ name: 'localhost', days: 100 })
    expect(server.notAfter).toEqual(authority.notAfter)
    expect((await authority.issueServer({ name: 'localhost', days: 3 })).notAfter < authority.notAfter).toBe(true)
  })

  it('keeps a name of any characters as it is', async () => {
    for (const name of ['#0403', 'a, O=b', 'Küche "1" +', '日本']) {
      const authority = await CertificateAuthority.create({ name })
      const { output } = await openssl({ 'ca.pem': authority.cert }, [
        ...['x509', '-in', 'ca.pem', '-noout', '-subject', '-nameopt', 'multiline,utf8,-esc_msb'],
      ])
      expect(output).toContain(`commonName                = ${name}\n`)
    }
  })

  it('continues a CA that openssl made, whatever the encoding of its name and key', async () => {
    const made = await openssl({}, [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-keyout', 'ca.key', '-out', 'ca.pem', '-passout', 'pass:secret'],
      ...['-subj', '/C=IT/O=Example Works/CN=Old Root', '-days', '20'],
    ])
    expect(made.status).toBe(0)
    const cert = await readFile(join(made.folder, 'ca.pem'), 'utf8')
    const key = await readFile(join(made.folder, 'ca.key'))
    const authority = await CertificateAuthority.load({ cert, key, passphrase: 'secret' })
    const server = await authority.issueServer({ name: 'localhost' })
    const files = { 'ca.pem': cert, 'server.pem': server.cert }
    expect((await openssl(files, ['verify', '-CAfile', 'ca.pem', 'server.pem'])).output).toContain('OK')
  })

  it('loads PEM and DER, encrypted or not', async () => {
    const made = await CertificateAuthority.create({ name: 'CA' })
    const encryptedDer = Buffer.from(made.keyPem('secret').replaceAll(/-----.*-----/g, ''), 'base64')
    const plainDer = Buffer.from(made.key.replaceAll(/-----.*-----/g, ''), 'base64')
    for (const key of [made.key, Buffer.from(made.key), made.keyPem('secret'), encryptedDer, plainDer]) {
      for (const cert of [made.cert, Buffer.from(made.cert), made.certDer]) {
        const loaded = await CertificateAuthority.load({ cert, key, passphrase: 'secret' })
        expect(loaded.cert).toBe(made.cert)
        expect(loaded.key).toBe(made.key)
      }
    }
    for (const key of [made.keyPem('secret'), encryptedDer]) {
      const wrong = code('GNATMQ_CERTIFICATE_PASSPHRASE')
      await expect(CertificateAuthority.load({ cert: made.cert, key, passphrase: 'wrong' })).rejects.toEqual(wrong)
      await expect(CertificateAuthority.load({ cert: made.cert, key })).rejects.toEqual(wrong)
    }
  })

  it('refuses what is not a CA, what does not fit, and what cannot be read', async () => {
    const [one, other] = await Promise.all(['one', 'other'].map((name) => CertificateAuthority.create({ name })))
    const server = await one!.issueServer({ name: 'localhost' })
    const load = CertificateAuthority.load
    await expect(load(server)).rejects.toEqual(code('GNATMQ_CERTIFICATE_INVALID'))
    await expect(load({ cert: one!.cert, key: other!.key })).rejects.toEqual(code('GNATMQ_CERTIFICATE_KEY_MISMATCH'))
    await expect(load({ cert: 'nonsense', key: one!.key })).rejects.toEqual(code('GNATMQ_CERTIFICATE_INVALID'))
    await expect(load({ cert: one!.cert, key: 'nonsense' })).rejects.toEqual(code('GNATMQ_CERTIFICATE_INVALID'))
    const ed25519 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
    await expect(load({ cert: one!.cert, key: ed25519 })).rejects.toEqual(code('GNATMQ_CERTIFICATE_INVALID'))
  })

  it('refuses a CA that has expired, or is not yet valid', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    try {
      const made = await CertificateAuthority.create({ name: 'CA', days: 10 })
      for (const days of [11, -1]) {
        vi.setSystemTime(new Date(Date.now() + days * 86_400_000))
        await expect(CertificateAuthority.load(made)).rejects.toEqual(code('GNATMQ_CERTIFICATE_EXPIRED'))
        vi.setSystemTime(vi.getRealSystemTime())
      }
    } finally {
      vi.useRealTimers()
    }
  })

  it.each([
    { name: '' },
    { name: 'x'.repeat(65) },
    { name: 'CA', bits: 1024 },
    { name: 'CA', bits: 8192 },
    { name: 'CA', key: 'dsa' },
    { name: 'CA', key: 'ec', bits: 2048 },
    { name: 'CA', key: 'rsa', curve: 'P-256' },
    { name: 'CA', curve: 'toString' },
    { name: 'CA', hash: 'SHA-1' },
    { name: 'CA', days: 0 },
    { name: 'CA', days: 1.5 },
  ])('refuses to make %o', async (options) => {
    const create = CertificateAuthority.create as (options: unknown) => Promise<unknown>
    await expect(create(options)).rejects.toEqual(code('GNATMQ_OPTION_INVALID'))
  })

  it('names the package that is missing and the line that installs it', async () => {
    const missing = loadOptional('pkijs', () => Promise.reject(new Error('Cannot find package')))
    await expect(missing).rejects.toEqual(code('GNATMQ_DEPENDENCY_MISSING'))
    await expect(missing).rejects.toThrow('npm install pkijs')
  })
})
