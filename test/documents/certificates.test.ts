import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { expect, onTestFinished, vi } from 'vitest'
import { CertificateAuthority } from '../../src/security/certificate-authority'
import { describeSnippets } from '../support/document'
import { client, credentials, expectRoundTrip, listening, patience, tlsSocket } from '../support/reader'
import type { Workshop } from '../support/workshop'

const file = (workshop: Workshop, name: string): Promise<Buffer> => readFile(workshop.path(name))

/** The CA that the guide has made. */
async function authority(workshop: Workshop): Promise<CertificateAuthority> {
  const [cert, key] = await Promise.all([file(workshop, 'MyCARoot.pem'), file(workshop, 'MyCARoot.key')])
  return CertificateAuthority.load({ cert, key, passphrase: 'ca password' })
}

/** A client certificate that the guide does not make. */
async function issueClient(workshop: Workshop, name: string, issuer: CertificateAuthority): Promise<void> {
  const { cert, key } = await issuer.issueClient({ name })
  await writeFile(workshop.path(`${name}.pem`), cert)
  await writeFile(workshop.path(`${name}.key`), key)
}

async function expectTlsOnly(workshop: Workshop): Promise<void> {
  const port = await listening(workshop, 8883)
  const socket = await tlsSocket(port, await file(workshop, 'MyCARoot.pem'), 'localhost')
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
}

describeSnippets('docs/guides/certificates.md', {
  'broker.mjs': { serves: expectTlsOnly },
  'two-listeners.cjs': {
    async serves(workshop, snippet) {
      const ca = await file(workshop, 'MyCARoot.pem')
      await expectRoundTrip(await client(await listening(workshop, 8883), { ca }))
      await expectRoundTrip(await client(await listening(workshop, 1883)))
      await vi.waitFor(() => expect(snippet.output).toMatch(/^mqtt on port \d+\nmqtts on port \d+\n$/), patience)
    },
  },
  'client-certificates.mjs': {
    async serves(workshop, snippet) {
      const port = await listening(workshop, 8883)
      const lamp = await credentials(workshop, 'lamp-1')
      await expectRoundTrip(await client(port, { ...lamp, clientId: 'lamp-1' }))
      await expect(client(port, { ...lamp, clientId: 'lamp-2' })).rejects.toThrow(/Not authorized/)
      await expect(client(port, { ca: lamp.ca!, clientId: 'lamp-1' })).rejects.toThrow()
      await issueClient(workshop, 'stranger', await CertificateAuthority.create({ name: 'MyCARoot' }))
      const stranger = await credentials(workshop, 'stranger')
      await expect(client(port, { ...stranger, clientId: 'stranger' })).rejects.toThrow()
      await vi.waitFor(() => expect(snippet.output).toContain('GNATMQ_CERTIFICATE_REFUSED'), patience)
    },
  },
  'check-identity.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      await expectRoundTrip(await client(port, await credentials(workshop, 'lamp-1')))
      // revoked
      await expect(client(port, await credentials(workshop, 'door-1'))).rejects.toThrow()
      // of another name
      await issueClient(workshop, 'gate-1', await authority(workshop))
      await expect(client(port, await credentials(workshop, 'gate-1'))).rejects.toThrow()
      // of another CA
      await issueClient(workshop, 'lamp-9', await CertificateAuthority.create({ name: 'MyCARoot' }))
      await expect(client(port, await credentials(workshop, 'lamp-9'))).rejects.toThrow()
    },
  },
  'two-names.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      const ca = await file(workshop, 'ca.pem')
      for (const name of ['lamps.example', 'doors.example']) {
        const socket = await tlsSocket(port, ca, name)
        expect(socket.authorized && socket.getPeerCertificate().subject.CN).toBe(name)
      }
    },
  },
  'renew.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 8883)
      await vi.waitFor(async () => {
        const socket = await tlsSocket(port, readFileSync(workshop.path('ca.pem')), 'localhost')
        const days = (Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / 86_400_000
        expect(Math.round(days)).toBe(90)
      }, patience)
    },
  },
  'renewed-files.mjs': {
    async serves(workshop, snippet) {
      const port = await listening(workshop, 8883)
      const renewed = await (await authority(workshop)).issueServer({ name: 'localhost' })
      // the watch may begin a moment after the port opens
      await vi.waitFor(async () => {
        await writeFile(workshop.path('localhost.key'), renewed.keyPem('pfx password'))
        await writeFile(workshop.path('localhost.pem'), renewed.cert)
        await vi.waitFor(() => expect(snippet.output).toContain('in use'), { timeout: 3000, interval: 50 })
      }, patience)
      const socket = await tlsSocket(port, await file(workshop, 'MyCARoot.pem'), 'localhost')
      expect(socket.getPeerCertificate().serialNumber).toBe(renewed.serialNumber)
    },
  },
})
