import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { expect, onTestFinished, vi } from 'vitest'
import { CertificateAuthority } from '../../src/security/certificate-authority'
import { hashPassword } from '../../src/security/password-file'
import type { Running, Workshop } from './workshop'

export const patience = { timeout: 30_000, interval: 50 }

/** Rejects when the broker refuses the client, or closes the connection without a word. */
export function connected(one: MqttClient): Promise<MqttClient> {
  onTestFinished(() => one.endAsync(true))
  return new Promise((resolve, reject) => {
    one.once('connect', () => resolve(one))
    one.once('error', reject)
    one.once('close', () => reject(new Error('the broker closed the connection')))
  })
}

export function client(port: number, options: IClientOptions = {}): Promise<MqttClient> {
  const protocol = options.ca === undefined ? 'mqtt' : 'mqtts'
  return connected(connect(`${protocol}://localhost:${port}`, { reconnectPeriod: 0, ...options }))
}

/** A client as a web page is one. */
export function webSocketClient(port: number, options: IClientOptions = {}): Promise<MqttClient> {
  return connected(connect(`ws://localhost:${port}/mqtt`, { reconnectPeriod: 0, ...options }))
}

/** A port on which somebody listens by now. */
export const listening = (workshop: Workshop, standard: number): Promise<number> =>
  vi.waitFor(() => workshop.port(standard), patience)

export async function expectRoundTrip(one: MqttClient, topic = 'lamp/1'): Promise<void> {
  const received: string[] = []
  one.on('message', (at, payload) => received.push(`${at} ${payload}`))
  await one.subscribeAsync(topic, { qos: 1 })
  await one.publishAsync(topic, 'on', { qos: 1 })
  await vi.waitFor(() => expect(received).toContain(`${topic} on`), patience)
}

/** A CA and a server certificate as files, the PFX of the texts, and a user "ada" with the password "secret". */
export async function makeFiles(workshop: Workshop): Promise<void> {
  const authority = await CertificateAuthority.create({ name: 'MyCARoot' })
  const issued = await authority.issueServer({ name: 'localhost' })
  await writeFile(workshop.path('MyCARoot.pem'), authority.cert)
  await writeFile(workshop.path('localhost.pem'), issued.cert)
  await writeFile(workshop.path('localhost.key'), issued.key)
  await writeFile(workshop.path('GnatMQ.pfx'), await issued.pfx('pfx password'))
  await writeFile(workshop.path('users'), `ada:${await hashPassword('secret')}\n`)
}

/** What a client needs to show its certificate to a broker of MyCARoot. */
export async function credentials(workshop: Workshop, name: string): Promise<IClientOptions> {
  const [caPem, cert, key] = await Promise.all(
    ['MyCARoot.pem', `${name}.pem`, `${name}.key`].map((file) => readFile(workshop.path(file))),
  )
  return { ca: caPem!, cert: cert!, key: key! }
}

/** The lines that `gnatmq` prints lead to it. */
export async function expectPrintedLines(_workshop: Workshop, snippet: Running): Promise<void> {
  await vi.waitFor(() => expect(snippet.output, snippet.errors).toContain('endAsync()'), patience)
  const [, caPath, port] = /mosquitto_pub --cafile (\S+) -h localhost -p (\d+) /.exec(snippet.output)!
  await expectRoundTrip(await client(Number(port), { ca: await readFile(caPath!.replaceAll("'", '')) }))
}

export async function tlsSocket(port: number, ca: Buffer, servername: string): Promise<TLSSocket> {
  const socket = connectTls({ port, host: 'localhost', ca, servername })
  onTestFinished(() => void socket.destroy())
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return socket
}
