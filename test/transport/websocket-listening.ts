import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { onTestFinished } from 'vitest'
import { type ClientOptions, WebSocket } from 'ws'
import type { Channel, Listener } from '../../src/ports/listener'
import { type WebSocketOptions, webSocket } from '../../src/transport/websocket'
import { RecordedContext } from '../support/recorded-context'

/** What the tests of the WebSocket listener share: a listener, and clients. */

export const cleanUp = (cleanup: () => unknown): void => {
  onTestFinished(async () => void (await cleanup()))
}

export async function listening(options: WebSocketOptions = { port: 0 }, context = new RecordedContext()) {
  const listener: Listener = webSocket(options)
  cleanUp(() => listener.close())
  cleanUp(() => context.destroy())
  const address = await listener.listen(context)
  return { context, listener, address, port: address.port }
}

/** What `ws` passes on to Node's `tls.connect` belongs to its options, too. */
type WebSocketClientOptions = ClientOptions & Pick<ConnectionOptions, 'servername' | 'ALPNProtocols'>

/** A client of the library `ws` after its handshake. Rejects when it is refused. */
export async function webSocketClient(
  port: number,
  options: WebSocketClientOptions = {},
  url = `ws://127.0.0.1:${port}/mqtt`,
) {
  const client = new WebSocket(url, ['mqtt'], options)
  cleanUp(() => client.terminate())
  await once(client, 'open')
  client.on('error', () => undefined)
  return client
}

/** A channel, and the client at its other end. */
export async function opened(options: WebSocketOptions = { port: 0 }) {
  const { context, port } = await listening(options)
  const client = await webSocketClient(port)
  return { context, port, client, channel: await context.channel() }
}

/** A TCP client that has said nothing. */
export async function rawClient(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect(port, host)
  cleanUp(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

export const closeOf = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })

/** Headers of an upgrade request; one that is undefined is left out. */
export type Headers = Record<string, string | undefined>

export function upgradeRequest(headers: Headers = {}, requestLine = 'GET /mqtt HTTP/1.1'): string {
  const all: Headers = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    'Sec-WebSocket-Protocol': 'mqtt',
    ...headers,
  }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]))
  return `${requestLine}\r\n${lines.join('\r\n')}\r\n\r\n`
}

/** What a server answers, up to the end of its headers; rejects if it closes before. */
export async function answerTo(socket: Socket, request: string | Buffer): Promise<string> {
  let answer = ''
  const whole = new Promise<string>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
      if (answer.includes('\r\n\r\n')) resolve(answer)
    })
    socket.once('close', () => reject(new Error(`closed after "${answer}"`)))
  })
  socket.write(request)
  return whole
}

/** The status of the answer to an upgrade request. */
export async function statusOf(port: number, headers: Headers = {}, requestLine?: string): Promise<number> {
  const answer = await answerTo(await rawClient(port), upgradeRequest(headers, requestLine))
  return Number(answer.split(' ')[1])
}

/** A TCP client whose upgrade is done, and its channel. */
export async function upgraded(port: number, context: RecordedContext): Promise<{ socket: Socket; channel: Channel }> {
  const number = context.channels.length
  const socket = await rawClient(port)
  await answerTo(socket, upgradeRequest())
  return { socket, channel: await context.channel(number) }
}

/** What arrives on a channel, in a copy. */
export function received(channel: Channel): { bytes: () => Buffer } {
  const chunks: Buffer[] = []
  channel.read((bytes, length) => chunks.push(Buffer.from(bytes.subarray(0, length))))
  return { bytes: () => Buffer.concat(chunks) }
}
