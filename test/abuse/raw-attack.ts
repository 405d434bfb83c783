import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { onTestFinished } from 'vitest'
import { type ConnectOptions, encode, type Version } from '../support/raw-client'

export interface AttackerOptions {
  /** The source address. Default: 127.0.0.1. */
  localAddress?: string
  /** False leaves what the broker sends where it is. Default: true, it is read and forgotten. */
  reads?: boolean
}

/** A TCP connection of an attacker: errors and closes are no surprise. It is destroyed when the test has finished. */
export async function openAttacker(port: number, options: AttackerOptions = {}): Promise<Socket> {
  const { localAddress = '127.0.0.1', reads = true } = options
  const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true })
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  await Promise.race([once(socket, 'connect'), once(socket, 'close')])
  if (reads) socket.resume()
  return socket
}

/** The same after its CONNACK, which is read. */
export async function connectAttacker(
  port: number,
  connectOptions: ConnectOptions = {},
  options: AttackerOptions = {},
): Promise<Socket> {
  const socket = await openAttacker(port, { ...options, reads: false })
  const connack = once(socket, 'data')
  socket.write(connectBytes(connectOptions))
  await Promise.race([connack, once(socket, 'close')])
  if (options.reads === false) socket.pause()
  return socket
}

/** The bytes of a CONNECT; Keep Alive is 0 unless asked for. */
export function connectBytes({ protocolVersion = 4, password, ...rest }: ConnectOptions = {}): Buffer {
  const secret = password === undefined ? {} : { password: Buffer.from(password) }
  const fixed = { cmd: 'connect', protocolId: 'MQTT', protocolVersion, clean: true, keepalive: 0 } as const
  return encode({ clientId: 'attacker', ...fixed, ...rest, ...secret }, protocolVersion as Version)
}

/** Writes as fast as the peer takes it. Resolves with the bytes written when all are, or the connection has closed. */
export async function flood(stream: Duplex, chunks: Iterable<Uint8Array>): Promise<number> {
  let written = 0
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()))
  for (const chunk of chunks) {
    if (stream.destroyed || !stream.writable) break
    written += chunk.length
    if (stream.write(chunk)) continue
    const drained = new Promise<void>((resolve) => stream.once('drain', () => resolve()))
    await Promise.race([drained, closed])
  }
  return written
}

/** Resolves when the connection has closed, whichever side did it. */
export async function closedStream(stream: Duplex): Promise<void> {
  if (!stream.closed) await new Promise<void>((resolve) => stream.once('close', () => resolve()))
}
