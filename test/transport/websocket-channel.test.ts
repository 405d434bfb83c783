import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import { maskedFrame, maskedHead } from './client-frames'
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
    socket.write(
      Buffer.concat([maskedFrame(0x02, 'ab'), maskedFrame(0x80, 'c'), maskedFrame(0x82, ''), maskedFrame(0x82, 'd')]),
    )
    // they came in one read
    await vi.waitFor(() => expect(calls).toEqual(['abcd']))
  })

  it('reads into one buffer for all connections of a port of its own', async () => {
    const { context, port } = await listening()
    const buffers = new Set<Buffer>()
    for (let i = 0; i < 2; i++) {
      const { socket, channel } = await upgraded(port, context)
      let length = 0
      channel.read((bytes, count) => {
        buffers.add(bytes)
        length += count
      })
      socket.write(maskedFrame(0x82, 'abc'))
      await vi.waitFor(() => expect(length).toBe(3))
    }
    expect(buffers.size).toBe(1)
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

  it('writes what was corked in one frame, up to 64 KiB', async () => {
    const { client, channel } = await opened()
    const texts: string[] = []
    client.on('message', (message: Buffer) => texts.push(message.toString()))
    channel.stream.cork()
    for (const text of ['a', 'b', 'c']) channel.stream.write(text)
    channel.stream.uncork()
    await vi.waitFor(() => expect(texts).toEqual(['abc']))
    channel.stream.cork()
    for (const size of [40_000, 30_000, 20_000, 200_000, 1]) channel.stream.write(Buffer.alloc(size, 'x'))
    channel.stream.uncork()
    await vi.waitFor(() => expect(texts.slice(1).map(({ length }) => length)).toEqual([40_000, 50_000, 200_000, 1]))
  })
})

describe('a Ping', () => {
  it('is answered with its payload', async () => {
    const { client, channel } = await opened()
    channel.read(() => undefined)
    client.ping('are you there')
    expect((await once(client, 'pong'))[0].toString()).toBe('are you there')
  })

  it('that a channel is paused behind waits for the channel, as packets do', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    const { bytes } = noted(socket)
    const read = received(channel)
    channel.pause()
    socket.write(Buffer.concat([maskedFrame(0x82, 'a'), maskedFrame(0x89, 'p')]))
    channel.resume()
    await vi.waitFor(() => expect(read.bytes().toString()).toBe('a'))
    await vi.waitFor(() => expect(bytes().toString('latin1')).toBe('\x8a\x01p'))
  })

  it('that comes while an answer is on its way takes the place of those before it: a flood makes nothing wait', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    channel.read(() => undefined)
    socket.removeAllListeners('data')
    socket.pause()
    // more than the system takes for a reader that does not read
    const large = Buffer.alloc(16 * 1024 * 1024)
    channel.stream.write(large)
    await vi.waitFor(() => expect(channel.unsentBytes).toBeGreaterThan(0))
    const unsent = (): number => (channel.unsentBytes ?? 0) + channel.stream.writableLength
    const before = unsent()
    const text = (n: number): string => `${n}`.padEnd(125)
    for (let n = 0; n < 200; n++) {
      const pings = Array.from({ length: 500 }, (_, i) => maskedFrame(0x89, text(n * 500 + i)))
      await new Promise((resolve) => socket.write(Buffer.concat(pings), resolve))
    }
    const sent = Buffer.alloc(1)
    const read = vi.fn()
    socket.write(maskedFrame(0x82, sent))
    channel.read(read)
    await vi.waitFor(() => expect(read).toHaveBeenCalled(), patience)
    expect(unsent()).toBeLessThanOrEqual(before)
    let rest = 10 + large.length
    const pongs: string[] = []
    socket.on('data', (chunk: Buffer) => {
      const behind = chunk.subarray(rest)
      rest = Math.max(0, rest - chunk.length)
      if (behind.length > 0) pongs.push(behind.toString('latin1'))
    })
    socket.resume()
    await vi.waitFor(() => expect(pongs.join('')).toContain(text(99_999)), patience)
    expect(pongs.join('')).toHaveLength(2 * 127)
  }, 60_000)
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
  it.each<[string, Buffer, number, string, number?]>([
    ['sends a text frame', maskedFrame(0x81, 'text'), 1003, 'GNATMQ_PROTOCOL_ERROR'],
    [
      'sends a text frame in fragments',
      Buffer.concat([maskedFrame(0x01, 'te'), maskedFrame(0x80, 'xt')]),
      1003,
      'GNATMQ_PROTOCOL_ERROR',
    ],
    ['sends a frame without a mask', Buffer.from('8203616263', 'hex'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['sends an unknown opcode', maskedFrame(0x83, 'abc'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['sets a reserved bit', maskedFrame(0xc2, 'abc'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['continues what has not begun', maskedFrame(0x80, 'abc'), 1002, 'GNATMQ_PROTOCOL_ERROR'],
    ['begins the head of a frame that is too large', maskedHead(0x82, 1001), 1009, 'GNATMQ_PACKET_TOO_LARGE'],
    ['begins a frame of 2^62 bytes', maskedHead(0x82, 2 ** 62), 1009, 'GNATMQ_PACKET_TOO_LARGE'],
    [
      'sends fragments that are too large together',
      Buffer.concat([maskedFrame(0x02, 'x'.repeat(600)), maskedHead(0x00, 600)]),
      1009,
      'GNATMQ_PACKET_TOO_LARGE',
      600,
    ],
  ])('and %s gets a Close frame that tells why', async (_, bytes, status, code, readBefore = 0) => {
    const { context, port } = await listening({ port: 0, maximumFrameSize: 1000 })
    const { socket, channel } = await upgraded(port, context)
    const { bytes: answers } = noted(socket)
    const error = once(channel.stream, 'error')
    const read = received(channel)
    socket.write(bytes)
    // nothing behind it is looked at
    socket.write(maskedFrame(0x82, 'behind'))
    await closeOf(socket)
    expect(answers()).toEqual(closeFrame(status))
    expect((await error)[0].code).toBe(code)
    expect(read.bytes()).toHaveLength(readBefore)
  })

  it('does not need to be answered for a frame of 64 KiB, nor for many', async () => {
    const { client, channel } = await opened()
    const { bytes } = received(channel)
    for (let i = 0; i < 8; i++) client.send(pattern(65_536))
    await vi.waitFor(() => expect(bytes()).toHaveLength(8 * 65_536), patience)
  })

  it('makes nothing be kept, a thousand times over: half-sent frames of 16 MiB, and fragments of a byte', async () => {
    const { context, port } = await listening()
    const before = memoryInUse()
    const half = Buffer.concat([maskedHead(0x82, 16 * 1024 * 1024), Buffer.alloc(256 * 1024)])
    const fragments = Buffer.concat([maskedFrame(2, 'a'), ...new Array(20_000).fill(maskedFrame(0, 'a'))])
    let length = 0
    const sockets: Socket[] = []
    for (let i = 0; i < 1000; i++) {
      const { socket, channel } = await upgraded(port, context)
      channel.read((_bytes, count) => (length += count))
      socket.write(i % 2 === 0 ? half : fragments)
      sockets.push(socket)
    }
    await vi.waitFor(() => expect(length).toBe(500 * 256 * 1024 + 500 * 20_001), { ...patience, timeout: 30_000 })
    await vi.waitFor(() => expect(memoryInUse() - before).toBeLessThan(32 * 1024 * 1024), patience)
    for (const socket of sockets) socket.destroy()
    await vi.waitFor(() => expect(context.channels.every(({ stream }) => stream.closed)).toBe(true), patience)
  }, 60_000)

  it('and sends millions of empty fragments lets others have their turn', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    const read = received(channel)
    const flood = Buffer.concat(new Array(500_000).fill(maskedFrame(0, '', Buffer.alloc(4))))
    let turns = 0
    let begun = performance.now()
    let longest = 0
    const watch = (): void => {
      turns++
      longest = Math.max(longest, performance.now() - begun)
      begun = performance.now()
      if (read.bytes().length === 0) setImmediate(watch)
    }
    socket.write(maskedFrame(2, ''))
    socket.write(flood)
    socket.write(maskedFrame(0x80, 'z'))
    setImmediate(watch)
    await vi.waitFor(() => expect(read.bytes().toString()).toBe('z'), patience)
    // 65,536 bytes are 10,922 of these frames, and one read at the most is a turn
    expect(turns).toBeGreaterThan(500_000 / 10_922)
    expect(longest).toBeLessThan(500)
  })

  it('and does not close behind the Close frame is closed', async () => {
    const { context, port } = await listening()
    const { socket, channel } = await upgraded(port, context)
    socket.allowHalfOpen = true
    channel.read(() => undefined)
    socket.write(maskedFrame(0x81, 'text'))
    await vi.waitFor(() => expect(channel.stream.closed).toBe(true), patience)
    expect(channel.stream.errored).toMatchObject({ code: 'GNATMQ_PROTOCOL_ERROR' })
  })

  it('leaves the others alone', async () => {
    const { context, port } = await listening()
    const client = await webSocketClient(port)
    const channel = await context.channel()
    channel.read((bytes, length) => channel.stream.write(bytes.subarray(0, length)))
    const { socket, channel: bad } = await upgraded(port, context)
    bad.read(() => undefined)
    socket.write(maskedFrame(0x81, 'text'))
    await closeOf(socket)
    client.send(Buffer.from('served'))
    expect((await once(client, 'message'))[0].toString()).toBe('served')
  })
})
