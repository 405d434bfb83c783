import { createConnection, createServer } from 'node:net'
import { Duplex, PassThrough } from 'node:stream'
import mqtt, { type MqttClient } from 'mqtt'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'
import type { Channel, ListenerContext } from '../../src/ports/listener'
import { type InProcessListener, inProcess } from '../../src/transport/in-process'
import { encode } from '../support/raw-client'

interface Emitter {
  once(event: string, listener: (...values: unknown[]) => void): unknown
}

/** What the next event of this name brings. */
function once(emitter: Emitter, event: string): Promise<unknown[]> {
  return new Promise((resolve) => emitter.once(event, (...values) => resolve(values)))
}

const connectPacket = (clientId: string): Buffer =>
  encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId, clean: true, keepalive: 0 })

async function startBroker(
  options: MqttBrokerOptions = {},
): Promise<{ broker: MqttBroker; listener: InProcessListener }> {
  const listener = inProcess()
  const broker = await MqttBroker.start({ ...options, listeners: [listener] })
  onTestFinished(() => broker.stop())
  return { broker, listener }
}

async function connectMqttJs(
  listener: InProcessListener,
  protocolVersion: 4 | 5,
  clientId: string,
): Promise<MqttClient> {
  const client = new mqtt.MqttClient(() => listener.connect(), { clientId, protocolVersion, reconnectPeriod: 0 })
  onTestFinished(() => client.endAsync(true))
  await once(client, 'connect')
  return client
}

/** Both ends of a connection, the broker's as the broker has it. */
async function connectEnds(): Promise<{ client: Duplex; channel: Channel }> {
  const listener = inProcess()
  let channel: Channel | undefined
  const context = { clock: { now: () => 7 }, accept: (accepted: Channel) => (channel = accepted) }
  await listener.listen(context as unknown as ListenerContext)
  const client = listener.connect({ remoteAddress: 'here' })
  return { client, channel: channel! }
}

/** Writes until the stream asks for a pause that outlasts a turn, and gives the bytes that it has taken. */
async function fill(stream: Duplex): Promise<number> {
  const chunk = Buffer.alloc(4096)
  let written = 0
  for (let waiting = false; !waiting; ) {
    waiting = !stream.write(chunk)
    written += chunk.length
    if (waiting) await new Promise((resolve) => setImmediate(resolve))
    waiting = stream.writableNeedDrain
    if (written > 16 * 1024 * 1024) throw new Error('the stream takes everything')
  }
  return written
}

async function readAll(stream: Duplex): Promise<number> {
  let length = 0
  for await (const chunk of stream) length += chunk.length
  return length
}

describe('inProcess()', () => {
  it.each([4, 5] as const)('carries MQTT.js with protocol version %s', async (version) => {
    const { listener } = await startBroker()
    const subscriber = await connectMqttJs(listener, version, 'subscriber')
    const publisher = await connectMqttJs(listener, version, 'publisher')
    await subscriber.subscribeAsync('lamp/+', { qos: 2 })
    for (const qos of [0, 1, 2] as const) {
      const message = once(subscriber, 'message')
      await publisher.publishAsync('lamp/1', `on ${qos}`, { qos })
      const [topic, payload] = await message
      expect([topic, String(payload)]).toEqual(['lamp/1', `on ${qos}`])
    }
  })

  it('carries a payload of 1 MiB, unchanged', async () => {
    const { listener } = await startBroker()
    const subscriber = await connectMqttJs(listener, 5, 'subscriber')
    const publisher = await connectMqttJs(listener, 4, 'publisher')
    await subscriber.subscribeAsync('#', { qos: 1 })
    const payload = Buffer.alloc(1024 * 1024)
    for (let i = 0; i < payload.length; i++) payload[i] = (i * 7) ^ (i >> 8)
    const message = once(subscriber, 'message')
    await publisher.publishAsync('large', payload, { qos: 1 })
    expect(((await message)[1] as Buffer).equals(payload)).toBe(true)
  })

  it('lets MQTT.js come back after the broker has stopped and started', async () => {
    const { broker, listener } = await startBroker()
    const client = new mqtt.MqttClient(() => listener.connect(), { clientId: 'back', reconnectPeriod: 1 })
    onTestFinished(() => client.endAsync(true))
    await once(client, 'connect')
    await broker.stop()
    const connected = once(client, 'connect')
    await broker.start()
    await connected
    expect([...broker.clients.keys()]).toEqual(['back'])
  })

  it('bounds what waits for a reader that stops, and serves the others', async () => {
    const { broker, listener } = await startBroker({ limits: { maximumOutgoingBytes: 65_536 } })
    const slow = listener.connect()
    slow.write(connectPacket('slow'))
    slow.write(encode({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'news', qos: 0 }] }))
    await once(slow, 'readable')
    const fast = await connectMqttJs(listener, 4, 'fast')
    await fast.subscribeAsync('news')
    const publisher = await connectMqttJs(listener, 4, 'publisher')
    const received = vi.fn()
    fast.on('message', received)
    for (let i = 0; i < 200; i++) await publisher.publishAsync('news', Buffer.alloc(10_000), { qos: 1 })
    await vi.waitFor(() => expect(received).toHaveBeenCalledTimes(200))
    // 64 KiB in the broker, as much in each half of the pair, and what was under way
    const closed = once(slow, 'close')
    const taken = readAll(slow)
    await broker.stop()
    await closed
    expect(await taken).toBeLessThan(600_000)
  })

  it('ends a connection of the client half by half', async () => {
    const { broker, listener } = await startBroker()
    const client = listener.connect()
    client.write(connectPacket('half'))
    client.end(encode({ cmd: 'pingreq' }))
    const gone = once(broker, 'clientDisconnected')
    // CONNACK and PINGRESP, though the client had ended before they were written
    expect(await readAll(client)).toBe(6)
    await gone
  })

  it('tells the broker of a client that is destroyed', async () => {
    const { broker, listener } = await startBroker()
    const client = listener.connect()
    client.write(connectPacket('gone'))
    await once(client, 'readable')
    const gone = once(broker, 'clientDisconnected')
    client.destroy()
    await gone
    expect(broker.clients.size).toBe(0)
  })

  it('closes the stream of a client that the broker throws out', async () => {
    const { listener } = await startBroker()
    const client = listener.connect()
    client.write(encode({ cmd: 'pingreq' }))
    client.resume()
    await once(client, 'close')
    expect(client.errored).toBeNull()
  })

  it('tells the broker who the client is', async () => {
    const { broker, listener } = await startBroker()
    const connected = once(broker, 'clientConnected')
    const client = listener.connect({ remoteAddress: '192.0.2.1', remotePort: 7 })
    client.write(connectPacket('named'))
    client.resume()
    expect((await connected)[0]).toMatchObject({ remoteAddress: '192.0.2.1', remotePort: 7 })
  })

  it('refuses a connection while no broker runs', async () => {
    const listener = inProcess()
    const [error] = await once(listener.connect(), 'error')
    expect(error).toMatchObject({ code: 'GNATMQ_NOT_RUNNING' })
    const { broker, listener: stopped } = await startBroker()
    await broker.stop()
    expect(() => stopped.handle(new PassThrough())).toThrow(expect.objectContaining({ code: 'GNATMQ_NOT_RUNNING' }))
  })

  it('serves one broker', async () => {
    const { listener } = await startBroker()
    await expect(MqttBroker.start({ listeners: [listener] })).rejects.toMatchObject({ code: 'GNATMQ_LISTEN_FAILED' })
  })
})

describe('handle()', () => {
  it('takes a stream that something else has accepted', async () => {
    const { broker, listener } = await startBroker()
    const connected = once(broker, 'clientConnected')
    const server = createServer((socket) => listener.handle(socket, { remoteAddress: socket.remoteAddress }))
    onTestFinished(() => void server.close())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const client = new mqtt.MqttClient(() => createConnection(port, '127.0.0.1'), {
      clientId: 'brought',
      reconnectPeriod: 0,
    })
    onTestFinished(() => client.endAsync(true))
    await once(client, 'connect')
    expect((await connected)[0]).toMatchObject({ clientId: 'brought', remoteAddress: '127.0.0.1' })
  })

  it('takes streams of Uint8Array', async () => {
    const { listener } = await startBroker()
    const output = new PassThrough()
    const input = new PassThrough({
      readableObjectMode: true,
      transform: (chunk, _, done) => done(null, new Uint8Array(chunk)),
    })
    listener.handle(Duplex.from({ readable: input, writable: output }))
    input.write(connectPacket('objects'))
    expect([...((await once(output, 'data'))[0] as Buffer)]).toEqual([0x20, 2, 0, 0])
    input.destroy()
  })

  it('does not take a stream that is closed', async () => {
    const { listener } = await startBroker()
    const stream = new PassThrough()
    stream.destroy()
    expect(() => listener.handle(stream)).toThrow(expect.objectContaining({ code: 'GNATMQ_CONNECTION_LOST' }))
  })
})

describe('the two ends', () => {
  it('make a writer wait for a reader, in both directions', async () => {
    const { client, channel } = await connectEnds()
    for (const [writer, reader] of [
      [client, channel.stream],
      [channel.stream, client],
    ] as const) {
      const written = await fill(writer)
      expect(written).toBeLessThan(256 * 1024)
      let read = 0
      reader.on('data', (chunk: Buffer) => (read += chunk.length))
      await once(writer, 'drain')
      await vi.waitFor(() => expect(read).toBe(written))
      reader.pause()
    }
  })

  it('hand over in the order of the writes, also those that were corked', async () => {
    const { client, channel } = await connectEnds()
    const read: string[] = []
    channel.read((bytes, length) => read.push(bytes.toString('latin1', 0, length)))
    client.write('a')
    client.cork()
    client.write('b')
    client.write('c')
    client.uncork()
    client.end('d')
    await once(channel.stream, 'end')
    expect(read.join('')).toBe('abcd')
  })

  it('run a reader apart from the writer', async () => {
    const { client, channel } = await connectEnds()
    const read = vi.fn()
    channel.read(read)
    client.write('a')
    expect(read).not.toHaveBeenCalled()
    await vi.waitFor(() => expect(read).toHaveBeenCalledOnce())
  })

  it('end the write of a writer whose reader is destroyed', async () => {
    const { client, channel } = await connectEnds()
    await fill(channel.stream)
    const failed = vi.fn()
    channel.stream.on('error', failed)
    const written = new Promise((resolve) => channel.stream.write('last', resolve))
    client.destroy()
    expect(await written).toBeInstanceOf(Error)
    if (!channel.stream.closed) await once(channel.stream, 'close')
    expect(failed).not.toHaveBeenCalled()
  })

  it('pass on who the peer is, when it came, and that bytes are not free again', async () => {
    const { channel } = await connectEnds()
    expect(channel).toMatchObject({ acceptedAt: 7, releasesWrites: false, peer: { remoteAddress: 'here' } })
  })
})
