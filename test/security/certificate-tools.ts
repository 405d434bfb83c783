import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'

/** Runs openssl in a folder of its own; its output, and its errors with it. */
export async function openssl(files: Record<string, string | Uint8Array>, args: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'gnatmq-openssl-'))
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content)
  const run = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' })
  if (run.error) throw run.error
  return { status: run.status, output: run.stdout + run.stderr, folder }
}

/** One TLS handshake over the loopback interface, as both sides see it. */
export async function handshake(server: tls.TlsOptions, client: tls.ConnectionOptions) {
  const listener = tls.createServer(server)
  const seen = new Promise<{ authorized: boolean; reason: string | undefined; name: unknown }>((resolve) => {
    listener.once('secureConnection', (socket) => {
      socket.on('error', () => undefined)
      const reason = socket.authorizationError as unknown as string | null
      resolve({
        authorized: socket.authorized,
        reason: reason ?? undefined,
        name: socket.getPeerCertificate()?.subject?.CN,
      })
    })
    listener.once('tlsClientError', (error) => resolve({ authorized: false, reason: error.message, name: undefined }))
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as { port: number }
  const socket = tls.connect({ host: '127.0.0.1', port, ...client })
  try {
    await once(socket, 'secureConnect')
    return { authorized: socket.authorized, protocol: socket.getProtocol(), client: await seen }
  } finally {
    socket.on('error', () => undefined)
    socket.destroy()
    listener.close()
  }
}
