/** A certificate for localhost by a CA that lasts as long as this run. */
export async function makeCertificate(dist) {
  const { CertificateAuthority } = await import(dist)
  const authority = await CertificateAuthority.create({ name: 'Benchmark CA', days: 2 })
  const issued = await authority.issueServer({ name: 'localhost', days: 1 })
  return { ca: authority.cert, cert: issued.cert, key: issued.key }
}
