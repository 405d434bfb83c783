// Clients prove their names with certificates, and need no passwords. A device may publish below its own name only.
// The certificate of device-3 is revoked.
//
//   node examples/mutual-tls.js [FOLDER]
//
// FOLDER keeps the files; without it they go to a temporary one. PORT: 8883 unless set; 0 takes any that is free.
// HOST: all interfaces unless set.

import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CertificateAuthority, MqttBroker, ServerCertificate } from 'gnatmq'

const folder = process.argv[2] ?? (await mkdtemp(join(tmpdir(), 'gnatmq-')))
await mkdir(folder, { recursive: true })

const authority = await CertificateAuthority.create({ name: 'Devices CA' })
await writeFile(join(folder, 'ca.pem'), authority.cert)

const revoked = []
for (const name of ['device-1', 'device-2', 'device-3']) {
  const { cert, key, serialNumber } = await authority.issueClient({ name })
  await writeFile(join(folder, `${name}.pem`), cert)
  await writeFile(join(folder, `${name}.key`), key, { mode: 0o600 })
  if (name === 'device-3') revoked.push(serialNumber)
}

/** The name in the certificate of the client. The TLS handshake has proved it. */
const nameOf = (client) => client.certificate.subject.CN

const broker = new MqttBroker({
  certificate: ServerCertificate.fromPem(await authority.issueServer({ name: 'localhost', hosts: ['127.0.0.1'] })),
  ca: authority.cert,
  crl: await authority.crl({ revoked }),
  port: Number(process.env.PORT ?? 8883),
  host: process.env.HOST,
  // a name with a wildcard would allow more than one topic
  authenticate: (client) => /^[\w-]+$/.test(nameOf(client)),
  authorizePublish: (client, { topic }) => topic.startsWith(`devices/${nameOf(client)}/`),
})
broker.on('clientConnected', (client) => console.log(`${nameOf(client)} came`))
broker.on('clientError', ({ message }) => console.log(`refused: ${message}`))
await broker.subscribe('devices/#', ({ topic, payload }) => console.log(`${topic}: ${payload}`))
await broker.start()

const words = (name) =>
  `--cafile '${folder}/ca.pem' --cert '${folder}/${name}.pem' --key '${folder}/${name}.key' -h localhost -p ${broker.port}`
console.log(`certificates are in ${folder}
listening on port ${broker.port}. Now, in another terminal:

  mosquitto_pub ${words('device-1')} -t devices/device-1/temperature -m 21
  mosquitto_pub ${words('device-3')} -t devices/device-3/temperature -m 21
`)

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => broker.stop())
