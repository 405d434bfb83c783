// One port, two host names, each with a certificate of its own: the client's TLS handshake tells which one it wants.
//
//   node examples/sni-two-names.js [FOLDER]
//
// FOLDER keeps the CA's certificate; without it that goes to a temporary one. PORT: 8883 unless set; 0 takes any that is
// free. HOST: all interfaces unless set.

import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { CertificateAuthority, MqttBroker, ServerCertificate } from 'gnatmq'

const folder = process.argv[2] ?? (await mkdtemp(join(tmpdir(), 'gnatmq-')))
await mkdir(folder, { recursive: true })
const caFile = join(folder, 'ca.pem')

const authority = await CertificateAuthority.create({ name: 'MyCARoot' })
await writeFile(caFile, authority.cert)

const issued = await authority.issueServer({ name: 'localhost' })
const contexts = new Map()
for (const name of ['home.localhost', 'office.localhost']) {
  const { cert, key } = await authority.issueServer({ name })
  contexts.set(name, createSecureContext({ cert, key }))
}

const broker = new MqttBroker({
  // for clients that name no host, or another one
  certificate: ServerCertificate.fromPem(issued),
  SNICallback: (servername, done) => done(null, contexts.get(servername)),
  port: Number(process.env.PORT ?? 8883),
  host: process.env.HOST,
})
broker.on('clientConnected', ({ clientId, servername }) => console.log(`${clientId} came to ${servername}`))
await broker.start()

console.log(`the CA that clients trust is ${caFile}
listening on port ${broker.port}. Now, in another terminal:

  mosquitto_pub --cafile '${caFile}' -h home.localhost -p ${broker.port} -t lamp/1 -m on
  mosquitto_pub --cafile '${caFile}' -h office.localhost -p ${broker.port} -t lamp/1 -m off

Where these names are not known: openssl s_client -connect localhost:${broker.port} -servername home.localhost
`)

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => broker.stop())
