import { X509Certificate } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ServerCertificate } from '../../src/security/server-certificate'
import { openssl } from '../security/certificate-tools'
import { runCli, temporaryFolder } from './recorded-terminal'

const modeOf = async (path: string) => (await stat(path)).mode & 0o777

/** A CA with a password on its key, and the options that sign with it. */
async function authority() {
  const folder = await temporaryFolder()
  const run = await runCli(['cert', 'ca', '--name', 'MyCARoot', '--out', folder, '--password', 'secret'])
  expect(run).toMatchObject({ code: 0, errors: '' })
  const ca = join(folder, 'MyCARoot.pem')
  return { folder, ca, signing: ['--ca', ca, '--ca-key', join(folder, 'MyCARoot.key'), '--ca-password', 'secret'] }
}

describe('gnatmq cert', () => {
  it('goes through the walk-through: a CA of RSA 4096 and SHA-512, a server certificate, a PFX', async () => {
    const folder = await temporaryFolder()
    const made = await runCli([
      ...['cert', 'ca', '--name', 'MyCARoot', '--bits', '4096', '--hash', 'sha512'],
      ...['--password', '<password>', '--out', folder],
    ])
    expect(made).toMatchObject({ code: 0, errors: '' })
    const ca = await readFile(join(folder, 'MyCARoot.pem'), 'utf8')
    expect(new X509Certificate(ca).publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096)
    expect(new X509Certificate(await readFile(join(folder, 'MyCARoot.cer'))).raw).toEqual(new X509Certificate(ca).raw)
    expect(await readFile(join(folder, 'MyCARoot.key'), 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY')

    const pfx = join(folder, 'GnatMQ.pfx')
    const signed = await runCli([
      ...['cert', 'server', '--name', 'broker.example', '--san', 'localhost,127.0.0.1', '--san', '::1'],
      ...['--ca', join(folder, 'MyCARoot.cer'), '--ca-key', join(folder, 'MyCARoot.key')],
      ...['--ca-password', '<password>', '--pfx', pfx, '--password', 'other', '--out', folder],
    ])
    expect(signed).toMatchObject({ code: 0, errors: '' })
    for (const file of ['broker.example.pem', 'broker.example.cer', 'broker.example.key', 'GnatMQ.pfx']) {
      expect(signed.output).toContain(`wrote ${join(folder, file)}: `)
    }
    const certificate = ServerCertificate.fromPfx(await readFile(pfx), 'other')
    expect(certificate.subjectAltName).toContain('DNS:broker.example, DNS:localhost, IP Address:127.0.0.1')
    const files = { 'ca.pem': ca, 'server.pem': await readFile(join(folder, 'broker.example.pem')) }
    expect((await openssl(files, ['verify', '-x509_strict', '-CAfile', 'ca.pem', 'server.pem'])).status).toBe(0)
    const text = await openssl(files, ['x509', '-in', 'server.pem', '-noout', '-text'])
    expect(text.output).toContain('sha512WithRSAEncryption')
  }, 60_000)

  it('makes a client certificate, in the form that was asked for', async () => {
    const { folder, signing } = await authority()
    const run = await runCli([
      ...['cert', 'client', '--name', 'sensor/1', '--key', 'ec', '--curve', 'p384', '--days', '7'],
      ...[...signing, '--out', folder],
    ])
    expect(run).toMatchObject({ code: 0, errors: '' })
    const certificate = new X509Certificate(await readFile(join(folder, 'sensor_1.pem')))
    expect(certificate.subject).toBe('CN=sensor/1')
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('secp384r1')
    const days = (Date.parse(certificate.validTo) - Date.now()) / 86_400_000
    expect(days).toBeGreaterThan(6.9)
    expect(days).toBeLessThan(7.1)
  })

  it('keeps private keys from other users of the machine', async () => {
    const { folder, signing } = await authority()
    const pfx = join(folder, 'a.pfx')
    await runCli(['cert', 'server', '--name', 'a', ...signing, '--out', folder, '--pfx', pfx, '--password', 'p'])
    for (const file of ['MyCARoot.key', 'a.key', 'a.pfx']) expect(await modeOf(join(folder, file))).toBe(0o600)
  })

  it('overwrites nothing, writes nothing then, and replaces with --force', async () => {
    const { folder, signing } = await authority()
    const key = join(folder, 'localhost.key')
    await writeFile(key, 'mine', { mode: 0o644 })
    const args = ['cert', 'server', '--name', 'localhost', ...signing, '--out', folder]
    const refused = await runCli(args)
    expect(refused).toMatchObject({ code: 1, output: '' })
    expect(refused.errors).toBe(`gnatmq: ${key} exists: give --force to replace it`)
    expect((await readdir(folder)).sort()).toEqual(['MyCARoot.cer', 'MyCARoot.key', 'MyCARoot.pem', 'localhost.key'])
    expect(await readFile(key, 'utf8')).toBe('mine')
    expect((await runCli([...args, '--force'])).code).toBe(0)
    expect(await readFile(key, 'utf8')).toContain('PRIVATE KEY')
    expect(await modeOf(key)).toBe(0o600)
  })

  it('says which password, file or name is wrong', async () => {
    const { folder, ca, signing } = await authority()
    const key = join(folder, 'MyCARoot.key')
    const server = (...args: string[]) => runCli(['cert', 'server', '--name', 'localhost', '--out', folder, ...args])
    const wrong = await server('--ca', ca, '--ca-key', key, '--ca-password', 'wrong')
    expect(wrong).toMatchObject({ code: 1 })
    expect(wrong.errors).toMatch(/^gnatmq: .*password.*wrong \(GNATMQ_CERTIFICATE_PASSPHRASE\)$/)
    expect((await server('--ca', ca, '--ca-key', key)).errors).toMatch(/give its password \(GNATMQ_CERTIFICATE_PASS/)
    expect((await server('--ca', key, '--ca-key', key)).errors).toContain('(GNATMQ_CERTIFICATE_INVALID)')
    expect((await server('--ca', `${ca}x`, '--ca-key', key)).errors).toMatch(/MyCARoot.pemx.*\(ENOENT\)/)
    expect((await server(...signing, '--san', 'two words')).errors).toMatch(/"two words".*\(GNATMQ_OPTION_INVALID\)/)
    expect(await server('--ca', ca)).toMatchObject({ code: 2 })
    expect(await server(...signing, '--pfx', 'a.pfx')).toMatchObject({ code: 2 })
    expect(await server(...signing, '--password', '')).toMatchObject({ code: 2 })
  })
})
