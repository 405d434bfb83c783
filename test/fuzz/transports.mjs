// The ways to the fuzzed broker, each as a stream of bytes that may be cut anywhere.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'

export const transports = ['tcp', 'tls', 'ws', 'wss', 'attached', 'in-process']
const host = '127.0.0.1'

/** An open connection: `write` takes bytes of MQTT, and for WebSockets `frame` a frame as spoilt as it likes. */
export async function open(transport, { ports, ca }) {
  const port = ports[transport]
  const isSecure = transport === 'tls' || transport === 'wss'
  const socket = isSecure
    ? connectTls({ port, host, servername: 'localhost', ca })
    : connect({ port, host, noDelay: true })
  socket.on('error', () => undefined)
  await Promise.race([once(socket, isSecure ? 'secureConnect' : 'connect'), once(socket, 'close')])
  if (!(transport.startsWith('ws') || transport === 'attached'))
    return { socket, write: (bytes) => socket.write(bytes), frame: undefined }
  socket.write(
    `GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`,
  )
  await Promise.race([once(socket, 'data'), once(socket, 'close')])
  return { socket, write: (bytes) => socket.write(frame(2, bytes)), frame }
}

/** A frame of a client (RFC 6455 section 5.2). `options` spoil it: not final, reserved bits, not masked, a length that lies. */
export function frame(opcode, payload, { final = true, reserved = 0, masked = true, lie = 0 } = {}) {
  const mask = masked ? randomBytes(4) : Buffer.alloc(0)
  const length = Math.max(0, payload.length + lie)
  const size = Buffer.alloc(length < 126 ? 1 : length < 65_536 ? 3 : 9)
  size[0] = (masked ? 0x80 : 0) | (length < 126 ? length : length < 65_536 ? 126 : 127)
  if (size.length === 3) size.writeUInt16BE(length, 1)
  else if (size.length === 9) size.writeBigUInt64BE(BigInt(length), 1)
  const content = Buffer.from(payload)
  if (masked) for (let i = 0; i < content.length; i++) content[i] ^= mask[i & 3]
  return Buffer.concat([Buffer.from([(final ? 0x80 : 0) | (reserved << 4) | opcode]), size, mask, content])
}
