// A listener for TCP, and one for TLS with a certificate for localhost. The argument is not used.
export default async function tls({ gnatmq }) {
  const authority = await gnatmq.CertificateAuthority.create({ name: 'Abuse CA' })
  const { cert, key } = await authority.issueServer({ name: 'localhost' })
  const certificate = gnatmq.ServerCertificate.fromPem({ cert, key })
  return {
    listeners: [gnatmq.tcp({ port: 0, host: '127.0.0.1' }), gnatmq.tls({ port: 0, host: '127.0.0.1', certificate })],
  }
}
