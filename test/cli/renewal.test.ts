import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import tls from 'node:tls'
import { expect, it, vi } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line'
import * as library from '../../src/index'
import { temporaryFolder } from './recorded-terminal'

const patience = { timeout: 10_000, interval: 20 }

async function servedBy(port: number, ca: string | Buffer) {
  const socket = tls.connect({ host: '127.0.0.1', port, ca })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

it('a broker that runs on renews the certificate that it keeps, without a restart', async () => {
  const data = await temporaryFolder()
  const timers = vi.spyOn(globalThis, 'setInterval')
  let stop = (): void => undefined
  const said: string[] = []
  const code = runCommandLine(['--port', '0', '--host', '127.0.0.1', '--data', data], {
    library: async () => library,
    terminal: {
      environment: {},
      print: (text) => void said.push(text),
      complain: (text) => void said.push(text),
      readPassword: async () => '',
      onReload: () => () => undefined,
      stopRequested: () =>
        new Promise<void>((resolve) => {
          stop = resolve
        }),
    },
  })
  try {
    await vi.waitFor(() => expect(said.join('\n')).toContain('endAsync()'), patience)
    const port = Number(/mqtts:\/\/127\.0\.0\.1:(\d+)/.exec(said.join('\n'))![1])
    const kept = (file: string) => join(data, 'tls', file)
    const ca = await readFile(kept('ca.pem'))
    const first = await servedBy(port, ca)
    const nextDay = timers.mock.calls.find(([, ms]) => ms === 86_400_000)![0] as () => void

    nextDay()
    const authority = await library.CertificateAuthority.load({ cert: ca, key: await readFile(kept('ca.key')) })
    const ending = await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1'], days: 3 })
    expect(await servedBy(port, ca)).toBe(first)

    await writeFile(kept('server.pem'), ending.key + ending.cert)
    nextDay()
    await vi.waitFor(async () => expect(await servedBy(port, ca)).not.toBe(first), patience)
    expect(new Date(await expiryOf(kept('server.pem'))).getTime()).toBeGreaterThan(Date.now() + 300 * 86_400_000)

    await writeFile(kept('ca.key'), 'damaged')
    nextDay()
    await vi.waitFor(() => expect(said.at(-1)).toMatch(/^gnatmq: the certificate stays as it was: /), patience)
  } finally {
    timers.mockRestore()
    stop()
    expect(await code).toBe(0)
  }
})

async function expiryOf(path: string): Promise<string> {
  return new X509Certificate((await readFile(path, 'utf8')).replace(/^[\s\S]*?(?=-----BEGIN CERT)/, '')).validTo
}
