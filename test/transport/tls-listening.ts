import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import type { TlsOptions } from '../../src/ports/tls'
import { ServerCertificate } from '../../src/security/server-certificate'
import { tls } from '../../src/transport/tls'
import { TestAuthority } from '../support/certificates'
import { RecordedContext } from '../support/recorded-context'

/** What the tests of the TLS listener share: a listener, and clients. */

export const authority = new TestAuthority('Broker CA')
export const certificate = ServerCertificate.fromPem(authority.server('localhost', { key: 'rsa' }))

export const cleanUp = (cleanup: () => unknown): void => {
  onTestFinished(async () => void (await cleanup()))
}

export async function listening(
  options: TlsOptions = {},
  context = new RecordedContext({ defaults: { certificate } }),
) {
  const listener = tls({ port: 0, host: '127.0.0.1', ...options })
  cleanUp(() => listener.close())
  cleanUp(() => context.destroy())
  return { context, listener, ...(await listener.listen(context)) }
}

/** A client after its handshake, which trusts the CA. Rejects when the handshake fails. */
export async function tlsClient(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', ca: authority.cert, servername: 'localhost', ...options })
  cleanUp(() => socket.destroy())
  await once(socket, 'secureConnect')
  socket.on('error', () => undefined)
  return socket
}

/** `openssl s_client`, which quits after the handshake: whether that was done, and what it said. */
export async function opensslClient(port: number, ...flags: string[]): Promise<{ connected: boolean; output: string }> {
  const fixed = ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', authority.certFile, '-verify_return_error']
  const child = spawn('openssl', [...fixed, ...flags], { stdio: ['pipe', 'pipe', 'pipe'] })
  cleanUp(() => child.kill())
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  child.stdin.on('error', () => undefined)
  child.stdin.end('Q\n')
  const [code] = await once(child, 'close')
  return { connected: code === 0, output }
}
