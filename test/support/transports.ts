import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'
import { ServerCertificate } from '../../src/security/server-certificate'
import { inProcess } from '../../src/transport/in-process'
import { tcp } from '../../src/transport/tcp'
import { tls } from '../../src/transport/tls'
import { webSocket } from '../../src/transport/websocket'
import { TestAuthority } from './certificates'

/** Every way into a broker. `Duplex` is a stream of the application's own, handed to `inProcess().handle`. */
export const transports = [
  'TCP',
  'TLS',
  'WebSocket',
  'WebSocket over TLS',
  'WebSocket on a server of the application',
  'in-process',
  'Duplex',
] as const
export type Transport = (typeof transports)[number]

/** How a client leaves. `vanish` closes without what its protocol says about that: TLS close_notify, a Close frame. */
export type Leave = 'end' | 'vanish' | 'destroy' | 'reset'

/** A client's end of one connection, whatever carries it: what it writes are bytes of MQTT. */
export interface StreamClient {
  write(bytes: Uint8Array): void
  leave(how: Leave): void
  /** Bytes that the broker has sent. */
  received(): Buffer
  /** Stops to read, and goes on. */
  pause(): void
  resume(): void
  readonly closed: Promise<void>
}

let authority: TestAuthority | undefined
let certificate: { ca: string; server: ServerCertificate } | undefined

function certificates(): { ca: string; server: ServerCertificate } {
  authority ??= new TestAuthority('Transports CA')
  certificate ??= { ca: authority.cert, server: ServerCertificate.fromPem(authority.server()) }
  return certificate
}

/** A file with the CA of the brokers that speak TLS. */
export const authorityFile = (): string => {
  certificates()
  return authority!.certFile
}

export interface ReachableBroker {
  broker: MqttBroker
  /** Opens a connection, as far as its transport goes: the first bytes that are written are MQTT. */
  open(): Promise<StreamClient>
  /** 0 without a network. */
  port: number
}

/** A broker that is reached one way, stopped when the test has finished. */
export async function startReachable(
  transport: Transport,
  options: Omit<MqttBrokerOptions, 'listeners' | 'port'> = {},
): Promise<ReachableBroker> {
  const local = inProcess()
  const isSecure = transport === 'TLS' || transport === 'WebSocket over TLS'
  const server = createServer()
  if (transport === 'WebSocket on a server of the application') {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
  }
  const listener = {
    TCP: () => tcp({ port: 0, host: '127.0.0.1' }),
    TLS: () => tls({ port: 0, host: '127.0.0.1' }),
    WebSocket: () => webSocket({ port: 0, host: '127.0.0.1' }),
    'WebSocket over TLS': () => webSocket({ port: 0, host: '127.0.0.1', secure: true }),
    'WebSocket on a server of the application': () => webSocket({ server }),
    'in-process': () => local,
    Duplex: () => local,
  }[transport]()
  const tlsOptions = isSecure ? { certificate: certificates().server } : {}
  const broker = await MqttBroker.start({ ...tlsOptions, ...options, listeners: [listener] })
  onTestFinished(() => broker.stop())
  const port = server.listening ? (server.address() as AddressInfo).port : broker.addresses[0]!.port
  const open = async (): Promise<StreamClient> => {
    if (transport === 'in-process') return plainClient(local.connect())
    if (transport === 'Duplex') {
      const [client, other] = joinedStreams()
      local.handle(other)
      return plainClient(client)
    }
    const raw = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(raw, 'connect')
    onTestFinished(() => void raw.destroy())
    const socket = isSecure ? await secured(raw) : raw
    return transport.startsWith('WebSocket') ? webSocketClient(socket, raw) : plainClient(socket, raw)
  }
  return { broker, open, port }
}

async function secured(raw: Socket): Promise<TLSSocket> {
  raw.on('error', () => undefined)
  const socket = connectTls({ socket: raw, ca: certificates().ca, servername: 'localhost' })
  await once(socket, 'secureConnect')
  return socket
}

function plainClient(stream: Duplex, raw = stream): StreamClient {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(Buffer.from(chunk)))
  stream.on('error', () => undefined)
  return {
    write: (bytes) => void stream.write(bytes),
    leave: (how) => leaveStream(stream, raw, how),
    received: () => Buffer.concat(chunks),
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    closed: new Promise((resolve) => stream.once('close', () => resolve())),
  }
}

/** What was written before is on its way: only the farewell differs. TLS is not told of what its TCP socket does. */
function leaveStream(stream: Duplex, raw: Duplex, how: Leave): void {
  if (raw instanceof Socket && how === 'reset') raw.resetAndDestroy()
  else if (how === 'vanish') raw.end()
  else if (how === 'end') stream.end()
  else stream.destroy()
}

async function webSocketClient(socket: Socket, raw: Socket): Promise<StreamClient> {
  const key = randomBytes(16).toString('base64')
  const headers = `Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n`
  socket.write(`GET /mqtt HTTP/1.1\r\n${headers}Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`)
  const [head] = (await once(socket, 'data')) as [Buffer]
  const chunks: Buffer[] = [head.subarray(head.indexOf('\r\n\r\n') + 4)]
  socket.on('data', (chunk: Buffer) => chunks.push(Buffer.from(chunk)))
  socket.on('error', () => undefined)
  return {
    write: (bytes) => void socket.write(clientFrame(2, bytes)),
    leave: (how) => {
      if (how === 'end') socket.write(clientFrame(8, Uint8Array.of(0x03, 0xe8)))
      leaveStream(socket, raw, how)
    },
    received: () => payloads(Buffer.concat(chunks)),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    closed: new Promise((resolve) => socket.once('close', () => resolve())),
  }
}

/** A masked frame, as a client sends it (RFC 6455 section 5.2). */
function clientFrame(opcode: number, payload: Uint8Array): Buffer {
  const mask = randomBytes(4)
  const { length } = payload
  const size = Buffer.alloc(length < 126 ? 1 : length < 65_536 ? 3 : 9)
  size[0] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127)
  if (size.length === 3) size.writeUInt16BE(length, 1)
  else if (size.length === 9) size.writeBigUInt64BE(BigInt(length), 1)
  return Buffer.concat([Buffer.of(0x80 | opcode), size, mask, payload.map((byte, i) => byte ^ mask[i % 4]!)])
}

/** What lies in the whole binary frames of a server. */
function payloads(bytes: Buffer): Buffer {
  const found: Buffer[] = []
  for (let at = 0; bytes.length - at >= 2; ) {
    const short = bytes[at + 1]! & 0x7f
    const start = at + (short === 127 ? 10 : short === 126 ? 4 : 2)
    if (bytes.length < start) break
    const length =
      short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short === 126 ? bytes.readUInt16BE(at + 2) : short
    if (bytes.length < start + length) break
    if ((bytes[at]! & 15) <= 2) found.push(bytes.subarray(start, start + length))
    at = start + length
  }
  return Buffer.concat(found)
}

/** Two streams, each of which reads what the other writes: not the broker's own. */
function joinedStreams(): [Duplex, Duplex] {
  const ends: Duplex[] = []
  const end = (own: number): Duplex =>
    new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        ends[1 - own]!.push(Buffer.from(chunk))
        done()
      },
      final: (done) => {
        ends[1 - own]!.push(null)
        done()
      },
      destroy: (error, done) => {
        done(error)
        setImmediate(() => ends[1 - own]!.destroy())
      },
    })
  ends.push(end(0), end(1))
  return [ends[0]!, ends[1]!]
}
