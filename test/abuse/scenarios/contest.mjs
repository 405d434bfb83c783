// Listeners for TCP, WebSocket and TLS, and a password file. The argument: passwords by user name.
import passwordFile from './password-file.mjs'

export default async function contest({ gnatmq, argument }) {
  const { CertificateAuthority, ServerCertificate, tcp, tls, webSocket } = gnatmq
  const authority = await CertificateAuthority.create({ name: 'Contest CA' })
  const { cert, key } = await authority.issueServer({ name: 'localhost' })
  const certificate = ServerCertificate.fromPem({ cert, key })
  const host = '127.0.0.1'
  return {
    listeners: [tcp({ port: 0, host }), webSocket({ port: 0, host }), tls({ port: 0, host, certificate })],
    ...(await passwordFile({ gnatmq, argument })),
  }
}
