import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, it, vi } from 'vitest'
import { MqttError } from '../../src/protocol/mqtt-error'
import { ServerCertificate } from '../../src/security/server-certificate'
import { type WebSocketOptions, webSocket } from '../../src/transport/websocket'
import { TestAuthority } from '../support/certificates'
import { RecordedContext } from '../support/recorded-context'
import {
  answerTo,
  cleanUp,
  closeOf,
  type Headers,
  listening,
  rawClient,
  statusOf,
  upgraded,
  upgradeRequest,
  webSocketClient,
} from './websocket-listening'

const authority = new TestAuthority('Broker CA')
const certificate = ServerCertificate.fromPem(authority.server('localhost'))

describe('where webSocket listens', () => {
  it('is the loopback interface, IPv4 and IPv6 on one port, where no host is given', async () => {
    const { context, address, port } = await listening()
    expect(address).toEqual({ protocol: 'ws', host: '127.0.0.1', port })
    await webSocketClient(port)
    await webSocketClient(port, {}, `ws://[::1]:${port}/mqtt`)
    expect((await context.channel(1)).peer.remoteAddress).toBe('::1')
  })

  it('is the host that is given', async () => {
    const { address } = await listening({ port: 0, host: '127.0.0.2' })
    expect(address.host).toBe('127.0.0.2')
  })

  it('is told beforehand', () => {
    expect(webSocket({ host: '0.0.0.0' })).toMatchObject({ exposure: 'plain', host: '0.0.0.0' })
    expect(webSocket()).toMatchObject({ exposure: 'plain', host: undefined })
    expect(webSocket({ secure: true })).toMatchObject({ exposure: 'secure', host: undefined })
  })

  it('is free again after close, for the same listener too', async () => {
    const { listener, port } = await listening()
    await listener.close()
    await expect(webSocketClient(port)).rejects.toThrow('ECONNREFUSED')
    const context = new RecordedContext()
    cleanUp(() => context.destroy())
    await webSocketClient((await listener.listen(context)).port)
    await context.channel()
  })

  it('is refused to a second broker', async () => {
    const { listener } = await listening()
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({ code: 'GNATMQ_LISTEN_FAILED' })
  })

  it('may be taken: then the error says so, and the listener can try again', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const listener = webSocket({ port: (server.address() as AddressInfo).port })
    cleanUp(() => listener.close())
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({ code: 'GNATMQ_PORT_IN_USE' })
    server.close()
    await once(server, 'close')
    await listener.listen(new RecordedContext())
  })

  it.each<[WebSocketOptions, string]>([
    [{ port: 65536 }, 'port is 65536'],
    [{ host: '' }, 'host is no name'],
    [{ path: 'mqtt' }, 'path is none'],
    [{ path: '/mqtt?a' }, 'path is none'],
    [{ secure: 1 as never }, 'secure is neither'],
    [{ certificate }, 'certificate without TLS'],
    [{ secure: false, ca: 'x' }, 'ca without TLS'],
    [{ maximumFrameSize: 0 }, 'maximumFrameSize is 0'],
    [{ maximumFrameSize: 2 ** 31 }, 'maximumFrameSize is 2147483648'],
    [{ origins: 'https://a.example' as never }, 'origins is neither'],
    [{ origins: ['a.example'] }, 'origins is neither'],
    [{ origins: ['https://a.example/'] }, 'origins is neither'],
    [{ server: {} as never }, 'server is none'],
    [{ server: createServer() as never, port: 1 }, 'port beside server'],
    [{ server: createServer() as never, secure: true, certificate }, 'secure beside server'],
  ])('is refused for %o', (options, message) => {
    expect(() => webSocket(options)).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID', message: expect.stringContaining(message) }),
    )
  })
})

describe('a peer that asks for no upgrade', () => {
  it('is counted as half-open until it does, or goes', async () => {
    const { context, port } = await listening({ port: 0 })
    const [slow, gone] = [await rawClient(port), await rawClient(port)]
    await vi.waitFor(() => expect(context.counted.size).toBe(2))
    slow.write('GET /mqtt HTTP/1.1\r\nHost: loc')
    gone.destroy()
    await vi.waitFor(() => expect(context.counted.size).toBe(1))
    const [left] = context.counted.keys()
    left!.drop(new MqttError('GNATMQ_SERVER_BUSY', 'gives way'))
    await closeOf(slow)
    expect((await context.refusal()).error.code).toBe('GNATMQ_SERVER_BUSY')
    expect(context.counted.size).toBe(0)
  })

  it('is dropped where there is no room for it', async () => {
    const { context, port } = await listening({ port: 0 })
    context.noRoom = new MqttError('GNATMQ_SERVER_BUSY', 'full')
    await closeOf(await rawClient(port))
    expect(context.refusals).toHaveLength(1)
  })

  it('and then does is counted no more', async () => {
    const { context, port } = await listening({ port: 0 })
    await upgraded(port, context)
    expect(context.counted.size).toBe(0)
  })
})

describe('an upgrade request', () => {
  it.each([
    ['mqtt', 'mqtt'],
    ['chat, mqtt', 'mqtt'],
    ['mqttv3.1,mqtt', 'mqtt'],
    ['mqttv3.1', 'mqttv3.1'],
  ])('that offers the subprotocols %s gets %s', async (offered, selected) => {
    const { port } = await listening()
    const answer = await answerTo(await rawClient(port), upgradeRequest({ 'Sec-WebSocket-Protocol': offered }))
    expect(answer).toMatch(/^HTTP\/1\.1 101 /)
    expect(/^sec-websocket-protocol: (.*)$/im.exec(answer)?.[1]).toBe(selected)
  })

  it.each<[string, number, Headers, string?]>([
    ['offers no subprotocol', 400, { 'Sec-WebSocket-Protocol': undefined }],
    ['offers another subprotocol', 400, { 'Sec-WebSocket-Protocol': 'chat, MQTT, mqtt5' }],
    ['offers what is no list of subprotocols', 400, { 'Sec-WebSocket-Protocol': 'mqtt, mqtt' }],
    ['has no key', 400, { 'Sec-WebSocket-Key': undefined }],
    ['has a key of another length', 400, { 'Sec-WebSocket-Key': 'AAAA' }],
    ['is not for WebSocket', 400, { Upgrade: 'h2c' }],
    ['is of an older version', 426, { 'Sec-WebSocket-Version': '8' }],
    ['is of no version', 426, { 'Sec-WebSocket-Version': undefined }],
    ['is a POST', 400, {}, 'POST /mqtt HTTP/1.1'],
    ['is for another path', 404, {}, 'GET /mqtt/ HTTP/1.1'],
    ['is for the root', 404, {}, 'GET / HTTP/1.1'],
  ])('that %s is refused with %i, and told of once', async (_, status, headers, requestLine = 'GET /mqtt HTTP/1.1') => {
    const { context, port } = await listening()
    const socket = await rawClient(port)
    expect(await answerTo(socket, upgradeRequest(headers, requestLine))).toMatch(`HTTP/1.1 ${status} `)
    await closeOf(socket)
    expect(context.refusals).toEqual([
      {
        error: expect.objectContaining({ code: 'GNATMQ_PROTOCOL_ERROR' }),
        peer: { remoteAddress: '127.0.0.1', remotePort: expect.any(Number), path: requestLine.split(' ')[1] },
      },
    ])
    expect(context.channels).toEqual([])
  })

  it('says which version is spoken', async () => {
    const { port } = await listening()
    const answer = await answerTo(await rawClient(port), upgradeRequest({ 'Sec-WebSocket-Version': '8' }))
    expect(answer).toContain('Sec-WebSocket-Version: 13\r\n')
  })

  it('may have a query, and frames close behind it', async () => {
    const { context, port } = await listening({ port: 0, path: '/a/b' })
    const socket = await rawClient(port)
    const frame = Buffer.from('828300000000616263', 'hex')
    const request = Buffer.from(upgradeRequest({}, 'GET /a/b?token=1 HTTP/1.1'))
    expect(await answerTo(socket, Buffer.concat([request, frame]))).toMatch('101')
    const onBytes = vi.fn()
    const channel = await context.channel()
    channel.read((bytes, length) => onBytes(bytes.toString('latin1', 0, length)))
    await vi.waitFor(() => expect(onBytes.mock.calls).toEqual([['abc']]))
  })

  it('gets no compression', async () => {
    const { port } = await listening()
    const client = await webSocketClient(port, { perMessageDeflate: true })
    expect(client.extensions).toBe('')
  })
})

describe('origins', () => {
  const statusFrom = async (options: WebSocketOptions, Origin?: string) =>
    statusOf((await listening({ port: 0, ...options })).port, { Origin })

  it.each([
    ['https://a.example', 101],
    ['HTTPS://A.example', 101],
    [undefined, 101],
    ['http://a.example', 403],
    ['https://a.example:8443', 403],
    ['https://a.example.evil.example', 403],
    ['null', 403],
    ['', 403],
  ])('as a list with https://A.example answer %s with %i', async (origin, status) => {
    expect(await statusFrom({ origins: ['https://A.example', 'http://localhost:3000'] }, origin)).toBe(status)
  })

  it('as an empty list refuse every page', async () => {
    expect(await statusFrom({ origins: [] }, 'https://a.example')).toBe(403)
  })

  it('left out let only pages of the same host in, where nobody has to say who they are', async () => {
    const { port } = await listening({ port: 0 })
    expect(await statusOf(port, { Origin: 'https://a.example' })).toBe(403)
    expect(await statusOf(port, { Origin: 'null' })).toBe(403)
    expect(await statusOf(port, { Origin: `http://127.0.0.1:${port + 1}` })).toBe(403)
    expect(await statusOf(port, { Origin: `http://127.0.0.1:${port}`, Host: `127.0.0.1:${port}` })).toBe(101)
    expect(await statusOf(port, {})).toBe(101)
  })

  it.each([
    ['evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['localhost.evil.example', 403],
    ['10.0.0.1', 403],
    ['localhost', 101],
    ['app.localhost', 101],
    ['127.0.0.1', 101],
    ['[::1]', 101],
  ])('left out answer a page of %s that leads to the loopback interface with %i', async (host, status) => {
    const { port } = await listening({ port: 0 })
    expect(await statusOf(port, { Origin: `http://${host}:${port}`, Host: `${host}:${port}` })).toBe(status)
  })

  it('left out let every page in, where the broker authenticates its clients', async () => {
    const context = new RecordedContext({ plainHost: 'all' })
    const { port } = await listening({ port: 0, host: '127.0.0.1' }, context)
    expect(await statusOf(port, { Origin: 'https://a.example' })).toBe(101)
  })

  it('as a function are asked with the header and the request', async () => {
    const origins = vi.fn<(origin: string | undefined) => boolean>((origin) => origin === 'https://a.example')
    const { port } = await listening({ port: 0, origins })
    expect(await statusOf(port, { Origin: 'https://a.example' })).toBe(101)
    expect(await statusOf(port, { Origin: 'https://b.example' })).toBe(403)
    expect(await statusOf(port)).toBe(403)
    expect(origins.mock.calls[0]).toEqual(['https://a.example', expect.objectContaining({ url: '/mqtt' })])
  })

  it('as a function that throws, or answers with something else than true, let nobody in', async () => {
    const broken = () => {
      throw new Error('broken')
    }
    expect(await statusFrom({ origins: broken })).toBe(403)
    expect(await statusFrom({ origins: (async () => false) as never })).toBe(403)
  })

  it('are named in the refusal', async () => {
    const { context, port } = await listening({ port: 0, origins: [] })
    await statusOf(port, { Origin: 'https://evil.example' })
    expect((await context.refusal()).error).toMatchObject({
      code: 'GNATMQ_NOT_AUTHORIZED',
      message: expect.stringContaining('https://evil.example'),
    })
  })
})

describe('a peer that does not ask for WebSocket', () => {
  it.each(['GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'])(
    'gets 426 and is closed: %j',
    async (request) => {
      const { context, port } = await listening()
      const socket = await rawClient(port)
      const answer = await answerTo(socket, request)
      expect(answer).toMatch(/^HTTP\/1\.1 426 Upgrade Required\r\n/)
      expect(answer).toMatch(/^upgrade: websocket\r$/im)
      await closeOf(socket)
      expect(context.refusals).toEqual([])
    },
  )

  it('but speaks MQTT gets 400, and is told of', async () => {
    const { context, port } = await listening()
    const socket = await rawClient(port)
    const answer = await answerTo(socket, Buffer.from('100f00044d5154540402003c0003616263', 'hex'))
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    await closeOf(socket)
    expect(context.refusals.map(({ error }) => error.message)).toEqual([expect.stringContaining('is no HTTP')])
  })

  it.each([
    ['says nothing', ''],
    ['stops in its headers', upgradeRequest().slice(0, -2)],
    ['stops in the headers of another request', 'GET / HTTP/1.1\r\nHost: a\r\n'],
  ])('and %s is dropped after connectTimeout', async (_, sent) => {
    const context = new RecordedContext({ connectTimeoutMs: 200 })
    const { port } = await listening({ port: 0 }, context)
    const begun = performance.now()
    const socket = await rawClient(port)
    socket.write(sent)
    await closeOf(socket)
    expect(performance.now() - begun).toBeGreaterThan(150)
    expect((await context.refusal()).error.code).toBe('GNATMQ_CONNECT_TIMEOUT')
    expect(context.refusals).toHaveLength(1)
  })

  it('but trickles its headers is dropped after connectTimeout all the same', async () => {
    const context = new RecordedContext({ connectTimeoutMs: 200 })
    const { port } = await listening({ port: 0 }, context)
    const socket = await rawClient(port)
    socket.write('GET /mqtt HTTP/1.1\r\n')
    const trickle = setInterval(() => socket.write('A: b\r\n'), 10)
    cleanUp(() => clearInterval(trickle))
    await closeOf(socket)
    expect((await context.refusal()).error.code).toBe('GNATMQ_CONNECT_TIMEOUT')
  })

  it.each(['end', 'resetAndDestroy'] as const)('and goes by %s is forgotten', async (way) => {
    const context = new RecordedContext({ connectTimeoutMs: 100 })
    const { port } = await listening({ port: 0 }, context)
    const gone = await rawClient(port)
    await new Promise((resolve) => gone.write('GET /mqtt HTTP/1.1\r\n', resolve))
    gone[way]()
    // accepted later, and dropped for being late: then the other one's time was over, too
    await closeOf(await rawClient(port))
    await vi.waitFor(() => expect(context.refusals).toHaveLength(1))
  })

  it('is dropped by close, which does not wait for it; channels stay', async () => {
    const { context, port, listener } = await listening()
    const socket = await rawClient(port)
    socket.write('GET /mqtt HTTP/1.1\r\n')
    const { socket: other, channel } = await upgraded(port, context)
    const closed = closeOf(socket)
    await listener.close()
    await closed
    channel.read(() => undefined)
    channel.stream.write('still here')
    expect((await once(other, 'data'))[0].toString()).toContain('still here')
    expect(context.refusals).toEqual([])
  })
})

describe('webSocket with TLS', () => {
  const secure = (options: WebSocketOptions = {}) =>
    listening({ port: 0, host: '127.0.0.1', secure: true, certificate, ...options })
  const url = (port: number) => `wss://127.0.0.1:${port}/mqtt`
  const trusting = { ca: authority.cert, servername: 'localhost' }

  it('names its peer', async () => {
    const { context, address, port } = await secure()
    await webSocketClient(port, trusting, url(port))
    expect(address.protocol).toBe('wss')
    expect((await context.channel()).peer).toEqual({
      remoteAddress: '127.0.0.1',
      remotePort: expect.any(Number),
      path: '/mqtt',
      servername: 'localhost',
      tlsVersion: 'TLSv1.3',
    })
  })

  it('is not for clients without TLS, or that do not trust the CA', async () => {
    const { context, port } = await secure()
    await expect(webSocketClient(port)).rejects.toThrow()
    await expect(webSocketClient(port, { servername: 'localhost' }, url(port))).rejects.toThrow('certificate')
    expect((await context.refusal(1)).error.code).toBe('GNATMQ_TLS_HANDSHAKE')
    expect(context.channels).toEqual([])
  })

  it('asks for client certificates, and shows the one that it has judged', async () => {
    const { context, port } = await secure({ ca: authority.cert })
    const { cert, key } = authority.client('device-1')
    await webSocketClient(port, { ...trusting, cert, key }, url(port))
    expect((await context.channel()).peer.certificate?.subject.CN).toBe('device-1')
    const stranger = new TestAuthority('Other CA').client('device-1')
    const refused = { ...trusting, cert: stranger.cert, key: stranger.key }
    await expect(webSocketClient(port, refused, url(port))).rejects.toThrow()
    expect((await context.refusal()).error.code).toBe('GNATMQ_CERTIFICATE_REFUSED')
  })

  it('takes a client that offers other protocols by ALPN, unless it is told not to', async () => {
    for (const strictAlpn of [false, true]) {
      const { port } = await listening({ port: 0, secure: true, certificate, strictAlpn })
      const connected = webSocketClient(port, { ...trusting, ALPNProtocols: ['x-other'] }, url(port))
      if (strictAlpn) await expect(connected).rejects.toThrow()
      else await connected
    }
  })

  it('refuses a client that offers nothing but HTTP/2 by ALPN: Node can leave no offer unanswered', async () => {
    const { context, port } = await secure()
    await expect(webSocketClient(port, { ...trusting, ALPNProtocols: ['h2'] }, url(port))).rejects.toThrow()
    expect((await context.refusal()).error.code).toBe('GNATMQ_TLS_HANDSHAKE')
    await webSocketClient(port, { ...trusting, ALPNProtocols: ['h2', 'http/1.1'] }, url(port))
  })

  it('speaks HTTP by ALPN, as browsers ask for', async () => {
    const { context, port } = await secure()
    await webSocketClient(port, { ...trusting, ALPNProtocols: ['http/1.1'] }, url(port))
    await context.channel()
  })

  it('serves another certificate to new connections', async () => {
    const { listener, port } = await secure()
    const other = new TestAuthority('Next CA')
    listener.updateTls?.({ certificate: ServerCertificate.fromPem(other.server('localhost')) })
    await expect(webSocketClient(port, trusting, url(port))).rejects.toThrow('certificate')
    await webSocketClient(port, { ...trusting, ca: other.cert }, url(port))
  })

  it('drops who stalls after the handshake, in the time that is left from the acceptance', async () => {
    const context = new RecordedContext({ connectTimeoutMs: 300 })
    const { port } = await listening({ port: 0, secure: true, certificate }, context)
    const socket = connectTls({ port, host: '127.0.0.1', ...trusting })
    cleanUp(() => socket.destroy())
    await once(socket, 'secureConnect')
    await closeOf(socket)
    expect((await context.refusal()).error.code).toBe('GNATMQ_CONNECT_TIMEOUT')
  })

  it('needs a certificate', async () => {
    const listener = webSocket({ port: 0, secure: true })
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({ code: 'GNATMQ_OPTION_INVALID' })
  })
})
