import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { describe, expect, it, vi } from 'vitest'
import { type WebSocketOptions, webSocket } from '../../src/transport/websocket'
import { TestAuthority } from '../support/certificates'
import { RecordedContext } from '../support/recorded-context'
import {
  answerTo,
  cleanUp,
  closeOf,
  listening,
  rawClient,
  statusOf,
  upgradeRequest,
  webSocketClient,
} from './websocket-listening'

const authority = new TestAuthority('Broker CA')

async function open(server: Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host)
  cleanUp(() => {
    server.close()
    server.closeAllConnections()
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A server of the application, which answers every request with 200. */
const application = (): Server => createServer((_request, response) => response.end('served'))

async function attached(options: WebSocketOptions = {}) {
  const server = application()
  const port = await open(server)
  return { server, ...(await listening({ server, ...options })), port }
}

const text = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}/`)).text()

const listenersOf = (server: Server): number[] =>
  ['upgrade', 'connection', 'secureConnection', 'request', 'error', 'listening'].map((name) =>
    server.listenerCount(name),
  )

describe('webSocket on a server of the application', () => {
  it('that listens already brings channels', async () => {
    const { context, address, port } = await attached()
    expect({ ...address }).toEqual({ protocol: 'ws', host: '127.0.0.1', port })
    const client = await webSocketClient(port)
    const channel = await context.channel()
    expect(channel.peer).toEqual({ remoteAddress: '127.0.0.1', remotePort: expect.any(Number), path: '/mqtt' })
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    client.send(Buffer.from('there and back'))
    expect((await once(client, 'message'))[0].toString()).toBe('there and back')
  })

  it('that listens later does so, too, and the address tells where', async () => {
    const server = application()
    const { context, address } = await listening({ server })
    expect({ ...address }).toEqual({ protocol: 'ws', host: '', port: 0 })
    const port = await open(server)
    expect({ ...address }).toEqual({ protocol: 'ws', host: '127.0.0.1', port })
    await webSocketClient(port)
    await context.channel()
  })

  it('leaves all other requests to the application', async () => {
    const { port } = await attached()
    expect(await text(port)).toBe('served')
  })

  it('leaves the upgrade requests of other paths to who else listens for them', async () => {
    const { context, server, port } = await attached()
    server.on('upgrade', ({ url }, socket: Duplex) => {
      if (url !== '/mqtt') socket.end(`HTTP/1.1 101 Other\r\n\r\n${url}`)
    })
    const answer = await answerTo(await rawClient(port), upgradeRequest({}, 'GET /live HTTP/1.1'))
    expect(answer).toBe('HTTP/1.1 101 Other\r\n\r\n/live')
    await webSocketClient(port)
    await context.channel()
    expect(context.refusals).toEqual([])
  })

  it('refuses them with 404 when nobody else would ever answer', async () => {
    const { context, port } = await attached()
    const socket = await rawClient(port)
    expect(await answerTo(socket, upgradeRequest({}, 'GET /live HTTP/1.1'))).toMatch(/^HTTP\/1\.1 404 /)
    await closeOf(socket)
    expect(context.refusals).toEqual([])
  })

  it('checks subprotocol and origin as on a port of its own', async () => {
    const { context, port } = await attached({ origins: ['https://a.example'] })
    expect(await statusOf(port, { Origin: 'https://a.example' })).toBe(101)
    expect(await statusOf(port, { Origin: 'https://b.example' })).toBe(403)
    expect(await statusOf(port, { 'Sec-WebSocket-Protocol': undefined })).toBe(400)
    expect(context.refusals).toHaveLength(2)
  })

  it('shares it with a second one on another path, and not on the same', async () => {
    const { context, server, port } = await attached({ path: '/a' })
    const second = await listening({ server, path: '/b' })
    await webSocketClient(port, {}, `ws://127.0.0.1:${port}/b`)
    await second.context.channel()
    await webSocketClient(port, {}, `ws://127.0.0.1:${port}/a`)
    await context.channel()
    expect(await statusOf(port, {}, 'GET /c HTTP/1.1')).toBe(404)
    await expect(listening({ server, path: '/a' })).rejects.toMatchObject({
      code: 'GNATMQ_LISTEN_FAILED',
      message: expect.stringContaining('/a'),
    })
    await second.listener.close()
    expect(await statusOf(port, {}, 'GET /b HTTP/1.1')).toBe(404)
    expect(await statusOf(port, {}, 'GET /a HTTP/1.1')).toBe(101)
  })

  it('leaves the server as it was after close: it serves on, and channels stay', async () => {
    const server = application()
    const port = await open(server)
    const before = listenersOf(server)
    const { context, listener } = await listening({ server })
    const client = await webSocketClient(port)
    const channel = await context.channel()
    await listener.close()
    expect(listenersOf(server)).toEqual(before)
    expect(await text(port)).toBe('served')
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    client.send(Buffer.from('still here'))
    expect((await once(client, 'message'))[0].toString()).toBe('still here')
    await listener.listen(context)
    await webSocketClient(port)
    await context.channel(1)
  })

  it('is refused to a second broker', async () => {
    const { listener } = await attached()
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({ code: 'GNATMQ_LISTEN_FAILED' })
  })
})

describe('the acceptance of a peer on a server of the application', () => {
  it('was that of its TCP connection', async () => {
    const { context, port } = await attached()
    const socket = await rawClient(port)
    await text(port)
    const begun = context.clock.now()
    await answerTo(socket, upgradeRequest())
    expect((await context.channel()).acceptedAt).toBeLessThan(begun)
  })

  it('is that of the upgrade on a connection that has served before, which may be old', async () => {
    const { context, port } = await attached()
    const socket = await rawClient(port)
    await answerTo(socket, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    socket.removeAllListeners()
    const begun = context.clock.now()
    await answerTo(socket, upgradeRequest())
    expect((await context.channel()).acceptedAt).toBeGreaterThanOrEqual(begun)
  })

  it('is that of the upgrade for a connection that was there before the broker', async () => {
    const server = application()
    const port = await open(server)
    const accepted = once(server, 'connection')
    const socket = await rawClient(port)
    await accepted
    const { context } = await listening({ server })
    const begun = context.clock.now()
    await answerTo(socket, upgradeRequest())
    expect((await context.channel()).acceptedAt).toBeGreaterThanOrEqual(begun)
  })
})

describe('the exposure of a server of the application', () => {
  it('is plain, where the server listens', async () => {
    const server = application()
    await open(server, '127.0.0.2')
    expect(webSocket({ server })).toMatchObject({ exposure: 'plain', host: '127.0.0.2' })
  })

  it('is plain and that of each peer while the server does not listen', () => {
    expect(webSocket({ server: application() })).toMatchObject({ exposure: 'plain', host: undefined })
  })

  it('is asked about for each peer, by the address that it has come to', async () => {
    const server = application()
    const { context } = await listening({ server })
    const asked: (string | undefined)[] = []
    context.mayConnectTo = (localAddress) => asked.push(localAddress) > 1
    const port = await open(server, '127.0.0.2')
    const request = (): Promise<string> =>
      rawClient(port, '127.0.0.2').then((socket) => answerTo(socket, upgradeRequest()))
    expect(await request()).toMatch(/^HTTP\/1.1 403 Forbidden\r\n/)
    expect(context.refusals.map(({ error }) => error.code)).toEqual(['GNATMQ_ANONYMOUS_LISTENER'])
    expect(await request()).toMatch(/^HTTP\/1.1 101 /)
    expect(asked).toEqual(['127.0.0.2', '127.0.0.2'])
  })

  it('is plain, and nowhere in the network, for a socket of the file system', async () => {
    const server = application()
    server.listen(join(mkdtempSync(join(tmpdir(), 'gnatmq-')), 'http.sock'))
    cleanUp(() => server.close())
    await once(server, 'listening')
    expect(webSocket({ server })).toMatchObject({ exposure: 'plain', host: undefined })
  })

  it('is secure with TLS, as that of tls()', () => {
    expect(webSocket({ server: createSecureServer() }).exposure).toBe('secure')
  })
})

describe('webSocket on an https server of the application', () => {
  const trusting = { ca: authority.cert, servername: 'localhost' }

  async function secure(options: { requestCert?: boolean } = {}) {
    const { cert, key } = authority.server('localhost')
    const server = createSecureServer({ cert, key, ca: authority.cert, rejectUnauthorized: false, ...options })
    const port = await open(server as unknown as Server)
    return { ...(await listening({ server })), port, url: `wss://127.0.0.1:${port}/mqtt` }
  }

  it('names its peer', async () => {
    const { context, address, port, url } = await secure()
    expect(address.protocol).toBe('wss')
    await webSocketClient(port, trusting, url)
    expect((await context.channel()).peer).toEqual({
      remoteAddress: '127.0.0.1',
      remotePort: expect.any(Number),
      path: '/mqtt',
      servername: 'localhost',
      tlsVersion: 'TLSv1.3',
    })
  })

  it('shows the certificate of a client only if the server trusts it', async () => {
    const { context, port, url } = await secure({ requestCert: true })
    for (const issuer of [authority, new TestAuthority('Other CA')]) {
      const { cert, key } = issuer.client('device-1')
      await webSocketClient(port, { ...trusting, cert, key }, url)
    }
    await context.channel(1)
    expect(context.channels.map(({ peer }) => peer.certificate?.subject.CN)).toEqual(['device-1', undefined])
  })
})

it('an upgraded socket that breaks harms nobody', async () => {
  const { context, port } = await attached()
  const sockets: Socket[] = []
  for (let i = 0; i < 50; i++) {
    const socket = await rawClient(port)
    const request = upgradeRequest(i % 2 ? { 'Sec-WebSocket-Protocol': 'chat' } : {})
    socket.write(request, () => (i % 3 ? socket.resetAndDestroy() : socket.destroy()))
    sockets.push(socket)
  }
  await Promise.all(sockets.map(closeOf))
  await webSocketClient(port)
  await vi.waitFor(async () => expect((await context.channel()).stream).toBeDefined())
  expect(await text(port)).toBe('served')
})
