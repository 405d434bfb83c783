import { createPrivateKey, X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { beforeAll, describe, expect, it } from 'vitest'
import { CertificateAuthority } from '../../src/security/certificate-authority'
import { handshake, openssl } from './certificate-tools'

const code = (expected: string) => expect.objectContaining({ name: 'MqttError', code: expected })

let authority: CertificateAuthority

beforeAll(async () => {
  authority = await CertificateAuthority.create({ name: 'MyCARoot' })
})

describe('a server certificate', () => {
  it('holds its name and every host, names and addresses apart, each once', async () => {
    const server = await authority.issueServer({
      name: 'Broker.example',
      hosts: ['localhost', '127.0.0.1', '::1', '*.lab.example', 'büro.example', 'broker.example', 'localhost'],
    })
    const certificate = new X509Certificate(server.cert)
    expect(certificate.subjectAltName).toBe(
      'DNS:broker.example, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:*.lab.example, DNS:xn--bro-hoa.example',
    )
    expect(certificate.checkHost('broker.example')).toBe('broker.example')
    expect(certificate.checkIP('::1')).toBe('::1')
    expect(certificate.checkHost('elsewhere.example')).toBeUndefined()
  })

  it('takes an address as its name', async () => {
    const server = await authority.issueServer({ name: '192.0.2.7' })
    expect(new X509Certificate(server.cert).subjectAltName).toBe('IP Address:192.0.2.7')
  })

  it.each([
    'two words',
    '',
    'a..b',
    '1.2.3',
    'fe80::1%eth0',
    'host,DNS:evil',
    `${'a'.repeat(64)}.example`,
    '*',
    'a.*.b',
  ])('refuses the host "%s"', async (host) => {
    const issued = authority.issueServer({ name: 'localhost', hosts: [host] })
    await expect(issued).rejects.toEqual(code('GNATMQ_OPTION_INVALID'))
  })

  it('is for servers, not for clients and not for signing', async () => {
    const server = await authority.issueServer({ name: 'localhost', bits: 2048 })
    const files = { 'ca.pem': authority.cert, 'server.pem': server.cert }
    const verify = (purpose: string) =>
      openssl(files, ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'ca.pem', 'server.pem'])
    expect((await verify('sslserver')).output).toContain('server.pem: OK')
    expect((await verify('sslclient')).status).not.toBe(0)
    const { output } = await openssl(files, ['x509', '-in', 'server.pem', '-noout', '-text'])
    expect(output).toMatch(/Basic Constraints: critical\s+CA:FALSE/)
    expect(output).toMatch(/Key Usage: critical\s+Digital Signature, Key Encipherment\n/)
    expect(output).toMatch(/Extended Key Usage:\s+TLS Web Server Authentication\n/)
  })

  it('is trusted in a handshake by a client that trusts the CA, and by no other', async () => {
    const server = await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1'] })
    const seen = await handshake({ cert: server.cert, key: server.key }, { ca: server.ca })
    expect(seen.authorized).toBe(true)
    const other = await CertificateAuthority.create({ name: 'MyCARoot' })
    await expect(handshake({ cert: server.cert, key: server.key }, { ca: other.cert })).rejects.toThrow(
      /unable to verify/,
    )
    const misnamed = await authority.issueServer({ name: 'elsewhere.example' })
    await expect(
      handshake({ cert: misnamed.cert, key: misnamed.key }, { ca: authority.cert, servername: 'localhost' }),
    ).rejects.toThrow(/altnames/)
  })

  it('gives its key with a password on it', async () => {
    const server = await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1'] })
    const key = server.keyPem('pass wörd')
    expect(key).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
    expect(() => createPrivateKey({ key, passphrase: 'wrong' })).toThrow()
    expect(createPrivateKey({ key, passphrase: 'pass wörd' }).equals(createPrivateKey(server.key))).toBe(true)
    expect(() => server.keyPem('')).toThrow(code('GNATMQ_OPTION_INVALID'))
    const asn1 = await openssl({ 'a.key': key }, ['asn1parse', '-in', 'a.key'])
    for (const word of ['PBES2', 'PBKDF2', 'hmacWithSHA256', 'aes-256-cbc']) expect(asn1.output).toContain(word)
  })
})

describe('a client certificate', () => {
  it('names the client to a server that trusts the CA', async () => {
    const server = await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1'] })
    const client = await authority.issueClient({ name: 'sensor 1' })
    const asking = { cert: server.cert, key: server.key, ca: authority.cert, requestCert: true }
    const seen = await handshake(asking, { ca: authority.cert, cert: client.cert, key: client.key })
    expect(seen.client).toEqual({ authorized: true, reason: undefined, name: 'sensor 1' })
    const files = { 'ca.pem': authority.cert, 'client.pem': client.cert }
    const verify = (purpose: string) =>
      openssl(files, ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'ca.pem', 'client.pem'])
    expect((await verify('sslclient')).output).toContain('client.pem: OK')
    expect((await verify('sslserver')).status).not.toBe(0)
  })

  it('is refused once it is on the revocation list', async () => {
    const server = await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1'] })
    const [good, lost] = await Promise.all(['good', 'lost'].map((name) => authority.issueClient({ name })))
    const crl = await authority.crl({ revoked: [lost!.serialNumber] })
    const asking = {
      ...{ cert: server.cert, key: server.key, ca: authority.cert, crl },
      ...{ requestCert: true, rejectUnauthorized: false, maxVersion: 'TLSv1.2' as const },
    }
    const connect = (client: typeof good) =>
      handshake(asking, { ca: authority.cert, cert: client!.cert, key: client!.key })
    expect((await connect(good)).client).toEqual({ authorized: true, reason: undefined, name: 'good' })
    expect((await connect(lost)).client).toEqual({ authorized: false, reason: 'CERT_REVOKED', name: 'lost' })
    const files = { 'ca.pem': authority.cert, 'list.pem': crl }
    expect((await openssl(files, ['crl', '-in', 'list.pem', '-CAfile', 'ca.pem', '-noout'])).output).toContain(
      'verify OK',
    )
  })

  it('needs a serial number to be revoked', async () => {
    await expect(authority.crl({ revoked: ['sensor'] })).rejects.toEqual(code('GNATMQ_OPTION_INVALID'))
    expect(await authority.crl({ revoked: [] })).toContain('-----BEGIN X509 CRL-----')
  })
})

describe('a PFX file', () => {
  it.each([['ec'], ['rsa']] as const)('with an %s key serves TLS in Node with its password only', async (key) => {
    const server = await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1'], key })
    const pfx = Buffer.from(await server.pfx('<password>'))
    const seen = await handshake({ pfx, passphrase: '<password>' }, { ca: authority.cert })
    expect(seen.authorized).toBe(true)
    expect(() => tls.createSecureContext({ pfx, passphrase: 'wrong' })).toThrow(/mac verify failure/)
  })

  it('opens in openssl, with certificate, key and CA, by strong algorithms alone', async () => {
    const server = await authority.issueServer({ name: 'localhost' })
    const pfx = await server.pfx('<password>')
    const opened = await openssl({ 'a.pfx': pfx }, [
      ...['pkcs12', '-in', 'a.pfx', '-passin', 'pass:<password>', '-nodes', '-info'],
    ])
    expect(opened.status).toBe(0)
    expect(opened.output).toContain('MAC: sha256, Iteration 200000')
    expect(opened.output.match(/PBES2, PBKDF2, AES-256-CBC, Iteration 200000, PRF hmacWithSHA256/g)).toHaveLength(2)
    expect(opened.output).toContain(server.key)
    expect(opened.output).toContain(server.cert)
    expect(opened.output).toContain(authority.cert)
    expect(opened.output.match(/localKeyID/g)).toHaveLength(2)
    expect(opened.output).toContain('friendlyName: localhost')
  })

  it('keeps a password of any characters, and wants one', async () => {
    const client = await authority.issueClient({ name: 'sensor' })
    for (const passphrase of ['pässwörd', '密码 🔑', 'x'.repeat(200)]) {
      const pfx = Buffer.from(await client.pfx(passphrase))
      expect(() => tls.createSecureContext({ pfx, passphrase })).not.toThrow()
    }
    await expect(client.pfx('')).rejects.toEqual(code('GNATMQ_OPTION_INVALID'))
  })
})
