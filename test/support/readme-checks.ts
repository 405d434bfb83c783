import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { expect, onTestFinished, vi } from 'vitest'
import { CertificateAuthority } from '../../src/security/certificate-authority'
import type { Running, Workshop } from './workshop'

/** What a snippet needs beforehand, and what shows that it does what the text says. */
export interface Check {
  /** Makes the files that the text takes for granted. */
  before?: (workshop: Workshop) => Promise<void>
  /** The snippet serves until it is stopped; this shows that it does. */
  serves?: (workshop: Workshop, snippet: Running) => Promise<void>
  /** The snippet has ended; this looks at what it has left. */
  after?: (workshop: Workshop) => Promise<void>
  /** How a snippet that serves ends when it gets SIGTERM. */
  ends?: number
}

const patience = { timeout: 15_000, interval: 50 }

/** Rejects when the broker refuses the client, or closes the connection without a word. */
function connected(one: MqttClient): Promise<MqttClient> {
  onTestFinished(() => one.endAsync(true))
  return new Promise((resolve, reject) => {
    one.once('connect', () => resolve(one))
    one.once('error', reject)
    one.once('close', () => reject(new Error('the broker closed the connection')))
  })
}

function client(port: number, options: IClientOptions = {}): Promise<MqttClient> {
  const protocol = options.ca === undefined ? 'mqtt' : 'mqtts'
  return connected(connect(`${protocol}://localhost:${port}`, { reconnectPeriod: 0, ...options }))
}

/** A port on which somebody listens by now. */
const listening = (workshop: Workshop, standard: number): Promise<number> =>
  vi.waitFor(() => workshop.port(standard), patience)

async function expectRoundTrip(one: MqttClient, topic = 'lamp/1'): Promise<void> {
  const received: string[] = []
  one.on('message', (at, payload) => received.push(`${at} ${payload}`))
  await one.subscribeAsync(topic, { qos: 1 })
  await one.publishAsync(topic, 'on', { qos: 1 })
  await vi.waitFor(() => expect(received).toContain(`${topic} on`), patience)
}

/** The CA, a server certificate and two client certificates, as `gnatmq cert` writes them. */
async function makeFiles(workshop: Workshop): Promise<void> {
  const authority = await CertificateAuthority.create({ name: 'MyCARoot' })
  await writeFile(workshop.path('MyCARoot.pem'), authority.cert)
  const issued = {
    localhost: await authority.issueServer({ name: 'localhost' }),
    'lamp-1': await authority.issueClient({ name: 'lamp-1' }),
    'door-1': await authority.issueClient({ name: 'door-1' }),
  }
  for (const [name, { cert, key }] of Object.entries(issued)) {
    await writeFile(workshop.path(`${name}.pem`), cert)
    await writeFile(workshop.path(`${name}.key`), key)
  }
}

async function credentials(workshop: Workshop, name: string, ca: string): Promise<IClientOptions> {
  const [caPem, cert, key] = await Promise.all(
    [ca, `${name}.pem`, `${name}.key`].map((file) => readFile(workshop.path(file))),
  )
  return { ca: caPem!, cert: cert!, key: key! }
}

/** The lines that `gnatmq` prints lead to it. */
async function expectPrintedLines(_workshop: Workshop, snippet: Running): Promise<void> {
  await vi.waitFor(() => expect(snippet.output, snippet.errors).toContain('endAsync()'), patience)
  const [, caPath, port] = /mosquitto_pub --cafile (\S+) -h localhost -p (\d+) /.exec(snippet.output)!
  await expectRoundTrip(await client(Number(port), { ca: await readFile(caPath!.replaceAll("'", '')) }))
}

async function tlsSocket(port: number, ca: Buffer, servername: string): Promise<TLSSocket> {
  const socket = connectTls({ port, host: 'localhost', ca, servername })
  onTestFinished(() => void socket.destroy())
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return socket
}

async function expectHttpApplication(workshop: Workshop): Promise<void> {
  const http = `http://127.0.0.1:${await listening(workshop, 3000)}`
  const lamp = await client(await listening(workshop, 1883), { clientId: 'a-lamp' })
  const received: string[] = []
  lamp.on('message', (topic, payload) => received.push(`${topic} ${payload}`))
  await lamp.subscribeAsync('lamp/7', { qos: 1 })
  const headers = { 'content-type': 'application/json' }
  const posted = await fetch(`${http}/lamps/7`, { method: 'POST', headers, body: JSON.stringify({ state: 'off' }) })
  expect(posted.status).toBe(202)
  await vi.waitFor(() => expect(received).toEqual(['lamp/7 off']), patience)
  expect(await (await fetch(`${http}/clients`)).json()).toEqual(['a-lamp'])
}

/** The client's side of SCRAM-SHA-256 (RFC 7677). */
function scramClient(username: string, password: string) {
  const first = `n=${username},r=clientnonce`
  const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
  return {
    first: Buffer.from(`n,,${first}`),
    final(challenge: string): Buffer {
      const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge)!
      const salted = pbkdf2Sync(password, Buffer.from(salt!, 'base64'), Number(iterations), 32, 'sha256')
      const clientKey = hmac(salted, 'Client Key')
      const signature = hmac(createHash('sha256').update(clientKey).digest(), `${first},${challenge},c=biws,r=${nonce}`)
      const proof = Buffer.from(clientKey.map((byte, i) => byte ^ signature[i]!))
      return Buffer.from(`c=biws,r=${nonce},p=${proof.toString('base64')}`)
    },
  }
}

function scramConnection(port: number, password: string): Promise<MqttClient> {
  const exchange = scramClient('ada', password)
  const authenticationMethod = 'SCRAM-SHA-256'
  const properties = { authenticationMethod, authenticationData: exchange.first }
  const one = connect(`mqtt://localhost:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    manualConnect: true,
    properties,
  })
  one.handleAuth = (packet, done) => {
    const authenticationData = exchange.final(packet.properties!.authenticationData!.toString())
    done(undefined, { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod, authenticationData } })
  }
  one.connect()
  return connected(one)
}

/** By the name of the snippet. Whatever is not in here has to end by itself, without an error. */
export const checks: Readonly<Record<string, Check>> = {
  'Try it 1': { serves: expectPrintedLines, ends: 0 },
  'Try it 3': { serves: expectPrintedLines, ends: 0 },
  'tls-broker.mjs': {
    async serves(workshop, snippet) {
      await listening(workshop, 8883)
      await vi.waitFor(() => expect(snippet.output).toMatch(/^MQTT over TLS on port \d+\n/), patience)
      const socket = await tlsSocket(workshop.port(8883), await readFile(workshop.path('ca.pem')), 'localhost')
      expect(socket.getProtocol()).toBe('TLSv1.3')
    },
  },
  'plain-broker.mjs': {
    async serves(workshop) {
      await expectRoundTrip(await client(await listening(workshop, 1883)))
    },
  },
  'two-listeners.cjs': {
    before: makeFiles,
    async serves(workshop, snippet) {
      const ca = await readFile(workshop.path('MyCARoot.pem'))
      await expectRoundTrip(await client(await listening(workshop, 8883), { ca }))
      await expectRoundTrip(await client(await listening(workshop, 1883)))
      await vi.waitFor(() => expect(snippet.output).toMatch(/^mqtt on port \d+\nmqtts on port \d+\n$/), patience)
    },
  },
  'broker.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      const socket = await tlsSocket(port, await readFile(workshop.path('MyCARoot.pem')), 'localhost')
      expect(socket.getProtocol()).toBe('TLSv1.2')
      const plain = connectTcp(port, 'localhost')
      onTestFinished(() => void plain.destroy())
      const received: Buffer[] = []
      plain.on('data', (chunk) => received.push(chunk)).on('error', () => undefined)
      const closed = new Promise((resolve) => plain.once('close', resolve))
      // an MQTT CONNECT in the clear
      plain.write(Buffer.from('100f00044d5154540402003c0003616263', 'hex'))
      await closed
      // an alert of TLS at the most, and no CONNACK
      expect(Buffer.concat(received)[0] ?? 0x15).toBe(0x15)
    },
  },
  'express-app.mjs': { serves: expectHttpApplication, ends: 0 },
  'fastify-app.mjs': { serves: expectHttpApplication, ends: 0 },
  'broker.service.ts': {
    async after(workshop) {
      const lines = [
        "import { BrokerService } from './broker.service.mjs'",
        'const service = new BrokerService()',
        'await service.onModuleInit()',
        'console.log(service.broker.state)',
        'await service.onApplicationShutdown()',
        'console.log(service.broker.state)',
      ]
      await writeFile(workshop.path('nest.mjs'), lines.join('\n'))
      const nest = workshop.node('nest.mjs')
      expect(await nest.ended, nest.errors).toBe(0)
      expect(nest.output).toBe('running\nstopped\n')
    },
  },
  'hooks.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 1883)
      await expect(client(port, { username: 'ada', password: 'wrong' })).rejects.toThrow(/Bad username or password/)
      await expect(client(port)).rejects.toThrow(/Not authorized/)
      const ada = await client(port, { username: 'ada', password: 'secret', protocolVersion: 5 })
      await expectRoundTrip(ada, 'ada/lamp')
      await expect(ada.publishAsync('bob/lamp', '', { qos: 1 })).rejects.toThrow(/Not authorized/)
      const [lowered] = await ada.subscribeAsync('lamps', { qos: 2 })
      expect(lowered?.qos).toBe(1)
      await expect(ada.subscribeAsync('secrets/1')).rejects.toThrow(/Not authorized/)
    },
  },
  'users.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 1883)
      await expectRoundTrip(await client(port, { username: 'ada', password: 'secret' }))
      await expect(client(port, { username: 'ada', password: 'wrong' })).rejects.toThrow(/Bad username or password/)
    },
  },
  'scram.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 1883)
      await expectRoundTrip(await scramConnection(port, 'secret'))
      await expect(scramConnection(port, 'wrong')).rejects.toThrow()
      await expect(client(port, { username: 'ada', password: 'secret' })).rejects.toThrow(/Bad username or password/)
    },
  },
  'events.mjs': {
    async serves(workshop, snippet) {
      const port = await listening(workshop, 1883)
      const one = await client(port, { clientId: 'one' })
      await expectRoundTrip(one)
      await one.endAsync()
      const plain = connectTcp(port, '127.0.0.1')
      onTestFinished(() => void plain.destroy())
      // PINGREQ where CONNECT belongs
      plain.write(Buffer.from('c000', 'hex'))
      await vi.waitFor(() => {
        expect(snippet.output).toMatch(/^connected one \S+$/m)
        expect(snippet.output).toMatch(/^subscribed one lamp\/1 1$/m)
        expect(snippet.output).toMatch(/^published lamp\/1 one$/m)
        expect(snippet.output).toMatch(/^disconnected one 0$/m)
        expect(snippet.output).toMatch(/^GNATMQ_\w+ .+ \S+$/m)
      }, patience)
    },
  },
  'client-certificates.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      const lamp = await credentials(workshop, 'lamp', 'ca.pem')
      await expectRoundTrip(await client(port, { ...lamp, clientId: 'lamp-1' }))
      await expect(client(port, { ...lamp, clientId: 'lamp-2' })).rejects.toThrow(/Not authorized/)
      await expect(
        client(port, { ...(await credentials(workshop, 'stolen', 'ca.pem')), clientId: 'lamp-2' }),
      ).rejects.toThrow()
      await expect(client(port, { ca: lamp.ca!, clientId: 'lamp-1' })).rejects.toThrow()
    },
  },
  'check-identity.mjs': {
    before: makeFiles,
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      await expectRoundTrip(await client(port, await credentials(workshop, 'lamp-1', 'MyCARoot.pem')))
      await expect(client(port, await credentials(workshop, 'door-1', 'MyCARoot.pem'))).rejects.toThrow()
      const stranger = {
        ...(await credentials(workshop, 'lamp', 'ca.pem')),
        ca: await readFile(workshop.path('MyCARoot.pem')),
      }
      await expect(client(port, stranger)).rejects.toThrow()
    },
  },
  'two-names.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      const ca = await readFile(workshop.path('ca.pem'))
      for (const name of ['lamps.example', 'doors.example']) {
        const socket = await tlsSocket(port, ca, name)
        expect(socket.authorized && socket.getPeerCertificate().subject.CN).toBe(name)
      }
    },
  },
  'renew.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      const ca = await readFile(workshop.path('ca.pem'))
      await vi.waitFor(async () => {
        const socket = await tlsSocket(port, ca, 'localhost')
        const days = (Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / 86_400_000
        expect(Math.round(days)).toBe(90)
      }, patience)
    },
  },
}
