import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/ports/clock'
import type { TlsOptions } from '../../src/ports/tls'
import { ServerCertificate } from '../../src/security/server-certificate'
import { resolveTls } from '../../src/security/tls-settings'
import { derOf, TestAuthority } from '../support/certificates'

const authority = new TestAuthority('Authority')
const certificate = ServerCertificate.fromPem(authority.server())
const crl = authority.revocationList()
const options = (own: TlsOptions, defaults: TlsOptions = { certificate }) => resolveTls(own, defaults, systemClock)
const at = (wallTime: number) => ({ ...systemClock, wallTime: () => wallTime })

describe('resolveTls', () => {
  it('serves mqtt by TLS 1.2 and 1.3 and asks for no client certificate where nothing else is said', () => {
    expect(options({}).serverOptions).toMatchObject({
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ALPNCallback: expect.any(Function),
      requestCert: false,
      rejectUnauthorized: false,
    })
  })

  it.each(['Deno', 'Bun'])('refuses revocation lists on %s, which would let revoked certificates pass', (runtime) => {
    const given = { ca: authority.cert, crl }
    const versions = { node: '22.0.0', [runtime.toLowerCase()]: '2.0.0' }
    expect(() => resolveTls(given, { certificate }, systemClock, versions)).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID', message: expect.stringContaining(runtime) }),
    )
    expect(() => resolveTls({ ca: authority.cert }, { certificate }, systemClock, versions)).not.toThrow()
  })

  it('says whether a client needs a certificate', () => {
    const needs = [{}, { ca: authority.cert }, { ca: authority.cert, requireCertificate: false }].map(
      (own) => options(own).requiresCertificate,
    )
    expect(needs).toEqual([false, true, false])
  })

  it("prefers the listener's options to the broker's", () => {
    const { serverOptions } = options(
      { sslProtocol: 'TLSv1_3', ca: undefined },
      { certificate, sslProtocol: 'TLSv1_2', ca: authority.cert },
    )
    expect(serverOptions).toMatchObject({ minVersion: 'TLSv1.3', requestCert: true })
  })

  it('asks for client certificates with a CA or a hook', () => {
    expect(options({ ca: authority.cert }).serverOptions.requestCert).toBe(true)
    expect(options({ checkServerIdentity: () => undefined }).serverOptions.requestCert).toBe(true)
  })

  it('takes CAs and revocation lists as PEM and DER, one and several', () => {
    const cas = [
      authority.cert,
      Buffer.from(authority.cert),
      derOf(authority.cert),
      [authority.cert, derOf(authority.cert)],
    ]
    for (const ca of cas)
      expect(options({ ca }).serverOptions.ca).toContain(options({ ca: authority.cert }).serverOptions.ca?.[0])
    for (const list of [crl, Buffer.from(crl), derOf(crl), [derOf(crl), crl]]) {
      expect(options({ ca: authority.cert, crl: list }).serverOptions.crl).toHaveLength(Array.isArray(list) ? 2 : 1)
    }
    expect(options({ ca: authority.cert + authority.cert }).serverOptions.ca).toHaveLength(2)
  })

  it.each<[string, TlsOptions, string, RegExp]>([
    [
      'something else than a certificate',
      { certificate: { cert: 'x' } as never },
      'GNATMQ_OPTION_INVALID',
      /ServerCertificate/,
    ],
    ['a CA that is none', { ca: 'garbage' }, 'GNATMQ_CERTIFICATE_INVALID', /^ca /],
    ['no CA in an array', { ca: [] }, 'GNATMQ_CERTIFICATE_INVALID', /^ca /],
    ['a CA of another type', { ca: 1 as never }, 'GNATMQ_OPTION_INVALID', /^ca /],
    ['a revocation list that is none', { ca: authority.cert, crl: 'garbage' }, 'GNATMQ_CERTIFICATE_INVALID', /^crl /],
    [
      'a broken revocation list',
      { ca: authority.cert, crl: Buffer.from('garbage') },
      'GNATMQ_CERTIFICATE_INVALID',
      /^crl /,
    ],
    ['a revocation list without CA', { crl }, 'GNATMQ_OPTION_INVALID', /give the CA/],
    ['requireCertificate without a judge', { requireCertificate: true }, 'GNATMQ_OPTION_INVALID', /Give ca/],
    [
      'requireCertificate of another type',
      { ca: authority.cert, requireCertificate: 'no' as never },
      'GNATMQ_OPTION_INVALID',
      /require/,
    ],
    [
      'a hook that is no function',
      { checkServerIdentity: true as never },
      'GNATMQ_OPTION_INVALID',
      /checkServerIdentity/,
    ],
    ['an SNICallback that is none', { SNICallback: {} as never }, 'GNATMQ_OPTION_INVALID', /SNICallback/],
    [
      'ciphers that OpenSSL does not know',
      { sslProtocol: 'TLSv1_2', ciphers: 'NONSENSE' },
      'GNATMQ_OPTION_INVALID',
      /ciphers/,
    ],
    ['SSLv3', { sslProtocol: 'SSLv3' }, 'GNATMQ_SSL_PROTOCOL_UNSUPPORTED', /SSLv3/],
  ])('refuses %s', (_, own, code, message) => {
    expect(() => options(own)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }))
  })

  it('refuses TLS without a certificate', () => {
    expect(() => options({}, {})).toThrow(
      expect.objectContaining({
        code: 'GNATMQ_OPTION_INVALID',
        message: expect.stringContaining('TLS needs a certificate'),
      }),
    )
  })

  it('refuses a certificate before and after its time', () => {
    for (const time of [certificate.validFrom.getTime() - 1000, certificate.validTo.getTime() + 1000]) {
      expect(() => resolveTls({ certificate }, {}, at(time))).toThrow(
        expect.objectContaining({ code: 'GNATMQ_CERTIFICATE_EXPIRED' }),
      )
    }
  })

  it('refuses a certificate that OpenSSL does not take', () => {
    const identity = { secureContextOptions: () => ({ cert: 'garbage', key: 'garbage' }) }
    expect(() => options({ certificate: identity })).toThrow(
      expect.objectContaining({ code: 'GNATMQ_CERTIFICATE_INVALID' }),
    )
  })
})
