import { once } from 'node:events'
import { createSecureContext } from 'node:tls'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import type { CheckServerIdentity, DetailedPeerCertificate, PeerVerification, TlsOptions } from '../../src/ports/tls'
import { derOf, type IssuedCertificate, TestAuthority } from '../support/certificates'
import { authority, listening, opensslClient, tlsClient } from './tls-listening'

const clients = new TestAuthority('Client CA')
const stranger = new TestAuthority('Other CA')

let crl: string
const issued: Record<string, IssuedCertificate | undefined> = {}

beforeAll(() => {
  issued.good = clients.client('good')
  issued.stranger = stranger.client('stranger')
  issued.expired = clients.client('expired', { from: new Date('2020-01-01'), to: new Date('2021-01-01') })
  issued.early = clients.client('early', { from: new Date('2048-01-01'), to: new Date('2049-01-01') })
  issued.revoked = clients.client('revoked')
  issued.server = clients.server('server')
  issued.none = undefined
  clients.revoke(issued.revoked)
  crl = clients.revocationList()
})

const versions = ['TLSv1.2', 'TLSv1.3'] as const

/** `accepted`, or the reason why not. No byte of a refused client may be read. */
async function judgement(
  options: TlsOptions,
  name: string,
  version: (typeof versions)[number] = 'TLSv1.3',
): Promise<string> {
  const { context, port } = await listening(options)
  const { cert, key } = issued[name] ?? {}
  const identity = cert === undefined || key === undefined ? {} : { cert, key }
  const client = tlsClient(port, { ...identity, maxVersion: version }).then((socket) => socket.write('CONNECT'))
  client.catch(() => undefined)
  const outcome = await Promise.race([context.channel(), context.refusal()])
  if ('stream' in outcome) {
    expect(outcome.peer.certificate?.subject.CN).toBe(issued[name] && name)
    expect(context.refusals).toEqual([])
    return 'accepted'
  }
  expect(outcome.error.code).toBe('GNATMQ_CERTIFICATE_REFUSED')
  expect(outcome.peer.remoteAddress).toBe('127.0.0.1')
  expect(context.channels).toEqual([])
  return outcome.error.message
}

describe.each(versions)('with a CA, in %s', (version) => {
  it.each([
    ['good', /^accepted$/],
    ['none', /sent no certificate/],
    ['stranger', /UNABLE_TO_\w+, its CA is not in ca/],
    ['expired', /CN=expired.*CERT_HAS_EXPIRED, it has expired/],
    ['early', /CERT_NOT_YET_VALID/],
    ['revoked', /CERT_REVOKED, it is on the revocation list/],
    ['server', /INVALID_PURPOSE/],
  ])('a client with certificate "%s" is judged: %s', async (name, expected) => {
    expect(await judgement({ ca: clients.cert, crl }, name, version)).toMatch(expected)
  })

  it('a revoked client is accepted without the revocation list, and not with one in DER', async () => {
    expect(await judgement({ ca: clients.cert }, 'revoked', version)).toBe('accepted')
    expect(await judgement({ ca: derOf(clients.cert), crl: derOf(crl) }, 'revoked', version)).toContain('CERT_REVOKED')
  })

  it('a client without a certificate is accepted where none is required, but a bad one is not', async () => {
    const options = { ca: clients.cert, crl, requireCertificate: false }
    expect(await judgement(options, 'none', version)).toBe('accepted')
    expect(await judgement(options, 'good', version)).toBe('accepted')
    expect(await judgement(options, 'stranger', version)).toContain('its CA is not in ca')
    expect(await judgement(options, 'revoked', version)).toContain('CERT_REVOKED')
  })
})

describe('CAs', () => {
  it('may be several', async () => {
    expect(await judgement({ ca: [clients.cert, derOf(stranger.cert)] }, 'stranger')).toBe('accepted')
    expect(await judgement({ ca: clients.cert + stranger.cert }, 'good')).toBe('accepted')
  })

  it('all need a revocation list, once there is one', async () => {
    expect(await judgement({ ca: [clients.cert, stranger.cert], crl }, 'stranger')).toContain('give one for every CA')
    const lists = [crl, stranger.revocationList()]
    expect(await judgement({ ca: [clients.cert, stranger.cert], crl: lists }, 'stranger')).toBe('accepted')
  })

  it('may have signed by an intermediate CA that the client sends', async () => {
    const intermediate = new TestAuthority('Intermediate', { issuer: clients })
    const client = intermediate.client('chained')
    issued.chained = { ...client, cert: client.cert + intermediate.cert }
    expect(await judgement({ ca: clients.cert }, 'chained')).toBe('accepted')
    issued.chained = client
    expect(await judgement({ ca: clients.cert }, 'chained')).toContain('does not send its intermediate')
  })
})

describe('checkServerIdentity', () => {
  it('is called with the name, the certificate and what the chain check found', async () => {
    const calls: [string, string, PeerVerification][] = []
    const checkServerIdentity: CheckServerIdentity = (hostname, certificate, verification) => {
      calls.push([hostname, String(certificate.subject.CN), verification])
      return undefined
    }
    await judgement({ ca: clients.cert, checkServerIdentity }, 'good')
    await judgement({ ca: clients.cert, checkServerIdentity }, 'expired')
    expect(calls).toEqual([
      ['localhost', 'good', { authorized: true, authorizationError: undefined }],
      ['localhost', 'expired', { authorized: false, authorizationError: new Error('CERT_HAS_EXPIRED') }],
    ])
  })

  it('gets an empty name from a client that asks for none', async () => {
    const checkServerIdentity = vi.fn(() => undefined)
    const { context, port } = await listening({ ca: clients.cert, checkServerIdentity })
    const client = issued.good as IssuedCertificate
    await tlsClient(port, {
      cert: client.cert,
      key: client.key,
      servername: '',
      host: '127.0.0.1',
      checkServerIdentity: () => undefined,
    })
    await context.channel()
    expect(checkServerIdentity).toHaveBeenCalledWith(
      '',
      expect.objectContaining({ raw: expect.any(Buffer) }),
      expect.anything(),
    )
  })

  it('accepts against the chain error', async () => {
    const checkServerIdentity = (): undefined => undefined
    for (const name of ['stranger', 'expired', 'revoked', 'server']) {
      expect(await judgement({ ca: clients.cert, crl, checkServerIdentity }, name)).toBe('accepted')
    }
  })

  it('alone asks for certificates, without a CA', async () => {
    const checkServerIdentity: CheckServerIdentity = (_, { subject }) =>
      subject.CN === 'good' ? undefined : new Error('not you')
    expect(await judgement({ checkServerIdentity }, 'good')).toBe('accepted')
    expect(await judgement({ checkServerIdentity }, 'stranger')).toContain('not you')
    expect(await judgement({ checkServerIdentity }, 'none')).toContain('sent no certificate')
  })

  it.each<[string, () => unknown, RegExp]>([
    ['an Error', () => new Error('not this one'), /refuses .*not this one/],
    [
      'a throw',
      () => {
        throw new Error('broken')
      },
      /threw .*broken/,
    ],
    [
      'a throw of something else',
      () => {
        throw 'broken'
      },
      /threw .*broken/,
    ],
    ['a promise', async () => undefined, /neither undefined nor an Error/],
    [
      'a promise that rejects',
      async () => {
        throw new Error('late')
      },
      /neither undefined nor an Error/,
    ],
    ['true', () => true, /neither undefined nor an Error/],
    ['false', () => false, /neither undefined nor an Error/],
    ['null', () => null, /neither undefined nor an Error/],
  ])('refuses a good client by %s', async (_, hook, expected) => {
    expect(await judgement({ ca: clients.cert, checkServerIdentity: hook as never }, 'good')).toMatch(expected)
  })

  it('is not asked about a client without a certificate', async () => {
    const checkServerIdentity = vi.fn(() => undefined)
    expect(await judgement({ ca: clients.cert, checkServerIdentity }, 'none')).toContain('sent no certificate')
    expect(await judgement({ ca: clients.cert, checkServerIdentity, requireCertificate: false }, 'none')).toBe(
      'accepted',
    )
    expect(checkServerIdentity).not.toHaveBeenCalled()
  })
})

describe('a context of SNICallback', () => {
  const other = authority.server('localhost')

  it('without a CA of its own still checks clients by the CAs and revocation lists of the broker', async () => {
    const context = createSecureContext({ cert: other.cert, key: other.key })
    const options: TlsOptions = { ca: clients.cert, crl, SNICallback: (_, done) => done(null, context) }
    expect(await judgement(options, 'good')).toBe('accepted')
    expect(await judgement(options, 'stranger')).toContain('its CA is not in ca')
    expect(await judgement(options, 'revoked')).toContain('CERT_REVOKED')
    expect(await judgement(options, 'none')).toContain('sent no certificate')
  })

  it('takes clients of an intermediate CA: always if that is in ca, else where Node shows their chain', async () => {
    const intermediate = new TestAuthority('Intermediate', { issuer: clients })
    const client = intermediate.client('chained')
    issued.chained = { ...client, cert: client.cert + intermediate.cert }
    const SNICallback: TlsOptions['SNICallback'] = (_, done) =>
      done(null, createSecureContext({ cert: other.cert, key: other.key }))
    expect(await judgement({ ca: [clients.cert, intermediate.cert], SNICallback }, 'chained')).toBe('accepted')

    let shown = false
    const checkServerIdentity: CheckServerIdentity = (_, certificate) => {
      shown = (certificate as DetailedPeerCertificate).issuerCertificate !== undefined
      return undefined
    }
    await judgement({ ca: clients.cert, checkServerIdentity }, 'chained')
    const expected = shown ? /^accepted$/ : /CERT_UNTRUSTED.*put the intermediate CAs/
    expect(await judgement({ ca: clients.cert, SNICallback }, 'chained')).toMatch(expected)
  })

  it('brings no CA that the broker does not name', async () => {
    const context = createSecureContext({ cert: other.cert, key: other.key, ca: stranger.cert })
    const options: TlsOptions = { ca: clients.cert, SNICallback: (_, done) => done(null, context) }
    expect(await judgement(options, 'stranger')).toContain('CERT_UNTRUSTED')
    expect(await judgement(options, 'good')).toBe('accepted')
  })
})

describe.each(versions)('a session of a client with a certificate, in %s', (version) => {
  async function sessionsOf(options: TlsOptions, client = issued.good as IssuedCertificate) {
    const listener = await listening(options)
    const identity = { cert: client.cert, key: client.key, maxVersion: version }
    const first = await tlsClient(listener.port, identity)
    const sessions: Buffer[] = []
    first.on('session', (session) => sessions.push(session))
    const channel = await listener.context.channel()
    channel.stream.write('a byte behind any ticket')
    await once(first, 'data')
    if (version === 'TLSv1.3') await vi.waitFor(() => expect(sessions.length).toBeGreaterThan(0))
    return { ...listener, identity, sessions: [...sessions, first.getSession() as Buffer] }
  }

  it('would be resumed, were the certificate not asked for', async () => {
    const { port, identity, sessions } = await sessionsOf({})
    expect((await tlsClient(port, { ...identity, session: sessions[0] })).isSessionReused()).toBe(true)
  })

  it('is not resumed: the certificate is proven each time', async () => {
    const { context, port, identity, sessions } = await sessionsOf({ ca: clients.cert })
    for (const [number, session] of sessions.entries()) {
      expect((await tlsClient(port, { ...identity, session })).isSessionReused()).toBe(false)
      // Without its certificate, the session alone lets nobody in.
      await tlsClient(port, { maxVersion: version, session }).catch(() => undefined)
      expect((await context.refusal(number)).error.message).toContain('sent no certificate')
    }
    expect(context.channels.map(({ peer }) => peer.certificate?.subject.CN)).toEqual(
      Array(sessions.length + 1).fill('good'),
    )
  })

  it('is worth nothing once the certificate is revoked', async () => {
    const leaver = clients.client('leaver')
    const { context, port, identity, sessions, listener } = await sessionsOf({ ca: clients.cert, crl }, leaver)
    clients.revoke(leaver)
    listener.updateTls?.({ crl: clients.revocationList() })
    for (const [number, session] of sessions.entries()) {
      const socket = await tlsClient(port, { ...identity, session }).catch(() => undefined)
      expect(socket?.isSessionReused() ?? false).toBe(false)
      expect((await context.refusal(number)).error.message).toContain('CERT_REVOKED')
    }
    expect(context.channels).toHaveLength(1)
  })
})

it('renegotiation, by which a client might change its certificate, is refused', async () => {
  const client = issued.good as IssuedCertificate
  const { context, port } = await listening({ ca: clients.cert, sslProtocol: 'TLSv1_2' })
  const socket = await tlsClient(port, { cert: client.cert, key: client.key })
  const channel = await context.channel()
  channel.read(() => undefined)
  const answer = new Promise((resolve) => {
    socket.once('error', resolve)
    socket.once('close', resolve)
    socket.renegotiate({}, resolve)
  })
  await expect(answer).resolves.toBeInstanceOf(Error)
})

it('another TLS library is judged alike', async () => {
  const { context, port } = await listening({ ca: clients.cert, crl })
  for (const name of ['good', 'revoked']) {
    const { certFile, keyFile } = issued[name] as IssuedCertificate
    await opensslClient(port, '-cert', certFile, '-key', keyFile)
  }
  expect((await context.channel()).peer.certificate?.subject.CN).toBe('good')
  expect((await context.refusal()).error.message).toContain('CERT_REVOKED')
})
