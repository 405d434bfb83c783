import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import { describe, expect, it, vi } from 'vitest'
import { MqttError } from '../../src/protocol/mqtt-error'
import { ServerCertificate } from '../../src/security/server-certificate'
import { MqttSslProtocols } from '../../src/security/ssl-protocol'
import { tls } from '../../src/transport/tls'
import { makePfx, TestAuthority } from '../support/certificates'
import { RecordedContext } from '../support/recorded-context'
import { authority, certificate, cleanUp, listening, opensslClient, tlsClient } from './tls-listening'

const { TLSv1_0, TLSv1_1, TLSv1_2, TLSv1_3 } = MqttSslProtocols

async function plainClient(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  cleanUp(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

const closeOf = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()))

describe('TLS versions', () => {
  const clients = [
    { flag: '-tls1', protocol: TLSv1_0, name: 'TLSv1' },
    { flag: '-tls1_1', protocol: TLSv1_1, name: 'TLSv1.1' },
    { flag: '-tls1_2', protocol: TLSv1_2, name: 'TLSv1.2' },
    { flag: '-tls1_3', protocol: TLSv1_3, name: 'TLSv1.3' },
  ]
  const settings = [
    ...clients.map(({ protocol, name }) => ({ setting: protocol, allowed: [name] })),
    { setting: undefined, allowed: ['TLSv1.2', 'TLSv1.3'] },
    { setting: { min: TLSv1_0, max: TLSv1_3 }, allowed: ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] },
    { setting: { min: TLSv1_1, max: TLSv1_2 }, allowed: ['TLSv1.1', 'TLSv1.2'] },
  ]

  it.each(settings)('$setting negotiates with $allowed and no other', async ({ setting, allowed }) => {
    const { context, port } = await listening({ sslProtocol: setting })
    const connected: string[] = []
    for (const { flag, name } of clients) {
      const result = await opensslClient(port, flag, '-cipher', 'ALL:@SECLEVEL=0')
      if (result.connected) connected.push(name)
    }
    expect(connected).toEqual(allowed)
    await context.channel(allowed.length - 1)
    expect(context.channels.map(({ peer }) => peer.tlsVersion)).toEqual(allowed)
    const refused = clients.length - allowed.length
    if (refused > 0) await context.refusal(refused - 1)
    expect(context.refusals.map(({ error }) => error.code)).toEqual(Array(refused).fill('GNATMQ_TLS_HANDSHAKE'))
  })

  it('SSLv3 does not start', async () => {
    const listener = tls({ port: 0, sslProtocol: MqttSslProtocols.SSLv3, certificate })
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({
      code: 'GNATMQ_SSL_PROTOCOL_UNSUPPORTED',
    })
  })

  it('tell in the refusal what does not fit', async () => {
    const { context, port } = await listening({ sslProtocol: TLSv1_3 })
    await expect(tlsClient(port, { maxVersion: 'TLSv1.2' })).rejects.toThrow('protocol version')
    const { error, peer } = await context.refusal()
    expect(error.message).toContain('no TLS version that sslProtocol allows')
    expect(peer).toEqual({ remoteAddress: '127.0.0.1', remotePort: expect.any(Number) })
  })
})

describe('a TLS channel', () => {
  it('reads, writes, and names its peer', async () => {
    const { context, port, protocol } = await listening()
    const socket = await tlsClient(port)
    const channel = await context.channel()
    expect(protocol).toBe('mqtts')
    expect(channel.peer).toEqual({
      remoteAddress: '127.0.0.1',
      remotePort: socket.localPort,
      servername: 'localhost',
      tlsVersion: 'TLSv1.3',
    })
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    socket.write('there and back')
    expect((await once(socket, 'data'))[0].toString()).toBe('there and back')
  })

  it('was accepted when its TCP connection was, before the handshake', async () => {
    const { context, port } = await listening()
    const raw = await plainClient(port)
    // Once a later peer is through, this one is certainly accepted.
    await tlsClient(port)
    await context.channel()
    const begun = context.clock.now()
    await tlsClient(port, { socket: raw })
    expect((await context.channel(1)).acceptedAt).toBeLessThan(begun)
  })

  it('stops its sender while it is paused, and brings every byte in order after', async () => {
    const { context, port } = await listening()
    const socket = await tlsClient(port)
    const channel = await context.channel()
    const whole = Buffer.alloc(
      32 * 1024 * 1024,
      Uint8Array.from({ length: 251 }, (_, i) => i),
    )
    const chunks: Buffer[] = []
    let paused = false
    channel.read((bytes, length) => {
      expect(paused).toBe(false)
      chunks.push(Buffer.from(bytes.subarray(0, length)))
      if (chunks.length % 50 !== 1) return
      channel.pause()
      paused = true
      setImmediate(() => {
        paused = false
        channel.resume()
      })
    })
    socket.write(whole)
    await vi.waitFor(() => expect(chunks.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(whole.length), 15_000)
    expect(Buffer.concat(chunks).equals(whole)).toBe(true)
  })

  it('outlives its listener', async () => {
    const { context, port, listener } = await listening()
    const socket = await tlsClient(port)
    const channel = await context.channel()
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    await listener.close()
    socket.write('still here')
    expect((await once(socket, 'data'))[0].toString()).toBe('still here')
  })

  it('survives a reset', async () => {
    const { context, port } = await listening()
    const raw = await plainClient(port)
    await tlsClient(port, { socket: raw })
    const channel = await context.channel()
    channel.read(() => undefined)
    raw.resetAndDestroy()
    await vi.waitFor(() => expect(channel.stream.closed).toBe(true))
  })
})

describe('ALPN', () => {
  it('is mqtt for a client that offers it', async () => {
    const { port } = await listening()
    expect((await tlsClient(port, { ALPNProtocols: ['h2', 'mqtt'] })).alpnProtocol).toBe('mqtt')
  })

  it('is not needed', async () => {
    const { port } = await listening()
    expect((await tlsClient(port)).alpnProtocol).toBe(false)
  })

  it.each([['x-amzn-mqtt-ca'], ['http/1.1'], ['h2', 'x-amzn-mqtt-ca']])(
    'refuses no client that offers other names (%s)',
    async (...names) => {
      const { port } = await listening()
      expect((await tlsClient(port, { ALPNProtocols: names })).alpnProtocol).toBe(names.at(-1))
    },
  )

  it('refuses, as RFC 7301 asks, a client that offers other protocols only, where it is told to', async () => {
    const { context, port } = await listening({ strictAlpn: true })
    await expect(tlsClient(port, { ALPNProtocols: ['http/1.1'] })).rejects.toThrow()
    expect((await context.refusal()).error.code).toBe('GNATMQ_TLS_HANDSHAKE')
    expect((await tlsClient(port, { ALPNProtocols: ['h2', 'mqtt'] })).alpnProtocol).toBe('mqtt')
  })
})

describe('a peer in its handshake', () => {
  it('is counted as one until its ClientHello, and as eight then', async () => {
    const { context, port } = await listening()
    const raw = await plainClient(port)
    await vi.waitFor(() => expect([...context.counted.values()]).toEqual([1]))
    context.busy = true
    const secured = tlsClient(port, { socket: raw })
    await context.waitingPeers(1)
    expect(context.counted.size).toBe(0)
    for (const open of context.waiting.splice(0)) open()
    expect([...context.counted.values()]).toEqual([8])
    await secured
    await context.channel()
    expect(context.counted.size).toBe(0)
  })

  it('is not begun with while others have their turn, and is dropped when it goes meanwhile', async () => {
    const { context, port } = await listening()
    const raw = await plainClient(port)
    await vi.waitFor(() => expect(context.counted.size).toBe(1))
    context.busy = true
    tlsClient(port, { socket: raw }).catch(() => undefined)
    await context.waitingPeers(1)
    raw.resetAndDestroy()
    for (const open of context.waiting.splice(0)) open()
    const { error } = await context.refusal()
    expect(error.code).toBe('GNATMQ_TLS_HANDSHAKE')
    expect([context.counted.size, context.channels.length]).toEqual([0, 0])
  })

  it('is dropped where there is no room for it', async () => {
    const { context, port } = await listening()
    context.noRoom = new MqttError('GNATMQ_SERVER_BUSY', 'full')
    await closeOf(await plainClient(port))
    expect((await context.refusal()).error.code).toBe('GNATMQ_SERVER_BUSY')
    expect(context.refusals).toHaveLength(1)
  })

  it('is dropped for more bytes than a ClientHello has, before anything is computed for them', async () => {
    const { context, port } = await listening()
    const raw = await plainClient(port)
    raw.write(Buffer.alloc(200_000, 22))
    await closeOf(raw)
    expect((await context.refusal()).error.message).toContain('the client does not speak TLS')
  })
})

describe('a peer that does not do its handshake', () => {
  it('is dropped after connectTimeout when it says nothing', async () => {
    const context = new RecordedContext({ connectTimeoutMs: 200, defaults: { certificate } })
    const { port } = await listening({}, context)
    const begun = performance.now()
    const socket = await plainClient(port)
    await closeOf(socket)
    expect(performance.now() - begun).toBeGreaterThan(150)
    const { error, peer } = await context.refusal()
    expect(error).toMatchObject({ code: 'GNATMQ_TLS_HANDSHAKE', message: expect.stringContaining('in time') })
    expect(peer.remoteAddress).toBe('127.0.0.1')
    expect(context.refusals).toHaveLength(1)
  })

  it('is dropped after connectTimeout when it stops halfway', async () => {
    const context = new RecordedContext({ connectTimeoutMs: 200, defaults: { certificate } })
    const { port } = await listening({}, context)
    const socket = await plainClient(port)
    // The header of a ClientHello, and no more.
    socket.write(Buffer.from('1603010200', 'hex'))
    await closeOf(socket)
    expect((await context.refusal()).error.code).toBe('GNATMQ_TLS_HANDSHAKE')
  })

  it('is dropped at once when it speaks plain MQTT', async () => {
    const { context, port } = await listening()
    const socket = await plainClient(port)
    socket.write(Buffer.from('100f00044d5154540402003c0003616263', 'hex'))
    await closeOf(socket)
    const { error } = await context.refusal()
    expect(error.message).toContain('does not speak TLS')
    expect(error.cause).toBeInstanceOf(Error)
  })

  it.each(['end', 'resetAndDestroy'] as const)('is told of once when it goes by %s', async (way) => {
    const { context, port } = await listening()
    const socket = await plainClient(port)
    socket[way]()
    const { error, peer } = await context.refusal()
    expect(error).toMatchObject({
      code: 'GNATMQ_TLS_HANDSHAKE',
      message: expect.stringContaining('closed the connection'),
    })
    expect(peer.remotePort).toEqual(expect.any(Number))
    await tlsClient(port)
    await context.channel()
    expect(context.refusals).toHaveLength(1)
  })

  it('harms nobody, wherever it breaks off: each is told of once, and others are served', async () => {
    const { context, port } = await listening()
    const capture = createServer().listen(0, '127.0.0.1')
    cleanUp(() => capture.close())
    await once(capture, 'listening')
    const caught = once(capture, 'connection')
    tlsClient((capture.address() as AddressInfo).port).catch(() => undefined)
    const [hello] = (await once((await caught)[0], 'data')) as [Buffer]
    const count = 100
    for (let i = 0; i < count; i++) {
      const socket = await plainClient(port)
      const length = Math.floor((hello.length * i) / (count - 1))
      socket.write(hello.subarray(0, length), () => (i % 2 ? socket.destroy() : socket.resetAndDestroy()))
    }
    await tlsClient(port)
    await context.channel()
    await context.refusal(count - 1)
    expect(context.refusals).toHaveLength(count)
    expect(new Set(context.refusals.map(({ peer }) => peer.remotePort)).size).toBe(count)
  })

  it('is told of when it does not trust the certificate', async () => {
    const { context, port } = await listening()
    await expect(tlsClient(port, { ca: new TestAuthority('Other CA').cert })).rejects.toThrow()
    expect((await context.refusal()).error.code).toBe('GNATMQ_TLS_HANDSHAKE')
  })

  it('is dropped by close, which does not wait for it', async () => {
    const { context, port, listener } = await listening()
    const socket = await plainClient(port)
    socket.write(Buffer.from('1603010200', 'hex'))
    // Once a later peer is through, this one is certainly in its handshake.
    await tlsClient(port)
    await context.channel()
    const closed = closeOf(socket)
    await listener.close()
    await closed
    expect(context.refusals).toEqual([])
  })
})

describe('SNI', () => {
  const other = authority.server('other.example', { names: 'DNS:other.example' })
  const contexts: Record<string, ReturnType<typeof createSecureContext>> = {
    'other.example': createSecureContext({ cert: other.cert, key: other.key }),
  }

  it('chooses the certificate by the name that the client asks for', async () => {
    const { context, port } = await listening({ SNICallback: (name, done) => done(null, contexts[name]) })
    const names = ['other.example', 'localhost']
    for (const servername of names) {
      const socket = await tlsClient(port, { servername })
      expect(socket.getPeerCertificate().subject.CN).toBe(servername)
    }
    await context.channel(1)
    expect(context.channels.map(({ peer }) => peer.servername)).toEqual(names)
  })

  it.each<[string, (name: string, done: (error: Error | null) => void) => unknown]>([
    ['answers with an error', (_, done) => done(new Error('unknown name'))],
    [
      'throws',
      () => {
        throw new Error('unknown name')
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('unknown name')
      },
    ],
  ])('refuses the one client when the callback %s', async (_, callback) => {
    const SNICallback = callback as never
    const { context, port } = await listening({ SNICallback })
    await expect(tlsClient(port)).rejects.toThrow()
    const { error } = await context.refusal()
    expect(error).toMatchObject({ code: 'GNATMQ_TLS_HANDSHAKE', message: expect.stringContaining('unknown name') })
  })

  it('gives a callback that never answers no longer than connectTimeout', async () => {
    const context = new RecordedContext({ connectTimeoutMs: 200, defaults: { certificate } })
    const { port } = await listening({ SNICallback: () => undefined }, context)
    await expect(tlsClient(port)).rejects.toThrow()
    expect((await context.refusal()).error.message).toContain('in time')
  })
})

describe('updateTls', () => {
  it('serves a new certificate to new connections, and leaves the others alone', async () => {
    const { context, port, listener } = await listening()
    const before = await tlsClient(port)
    const channel = await context.channel()
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    const renewed = ServerCertificate.fromPem(authority.server('localhost'))
    listener.updateTls?.({ certificate: renewed })
    const after = await tlsClient(port)
    expect(after.getPeerCertificate().fingerprint256).toBe(renewed.fingerprint256)
    before.write('still here')
    expect((await once(before, 'data'))[0].toString()).toBe('still here')
  })

  it('changes all the rest, too: versions, and whether clients are asked for a certificate', async () => {
    const { context, port, listener } = await listening()
    await tlsClient(port)
    listener.updateTls?.({ sslProtocol: TLSv1_2, ca: authority.cert })
    await tlsClient(port, authority.client('device'))
    expect((await context.channel(1)).peer).toMatchObject({
      tlsVersion: 'TLSv1.2',
      certificate: { subject: { CN: 'device' } },
    })
    // In TLS 1.2 the client may see the end of the connection before that of its handshake.
    await tlsClient(port).catch(() => undefined)
    expect((await context.refusal()).error.code).toBe('GNATMQ_CERTIFICATE_REFUSED')
  })

  it('keeps the former settings when the new ones are wrong, and those that are not named', async () => {
    const { context, port, listener } = await listening({ sslProtocol: TLSv1_2 })
    expect(() => listener.updateTls?.({ ca: 'garbage' })).toThrow(
      expect.objectContaining({ code: 'GNATMQ_CERTIFICATE_INVALID' }),
    )
    listener.updateTls?.({ certificate, ca: undefined })
    await tlsClient(port)
    expect((await context.channel()).peer.tlsVersion).toBe('TLSv1.2')
  })

  it('holds beyond a restart', async () => {
    const { listener } = await listening()
    await listener.close()
    listener.updateTls?.({ sslProtocol: TLSv1_2 })
    const context = new RecordedContext({ defaults: { certificate } })
    const { port } = await listener.listen(context)
    await tlsClient(port)
    expect((await context.channel()).peer.tlsVersion).toBe('TLSv1.2')
    context.destroy()
  })
})

describe('a TLS listener', () => {
  it('listens on all interfaces where no host is given', async () => {
    const context = new RecordedContext({ defaults: { certificate } })
    const listener = tls({ port: 0 })
    cleanUp(() => listener.close())
    cleanUp(() => context.destroy())
    const { port } = await listener.listen(context)
    await tlsClient(port, { host: '127.0.0.1' })
    await tlsClient(port, { host: '::1' })
    expect(listener).toMatchObject({ exposure: 'secure', host: undefined })
  })

  it('says that its port is in use', async () => {
    const { port } = await listening()
    await expect(
      tls({ port, host: '127.0.0.1' }).listen(new RecordedContext({ defaults: { certificate } })),
    ).rejects.toMatchObject({
      code: 'GNATMQ_PORT_IN_USE',
    })
  })

  it('does not start without a certificate, nor with an expired one', async () => {
    await expect(tls({ port: 0 }).listen(new RecordedContext())).rejects.toMatchObject({
      code: 'GNATMQ_OPTION_INVALID',
    })
    const expired = authority.server('localhost', { from: new Date('2020-01-01'), to: new Date('2021-01-01') })
    const listener = tls({ port: 0, certificate: ServerCertificate.fromPem(expired) })
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({ code: 'GNATMQ_CERTIFICATE_EXPIRED' })
  })

  it('sends the intermediate certificates of a PFX, old or new', async () => {
    const intermediate = new TestAuthority('Intermediate', { issuer: authority })
    const issued = intermediate.server()
    for (const legacy of [true, false]) {
      const pfx = makePfx(issued, 'secret', { legacy, chain: [intermediate.cert, authority.cert] })
      const { port } = await listening({ certificate: ServerCertificate.fromPfx(pfx, 'secret') })
      const socket = await tlsClient(port)
      expect(socket.authorized).toBe(true)
      const chain = (await opensslClient(port, '-showcerts')).output.match(/BEGIN CERTIFICATE/g)
      expect(chain).toHaveLength(2)
    }
  })

  it('resumes sessions where no client certificates are asked for', async () => {
    const { port } = await listening({ sslProtocol: TLSv1_2 })
    const first = await tlsClient(port)
    const session = first.getSession()
    first.destroy()
    expect((await tlsClient(port, { session })).isSessionReused()).toBe(true)
  })
})
