import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Clock } from '../../src/ports/clock'
import type { Channel, Listener } from '../../src/ports/listener'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { ReadBuffer, tcpChannel } from '../../src/transport/socket-channel'
import { tcp } from '../../src/transport/tcp'
import { takeHandles } from '../../src/transport/tcp-handle'
import { RecordedContext } from '../support/recorded-context'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function listening(listener: Listener = tcp({ port: 0 }), clock?: Clock) {
  const context = new RecordedContext(clock === undefined ? {} : { clock })
  cleanups.push(
    () => listener.close(),
    () => context.destroy(),
  )
  const address = await listener.listen(context)
  return { context, listener, ...address }
}

async function client(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect(port, host)
  cleanups.push(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

async function occupied(host: string, port = 0): Promise<number> {
  const server: Server = createServer()
  cleanups.push(() => server.close())
  server.listen(port, host)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** What arrives on a channel, in a copy. */
function received(channel: Channel): { bytes: () => Buffer } {
  const chunks: Buffer[] = []
  channel.read((bytes, length) => chunks.push(Buffer.from(bytes.subarray(0, length))))
  return { bytes: () => Buffer.concat(chunks) }
}

/** Whether a listener answers. A socket that the system gave the same port connects to itself. */
const connects = (port: number, host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host, () => {
      resolve(socket.localPort !== port || socket.localAddress !== socket.remoteAddress)
      socket.destroy()
    })
    socket.once('error', () => resolve(false))
  })

describe('where tcp listens', () => {
  it('is the loopback interface, IPv4 and IPv6 on one port, where no host is given', async () => {
    const { protocol, host, port, context } = await listening()
    expect({ protocol, host }).toEqual({ protocol: 'mqtt', host: '127.0.0.1' })
    await client(port, '127.0.0.1')
    await client(port, '::1')
    expect((await context.channel(1)).peer.remoteAddress).toBe('::1')
  })

  it('is the host that is given', async () => {
    const { host, port } = await listening(tcp({ port: 0, host: '127.0.0.2' }))
    expect(host).toBe('127.0.0.2')
    expect(await connects(port, '127.0.0.2')).toBe(true)
    // 127.0.0.1 may have a listener of another test at that port
    expect(await connects(port, '127.0.0.3')).toBe(false)
  })

  it('is told beforehand', () => {
    expect(tcp({ host: '0.0.0.0' })).toMatchObject({ exposure: 'plain', host: '0.0.0.0' })
    expect(tcp()).toMatchObject({ exposure: 'plain', host: undefined })
  })

  it('does not end with one round: it listens again after close', async () => {
    const { listener, port } = await listening()
    await listener.close()
    expect(await connects(port, '127.0.0.1')).toBe(false)
    expect(await connects(port, '::1')).toBe(false)
    const context = new RecordedContext()
    const again = await listener.listen(context)
    expect(await connects(again.port, '127.0.0.1')).toBe(true)
  })

  it.each([
    [{ port: -1 }],
    [{ port: 65536 }],
    [{ port: 1.5 }],
    [{ port: '1883' as never }],
    [{ host: '' }],
    [{ host: 1 as never }],
    [{ backlog: 0 }],
  ])('is refused for %j', (options) => {
    expect(() => tcp(options)).toThrow(expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }))
  })
})

describe('tcp that cannot listen', () => {
  it.each(['127.0.0.1', '::1'])('says that the port is in use on %s, and leaves nothing open', async (host) => {
    const port = await occupied(host)
    const listener = tcp({ port })
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({
      code: 'GNATMQ_PORT_IN_USE',
      message: expect.stringContaining(`port ${port} on ${host} is in use`),
    })
    const other = host === '::1' ? '127.0.0.1' : '::1'
    expect(await connects(port, other)).toBe(false)
  })

  it('says what is wrong with the host', async () => {
    // 192.0.2.0/24 is reserved for documentation: no machine has it.
    const listen = tcp({ port: 0, host: '192.0.2.1' }).listen(new RecordedContext())
    await expect(listen).rejects.toMatchObject({
      code: 'GNATMQ_LISTEN_FAILED',
      message: expect.stringContaining('this machine has no such address'),
    })
  })

  it('refuses to listen twice at once', async () => {
    const { listener } = await listening()
    await expect(listener.listen(new RecordedContext())).rejects.toMatchObject({ code: 'GNATMQ_LISTEN_FAILED' })
  })

  it('rejects when it is closed meanwhile, and leaves nothing open', async () => {
    const port = await occupied('127.0.0.1')
    const listener = tcp({ port, host: '127.0.0.2' })
    const listen = listener.listen(new RecordedContext())
    await listener.close()
    await expect(listen).rejects.toMatchObject({ code: 'GNATMQ_LISTEN_FAILED' })
    expect(await connects(port, '127.0.0.2')).toBe(false)
  })
})

describe('a TCP channel', () => {
  it('names its peer, also after the end', async () => {
    const { context, port } = await listening()
    const socket = await client(port)
    const channel = await context.channel()
    const expected = { remoteAddress: '127.0.0.1', remotePort: socket.localPort }
    expect(channel.peer).toEqual(expected)
    channel.stream.destroy()
    await once(channel.stream, 'close')
    expect(channel.peer).toEqual(expected)
  })

  it('tells when it was accepted', async () => {
    const before = performance.now()
    const { context, port } = await listening()
    await client(port)
    const { acceptedAt, releasesWrites } = await context.channel()
    expect(acceptedAt).toBeGreaterThanOrEqual(before)
    expect(acceptedAt).toBeLessThanOrEqual(performance.now())
    expect(releasesWrites).toBe(true)
  })

  it('keeps bytes until it is read', async () => {
    const { context, port } = await listening()
    const socket = await client(port)
    const channel = await context.channel()
    await new Promise((resolve) => socket.write('early', resolve))
    const { bytes } = received(channel)
    await vi.waitFor(() => expect(bytes().toString()).toBe('early'))
  })

  it('reads all channels into one buffer', async () => {
    const { context, port } = await listening()
    const seen = new Set<ArrayBufferLike>()
    for (const number of [0, 1]) {
      const socket = await client(port)
      const read = new Promise((resolve) =>
        context.channel(number).then((channel) => channel.read((bytes) => resolve(seen.add(bytes.buffer)))),
      )
      socket.write('bytes')
      await read
    }
    expect(seen.size).toBe(1)
  })

  it('writes', async () => {
    const { context, port } = await listening()
    const socket = await client(port)
    const channel = await context.channel()
    channel.stream.write('answer')
    expect((await once(socket, 'data'))[0].toString()).toBe('answer')
  })

  it('closes when the peer ends its half', async () => {
    const { context, port } = await listening()
    const socket = await client(port)
    const channel = await context.channel()
    const { bytes } = received(channel)
    const closed = once(channel.stream, 'close')
    socket.end('last words')
    await closed
    expect(bytes().toString()).toBe('last words')
  })

  it('tells of a reset by error and close, as any stream', async () => {
    const { context, port } = await listening()
    const socket = await client(port)
    const channel = await context.channel()
    received(channel)
    const failed = once(channel.stream, 'close')
    socket.resetAndDestroy()
    await expect(failed).rejects.toMatchObject({ code: 'ECONNRESET' })
    await vi.waitFor(() => expect(channel.stream.closed).toBe(true))
  })

  it('outlives its listener', async () => {
    const { context, port, listener } = await listening()
    const socket = await client(port)
    const channel = await context.channel()
    const { bytes } = received(channel)
    await listener.close()
    socket.write('still here')
    await vi.waitFor(() => expect(bytes().toString()).toBe('still here'))
  })
})

/** Channels that read by the socket's handle, and by 'data' events where Node has no such handle. */
describe.each(['handle', 'data events'])('pause, reading by %s', (way) => {
  async function pair(): Promise<{ channel: Channel; socket: Socket }> {
    const server = createServer({ pauseOnConnect: true })
    cleanups.push(() => server.close())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const accepted = once(server, 'connection')
    const socket = await client((server.address() as AddressInfo).port)
    const [raw] = (await accepted) as [Socket & { _handle: object }]
    if (way === 'data events') Object.defineProperty(raw._handle, 'useUserBuffer', { value: undefined })
    const channel = tcpChannel(raw, 0, new ReadBuffer())
    cleanups.push(() => channel.stream.destroy())
    channel.stream.on('error', () => undefined)
    expect(channel.stream === raw).toBe(way === 'data events')
    return { channel, socket }
  }

  const whole = Buffer.alloc(
    32 * 1024 * 1024,
    Uint8Array.from({ length: 251 }, (_, i) => i),
  )

  /** Fills all that lies between: done when the sender has not moved for some rounds. */
  async function blocked(socket: Socket): Promise<void> {
    for (let quiet = 0, last = -1; quiet < 20; ) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      const sent = socket.bytesWritten - socket.writableLength
      quiet = sent === last ? quiet + 1 : 0
      last = sent
    }
  }

  it('stops the sender, and resume brings every byte in order', async () => {
    const { channel, socket } = await pair()
    const { bytes } = received(channel)
    channel.pause()
    let drained = false
    socket.write(whole, () => (drained = true))
    await blocked(socket)
    expect(drained).toBe(false)
    const early = bytes().length
    expect(early).toBeLessThan(1024 * 1024)
    channel.resume()
    await vi.waitFor(() => expect(bytes().length).toBe(whole.length), 10_000)
    expect(bytes().equals(whole)).toBe(true)
  })

  it('works in the midst of a chunk, time and again', async () => {
    const { channel, socket } = await pair()
    const part = whole.subarray(0, 2 * 1024 * 1024)
    const chunks: Buffer[] = []
    let paused = false
    channel.read((bytes, length) => {
      expect(paused).toBe(false)
      chunks.push(Buffer.from(bytes.subarray(0, length)))
      channel.pause()
      paused = true
      setImmediate(() => {
        paused = false
        channel.resume()
      })
    })
    socket.write(part)
    await vi.waitFor(() => expect(chunks.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(part.length), 10_000)
    expect(Buffer.concat(chunks).equals(part)).toBe(true)
  })
})

describe('a peer that has to wait', () => {
  it('becomes a channel when it is admitted, with the bytes that it has sent meanwhile', async () => {
    const { context, port } = await listening()
    context.busy = true
    const socket = await client(port)
    socket.write('early')
    await context.waitingPeers(1)
    expect(context.channels).toEqual([])
    context.busy = false
    for (const open of context.waiting) open()
    const channel = await context.channel()
    const { bytes } = received(channel)
    await vi.waitFor(() => expect(bytes().toString()).toBe('early'))
    expect(channel.peer.remoteAddress).toBe('127.0.0.1')
  })

  it('becomes none when it was reset meanwhile', async () => {
    const { context, port } = await listening()
    context.busy = true
    const gone = await client(port)
    await context.waitingPeers(1)
    const closed = once(gone, 'close')
    gone.resetAndDestroy()
    await closed
    await client(port)
    await context.waitingPeers(2)
    for (const open of context.waiting) open()
    await context.channel()
    expect(context.channels).toHaveLength(1)
  })

  it('is dropped when it is admitted after the listener has closed', async () => {
    const { context, port, listener } = await listening()
    context.busy = true
    const socket = await client(port)
    await context.waitingPeers(1)
    await listener.close()
    const closed = once(socket, 'close')
    socket.resume()
    for (const open of context.waiting) open()
    await closed
    expect(context.channels).toEqual([])
  })
})

/** Of each connection that a port of 127.0.0.1 has accepted, the timer that the system runs for it; `02` is that of TCP keepalive. */
function timersOf(port: number): (string | undefined)[] {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
  return rows.filter(([, address, , state]) => address === local && state === '01').map((row) => row[5]?.slice(0, 2))
}

describe.runIf(process.platform === 'linux')('TCP keepalive', () => {
  it('is on, for those that came with the beginning and for those that come later', async () => {
    const clock = new SimulatedClock()
    const { context, port } = await listening(tcp({ port: 0, host: '127.0.0.1' }), clock)
    await client(port)
    await context.channel(0)
    clock.advance(60_000)
    await client(port)
    await context.channel(1)
    expect(timersOf(port)).toEqual(['02', '02'])
  })
})

describe('a handle that Node does not show as expected', () => {
  it('leaves the usual way', async () => {
    const server = createServer({ pauseOnConnect: true })
    cleanups.push(() => server.close())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const handles: unknown[] = []
    takeHandles(server, (handle) => handles.push(handle))
    const owner = server as unknown as { _handle: { onconnection: (status: number, handle: object) => void } }
    const connections: Socket[] = []
    server.on('connection', (socket) => connections.push(socket))
    const { onconnection } = owner._handle
    // hides from it what a socket of our own would need
    owner._handle.onconnection = function (status, handle) {
      onconnection.call(this, status, Object.assign(handle, { useUserBuffer: undefined }))
    }
    await client((server.address() as AddressInfo).port)
    await vi.waitFor(() => expect([connections.length, handles.length]).toEqual([1, 0]))
    for (const socket of connections) socket.destroy()
  })
})
