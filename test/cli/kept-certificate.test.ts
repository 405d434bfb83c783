import { X509Certificate } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { hostNames } from '../../src/cli/host-names'
import { dataDirectory, keptCertificate } from '../../src/cli/kept-certificate'
import type { Terminal } from '../../src/cli/terminal'
import * as library from '../../src/index'
import { temporaryFolder } from './recorded-terminal'

const hosts = ['localhost', '127.0.0.1', '::1']

/** What `gnatmq` does with its data folder when it starts. */
async function start(directory: string, names = hosts) {
  const said: string[] = []
  const terminal: Terminal = {
    environment: {},
    print: (text) => void said.push(text),
    complain: (text) => void said.push(text),
    readPassword: async () => '',
    stopRequested: async () => undefined,
    onReload: () => () => undefined,
  }
  const { certificate, caPath } = await keptCertificate(directory, names, library, terminal)
  return { certificate, ca: new X509Certificate(await readFile(caPath)), said }
}

/** Puts a CA, and what it signed, in the place of the kept ones. */
async function keep(directory: string, days: { ca: number; server: number }) {
  await start(directory)
  const authority = await library.CertificateAuthority.create({ name: 'gnatmq CA', days: days.ca })
  const issued = await authority.issueServer({ name: 'localhost', hosts, days: days.server })
  await writeFile(join(directory, 'tls', 'ca.pem'), authority.cert)
  await writeFile(join(directory, 'tls', 'ca.key'), authority.key)
  await writeFile(join(directory, 'tls', 'server.pem'), issued.key + issued.cert)
  return new X509Certificate(issued.cert).fingerprint256
}

describe('the certificate that gnatmq keeps', () => {
  it('is made the first time and used again the next', async () => {
    const directory = join(await temporaryFolder(), 'deep', 'gnatmq')
    const first = await start(directory)
    expect(first.said).toHaveLength(2)
    const second = await start(directory)
    expect(second.said).toEqual([])
    expect(second.certificate.fingerprint256).toBe(first.certificate.fingerprint256)
    expect(second.ca.fingerprint256).toBe(first.ca.fingerprint256)
    expect(await readdir(directory)).toEqual(['tls'])
    const modeOf = async (file: string) => (await stat(join(directory, 'tls', file))).mode & 0o777
    expect([await modeOf('ca.key'), await modeOf('server.pem'), await modeOf('ca.pem')]).toEqual([0o600, 0o600, 0o644])
  })

  it('is made anew, by the same CA, for a new host name', async () => {
    const directory = await temporaryFolder()
    const first = await start(directory)
    const second = await start(directory, [...hosts, 'broker.example'])
    expect(second.certificate.subjectAltName).toContain('DNS:broker.example')
    expect(second.ca.fingerprint256).toBe(first.ca.fingerprint256)
    expect((await start(directory)).certificate.fingerprint256).toBe(second.certificate.fingerprint256)
  })

  it('is made anew when it expires soon, and kept when it does not', async () => {
    const directory = await temporaryFolder()
    const good = await keep(directory, { ca: 3650, server: 60 })
    expect((await start(directory)).certificate.fingerprint256).toBe(good)
    await keep(directory, { ca: 3650, server: 5 })
    const ca = new X509Certificate(await readFile(join(directory, 'tls', 'ca.pem')))
    const renewed = await start(directory)
    expect(renewed.certificate.validTo.getTime()).toBeGreaterThan(Date.now() + 300 * 86_400_000)
    expect(renewed.ca.fingerprint256).toBe(ca.fingerprint256)
  })

  it('gets a new CA when that expires soon; the old one is put aside', async () => {
    const directory = await temporaryFolder()
    await keep(directory, { ca: 5, server: 5 })
    const renewed = await start(directory)
    expect(Date.parse(renewed.ca.validTo)).toBeGreaterThan(Date.now() + 3000 * 86_400_000)
    expect(renewed.said.join('\n')).toContain('clients need a copy of the new one')
    expect((await readdir(directory)).sort()).toEqual(['tls', expect.stringMatching(/^tls-until-/)])
  })

  it('is of one CA when two brokers start together for the first time', async () => {
    const directory = await temporaryFolder()
    const started = await Promise.all([start(directory), start(directory), start(directory)])
    const ca = new X509Certificate(await readFile(join(directory, 'tls', 'ca.pem')))
    for (const { certificate } of started) expect(new X509Certificate(certificate.cert).verify(ca.publicKey)).toBe(true)
    expect(await readdir(directory)).toEqual(['tls'])
  })

  it('names the folder when a file in it is damaged, and replaces a server certificate that is', async () => {
    const directory = await temporaryFolder()
    await start(directory)
    await writeFile(join(directory, 'tls', 'server.pem'), 'damaged')
    expect((await start(directory)).said).toHaveLength(1)
    await writeFile(join(directory, 'tls', 'ca.key'), 'damaged')
    await expect(start(directory)).rejects.toMatchObject({
      code: 'GNATMQ_CERTIFICATE_INVALID',
      message: expect.stringContaining(join(directory, 'tls')),
    })
    await writeFile(join(directory, 'tls', 'ca.pem'), 'damaged')
    await expect(start(directory)).rejects.toMatchObject({ code: 'GNATMQ_CERTIFICATE_INVALID' })
  })
})

describe('the host names of this machine', () => {
  it('are those of the loopback interface, its own, and the one that is asked for', () => {
    const names = hostNames('broker.example')
    expect(names.slice(0, 3)).toEqual(['localhost', '127.0.0.1', '::1'])
    if (/^[\w.-]{1,63}$/.test(hostname())) expect(names).toContain(hostname().toLowerCase())
    expect(names).toContain('broker.example')
    expect(hostNames('0.0.0.0')).toEqual(hostNames(undefined))
    expect(new Set(names).size).toBe(names.length)
  })
})

describe('the data folder', () => {
  it('follows XDG_DATA_HOME', () => {
    expect(dataDirectory({ XDG_DATA_HOME: '/data' })).toBe(join('/data', 'gnatmq'))
    expect(dataDirectory({})).toMatch(/[\\/]\.local[\\/]share[\\/]gnatmq$/)
  })
})
