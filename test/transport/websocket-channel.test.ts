import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import {
  answerTo,
  closeOf,
  listening,
  opened,
  rawClient,
  received,
  upgraded,
  upgradeRequest,
  webSocketClient,
} from './websocket-listening'

const patience = { timeout: 15_000, interval: 10 }
const pattern = (length: number): Buffer =>
  Buffer.alloc(
    length,
    Uint8Array.from({ length: 251 }, (_, i) => i),
  )

/** The head of a masked frame whose mask is 0: its payload follows as it is. */
function frameHead(first: number, length: number): Buffer {
  const mask = Buffer.alloc(4)
  if (length < 126) return Buffer.concat([Buffer.from([first, 0x80 | length]), mask])
  const long = Buffer.alloc(10)
  long[0] = first
  long[1] = 0x80 | 127
  long.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([long, mask])
}

const frame = (first: number, payload: string): Buffer =>
  Buffer.concat([frameHead(first, payload.length), Buffer.from(payload)])

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes of buffers, without what is only waiting to be collected. */
function memoryInUse(): number {
  collectGarbage()
  return process.memoryUsage().external
}

/** Everything that a socket receives from now on. */
function noted(socket: Socket): { bytes: () => Buffer } {
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  return { bytes: () => Buffer.concat(chunks) }
}

/** An unmasked Close frame. */
const closeFrame = (status: number): Buffer => Buffer.from([0x88, 2, status >> 8, status & 0xff])

describe('a WebSocket channel', () => {
  it('reads and writes binary frames', async () => {
    const { client, channel } = await opened()
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    client.send(Buffer.from('there and back'))
    const [bytes, isBinary] = await once(client, 'message')
    expect([bytes.toString(), isBinary]).toEqual(['there and back', true])
  })

  it('names its peer, also after the end', async () => {
    const { channel } = await opened()
    const expected = { remoteAddress: '127.0.0.1', remotePort: expect.any(Number), path: '/mqtt' }
    expect(channel.peer).toEqual(expected)
    channel.stream.destroy()
    await once(channel.stream, 'close')
    expect(channel.peer).toEqual(expected)
  })

  it('was accepted when its TCP connection was, before the upgrade', async () => {
    const { context, port } = await listening()
    const socket = await rawClient(port)
    // Once a later peer is through, this one is certainly accepted.
    await upgraded(port, context)
    const begun = context.clock.now()
    await answerTo(socket, upgradeRequest())
    expect((await context.channel(1)).acceptedAt).toBeLessThan(begun)
  })

  it('waits with what comes before it is read', async () => {
    const { client, channel } = await opened()
    await new Promise((resolve) => client.send('early', { binary: true }, resolve))
    const { bytes } = received(channel)
    await vi.waitFor(() => expect(bytes().toString()).toBe('early'))
  })

  it('brings what is cut into fragments, and nothing for an empty frame', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    const calls: string[] = []
    channel.read((bytes, length) => calls.push(bytes.toString('latin1', 0, length)))
    socket.write(Buffer.concat([frame(0x02, 'ab'), frame(0x80, 'c'), frame(0x82, ''), frame(0x82, 'd')]))
    await vi.waitFor(() => expect(calls).toEqual(['abc', 'd']))
  })

  it('stops its sender while it is paused, and brings every byte in order after', async () => {
    const { client, channel } = await opened()
    const whole = pattern(32 * 1024 * 1024)
    const chunks: Buffer[] = []
    channel.read((bytes, length) => {
      chunks.push(Buffer.from(bytes.subarray(0, length)))
      if (chunks.length % 50 !== 1) return
      channel.pause()
      setImmediate(() => channel.resume())
    })
    for (let at = 0; at < whole.length; at += 10_000) client.send(whole.subarray(at, at + 10_000))
    await vi.waitFor(() => expect(chunks.reduce((sum, { length }) => sum + length, 0)).toBe(whole.length), patience)
    expect(Buffer.concat(chunks).equals(whole)).toBe(true)
  })

  it('does not read on while it is paused', async () => {
    const { client, channel } = await opened()
    let length = 0
    channel.read((_bytes, count) => (length += count))
    channel.pause()
    const piece = Buffer.alloc(64 * 1024)
    // what the system buffers is all that leaves the sender
    while (client.bufferedAmount < 8 * 1024 * 1024) client.send(piece)
    const { channel: other } = await opened()
    received(other)
    expect(length).toBeLessThanOrEqual(piece.length)
    expect(client.bufferedAmount).toBeGreaterThan(0)
  })

  it('lets its writer wait for a reader that is slow, and writes every byte in order', async () => {
    const { client, channel } = await opened()
    const whole = pattern(32 * 1024 * 1024)
    client.pause()
    const written = vi.fn()
    channel.stream.write(whole, written)
    expect(channel.stream.writableLength).toBe(whole.length)
    const chunks: Buffer[] = []
    client.on('message', (bytes: Buffer) => chunks.push(bytes))
    expect(written).not.toHaveBeenCalled()
    client.resume()
    await vi.waitFor(() => expect(written).toHaveBeenCalledWith(null), patience)
    await vi.waitFor(() => expect(Buffer.concat(chunks).equals(whole)).toBe(true), patience)
  })

  it('keeps nothing of a write that the system has taken: its bytes may be used again at once', async () => {
    const { client, channel } = await opened()
    expect(channel.releasesWrites).toBe(true)
    const bytes = Buffer.alloc(1000)
    const texts: string[] = []
    client.on('message', (message: Buffer) => texts.push(message.toString('latin1', 0, 1)))
    for (const letter of 'abcdefgh') {
      bytes.fill(letter)
      channel.stream.write(bytes)
      expect(channel.stream.writableLength).toBe(0)
    }
    bytes.fill('z')
    await vi.waitFor(() => expect(texts.join('')).toBe('abcdefgh'))
  })

  it('writes what was corked in order', async () => {
    const { client, channel } = await opened()
    const texts: string[] = []
    client.on('message', (message: Buffer) => texts.push(message.toString()))
    channel.stream.cork()
    for (const text of ['a', 'b', 'c']) channel.stream.write(text)
    channel.stream.uncork()
    await vi.waitFor(() => expect(texts).toEqual(['a', 'b', 'c']))
  })
})

describe('the end of a WebSocket', () => {
  it('by end() is a Close frame behind what was written, and the close of the stream', async () => {
    const { client, channel } = await opened()
    channel.read(() => undefined)
    const whole = pattern(4 * 1024 * 1024)
    const chunks: Buffer[] = []
    client.on('message', (bytes: Buffer) => chunks.push(bytes))
    const closed = Promise.all([once(client, 'close'), once(channel.stream, 'close')])
    channel.stream.write(whole)
    channel.stream.end()
    const [[status]] = await closed
    expect(status).toBe(1000)
    expect(Buffer.concat(chunks).equals(whole)).toBe(true)
  })

  it('by end() comes also when the client does not answer the Close frame', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    channel.stream.end()
    await Promise.all([closeOf(socket), once(channel.stream, 'close')])
  })

  it('by destroy() is at once, and no Close frame', async () => {
    const { client, channel } = await opened()
    const closed = once(client, 'close')
    channel.stream.destroy()
    await once(channel.stream, 'close')
    expect((await closed)[0]).toBe(1006)
  })

  it('by the client closes the stream without an error', async () => {
    const { client, channel } = await opened()
    const onError = vi.fn()
    channel.stream.on('error', onError)
    channel.read(() => undefined)
    client.close(1000)
    await once(channel.stream, 'close')
    expect(onError).not.toHaveBeenCalled()
  })

  it.each(['end', 'resetAndDestroy'] as const)('by the %s of its socket closes the stream', async (way) => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    channel.read(() => undefined)
    socket[way]()
    await vi.waitFor(() => expect(channel.stream.closed).toBe(true))
  })

  it('by the client waits while the channel is paused, as what came before it does', async () => {
    const { client, channel } = await opened()
    const calls: string[] = []
    channel.read((bytes, length) => {
      calls.push(bytes.toString('latin1', 0, length))
      channel.pause()
    })
    client.send(Buffer.from('last words'))
    client.close(1000)
    await once(client, 'close')
    expect(channel.stream.destroyed).toBe(false)
    channel.stream.write('to nobody')
    channel.resume()
    await once(channel.stream, 'close')
    expect(calls).toEqual(['last words'])
  })

  it('by destroy() does not wait while the channel is paused', async () => {
    const { client, channel } = await opened()
    channel.read(() => channel.pause())
    client.send(Buffer.from('last words'))
    client.close(1000)
    await once(client, 'close')
    channel.stream.destroy()
    await once(channel.stream, 'close')
  })
})

describe('a peer that does not keep to the rules', () => {
  it.each([
    ['sends a text frame', frame(0x81, 'text'), 1003, 'GNATMQ_PROTOCOL_ERROR'],
    [
      'sends a text frame in fragments',
      Buffer.concat([frame(0x01, 'te'), frame(0x80, 'xt')]),
      1003,
      'GNATMQ_PROTOCOL_ERROR',
    ],
    ['sends a frame without a mask', Buffer.from('8203616263', 'hex'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['sends an unknown opcode', frame(0x83, 'abc'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['sets a reserved bit', frame(0xc2, 'abc'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['continues what has not begun', frame(0x80, 'abc'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['begins the head of a frame that is too large', frameHead(0x82, 1001), 1009, 'GNATMQ_PACKET_TOO_LARGE'],
    ['begins a frame of 2^62 bytes', frameHead(0x82, 2 ** 62), 1009, 'GNATMQ_PROTOCOL_ERROR'],
    [
      'sends fragments that are too large together',
      Buffer.concat([frame(0x02, 'x'.repeat(600)), frameHead(0x00, 600)]),
      1009,
      'GNATMQ_PACKET_TOO_LARGE',
    ],
  ])('and %s gets a Close frame that tells why', async (_, bytes, status, code) => {
    const { context, port } = await listening({ port: 0, maximumFrameSize: 1000 })
    const { socket, channel } = await upgraded(port, context)
    const { bytes: answers } = noted(socket)
    const error = once(channel.stream, 'error')
    const read = received(channel)
    socket.write(bytes)
    // nothing behind it is looked at
    socket.write(frame(0x82, 'behind'))
    await closeOf(socket)
    expect(answers()).toEqual(closeFrame(status))
    expect((await error)[0].code).toBe(code)
    expect(read.bytes()).toHaveLength(0)
  })

  it('is dropped when it fills memory before CONNACK, and may send as much after', async () => {
    const { context, port } = await listening()
    const late = await upgraded(port, context)
    const { bytes } = received(late.channel)
    late.channel.stream.write(Buffer.from('20020000', 'hex'))
    const whole = Buffer.concat([frameHead(0x82, 1024 * 1024), pattern(1024 * 1024)])
    late.socket.write(whole)
    await vi.waitFor(() => expect(bytes()).toHaveLength(1024 * 1024), patience)

    const early = await upgraded(port, context)
    const { bytes: answers } = noted(early.socket)
    received(early.channel)
    early.socket.write(whole)
    await closeOf(early.socket)
    expect(answers()).toEqual(closeFrame(1009))
    expect(context.incoming.incomingBytes).toBe(0)
  })

  it('is dropped after AUTH too', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    const error = once(channel.stream, 'error')
    received(channel)
    channel.stream.write(Buffer.from('f0021800', 'hex'))
    socket.write(Buffer.concat([frameHead(0x82, 1024 * 1024), pattern(512 * 1024)]))
    expect((await error)[0].code).toBe('GNATMQ_PACKET_TOO_LARGE')
  })

  it('is dropped after CONNACK when all together have too much of messages in part', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    const error = once(channel.stream, 'error')
    received(channel)
    channel.stream.write(Buffer.from('20020000', 'hex'))
    context.incoming.maximumIncomingBytes = 1000
    socket.write(Buffer.concat([frameHead(0x82, 1024 * 1024), pattern(512 * 1024)]))
    expect((await error)[0].code).toBe('GNATMQ_QUOTA_EXCEEDED')
    await vi.waitFor(() => expect(context.incoming.incomingBytes).toBe(0), patience)
  })

  it('does not need to be answered for a frame of 64 KiB, nor for many', async () => {
    const { client, channel } = await opened()
    const { bytes } = received(channel)
    for (let i = 0; i < 8; i++) client.send(pattern(65_536))
    await vi.waitFor(() => expect(bytes()).toHaveLength(8 * 65_536), patience)
  })

  it('leaves nothing, a thousand times over: half-sent frames of 16 MiB', async () => {
    const { context, port } = await listening()
    const before = memoryInUse()
    const half = Buffer.concat([frameHead(0x82, 16 * 1024 * 1024), Buffer.alloc(256 * 1024)])
    const sockets = []
    for (let i = 0; i < 1000; i++) {
      const { socket, channel } = await upgraded(port, context)
      channel.read(() => undefined)
      socket.write(half)
      sockets.push(socket)
    }
    await Promise.all(sockets.map(closeOf))
    await vi.waitFor(() => expect(context.channels.every(({ stream }) => stream.closed)).toBe(true), patience)
    context.channels.length = 0
    await vi.waitFor(() => expect(memoryInUse() - before).toBeLessThan(32 * 1024 * 1024), patience)
  }, 60_000)

  it('but pings without reading the answers is dropped', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    channel.read(() => undefined)
    channel.stream.write('answer')
    socket.pause()
    const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(0x89, 'x'.repeat(125))))
    const flood = (): void => {
      while (!socket.destroyed && socket.writableLength < 1024 * 1024) socket.write(pings)
    }
    const flooding = setInterval(flood, 1)
    socket.once('close', () => clearInterval(flooding))
    await once(channel.stream, 'close')
    clearInterval(flooding)
  })

  it('leaves the others alone', async () => {
    const { context, port } = await listening()
    const client = await webSocketClient(port)
    const channel = await context.channel()
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    const { socket, channel: bad } = await upgraded(port, context)
    bad.read(() => undefined)
    socket.write(frame(0x81, 'text'))
    await closeOf(socket)
    client.send(Buffer.from('served'))
    expect((await once(client, 'message'))[0].toString()).toBe('served')
  })
})
