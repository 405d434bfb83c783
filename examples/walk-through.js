// From nothing to a broker that only TLS clients reach: a CA, a server certificate, a PFX with a password, the broker.
//
//   node examples/walk-through.js [FOLDER]
//
// FOLDER keeps the files; without it they go to a temporary one. PORT: 8883 unless set; 0 takes any that is free.
// HOST: all interfaces unless set.

import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CertificateAuthority, MqttBroker, MqttSslProtocols, ServerCertificate } from 'gnatmq'

const folder = process.argv[2] ?? (await mkdtemp(join(tmpdir(), 'gnatmq-')))
await mkdir(folder, { recursive: true })
const secret = { mode: 0o600 }

// 1. The CA. Clients that trust its certificate trust all that it signs, so its key has a password.
const authority = await CertificateAuthority.create({ name: 'MyCARoot', key: 'rsa', bits: 4096, hash: 'SHA-512' })
const caFile = join(folder, 'MyCARoot.pem')
await writeFile(caFile, authority.cert)
await writeFile(join(folder, 'MyCARoot.key'), authority.keyPem('<password of the CA>'), secret)

// 2. The server certificate: its name is the host name that clients use.
const issued = await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1', '::1'], key: 'rsa', bits: 2048 })

// 3. Certificate and key in one file with a password.
const pfxFile = join(folder, 'GnatMQ.pfx')
await writeFile(pfxFile, await issued.pfx('<password>'), secret)

// 4. The broker.
const certificate = ServerCertificate.fromPfx(await readFile(pfxFile), '<password>')
const broker = new MqttBroker(certificate, MqttSslProtocols.TLSv1_2, {
  port: Number(process.env.PORT ?? 8883),
  host: process.env.HOST,
})
broker.on('clientConnected', ({ clientId, tlsVersion }) => console.log(`${clientId} came by ${tlsVersion}`))
broker.on('clientError', ({ message }) => console.log(`refused: ${message}`))
await broker.start()

console.log(`the CA that clients trust is ${caFile}
listening on port ${broker.port}. Now, in two other terminals:

  mosquitto_sub --cafile '${caFile}' -h localhost -p ${broker.port} -t 'lamp/#' -v
  mosquitto_pub --cafile '${caFile}' -h localhost -p ${broker.port} -t lamp/1 -m on

or from Node:

  connect('mqtts://localhost:${broker.port}', { ca: readFileSync('${caFile}') })
`)

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => broker.stop())
