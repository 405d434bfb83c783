import { X509Certificate } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Library } from './command'
import type { Terminal } from './terminal'

type Authority = Awaited<ReturnType<Library['CertificateAuthority']['load']>>

/** A server certificate that is made once and kept. */
export interface KeptCertificate {
  certificate: Library['ServerCertificate']['prototype']
  /** File of the CA that clients trust. */
  caPath: string
}

const renewalMs = 30 * 86_400_000

/** Where made certificates are kept unless `--data` says another place. */
export function dataDirectory(environment: NodeJS.ProcessEnv): string {
  return join(environment['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'gnatmq')
}

/**
 * The server certificate of this machine and the CA that signed it, made the first time. The server certificate is
 * made anew when it expires soon or lacks one of `hosts`; the CA, which clients hold a copy of, when it expires soon.
 */
export async function keptCertificate(
  directory: string,
  hosts: readonly string[],
  library: Library,
  terminal: Terminal,
): Promise<KeptCertificate> {
  const kept = join(directory, 'tls')
  const caPath = join(kept, 'ca.pem')
  const serverPath = join(kept, 'server.pem')
  const authority = await keptAuthority(directory, kept, library, terminal)
  let server = await contentOf(serverPath)
  if (server === undefined || !isGood(server, hosts, authority.cert)) {
    // One file for certificate and key, so that a broker which starts meanwhile finds two that belong together.
    server = await serverPem(authority, hosts)
    await replaceSecret(serverPath, server)
    terminal.print(`made a server certificate for ${hosts.join(', ')}`)
  }
  return { certificate: library.ServerCertificate.fromPem({ cert: certificateIn(server), key: keyIn(server) }), caPath }
}

async function keptAuthority(
  directory: string,
  kept: string,
  library: Library,
  terminal: Terminal,
): Promise<Authority> {
  const cert = await contentOf(join(kept, 'ca.pem'))
  if (cert === undefined) return makeAuthority(directory, kept, library, terminal)
  if (expiresSoon(cert)) {
    await rename(kept, `${kept}-until-${new Date().toISOString().slice(0, 10)}-${process.pid}`)
    terminal.print('the Certificate Authority expires: clients need a copy of the new one')
    return makeAuthority(directory, kept, library, terminal)
  }
  return loadAuthority(cert, kept, library)
}

async function loadAuthority(cert: string, kept: string, { CertificateAuthority, MqttError }: Library) {
  try {
    return await CertificateAuthority.load({ cert, key: await readFile(join(kept, 'ca.key')) })
  } catch (error) {
    if (!(error instanceof MqttError)) throw error
    const advice = `restore the files in ${kept}, or remove them to have a new CA made`
    throw new MqttError(error.code, `${error.message}: ${advice}`, { cause: error })
  }
}

/** In a folder of its own that gets its name when all is in it: of two brokers that start together, one's CA stays. */
async function makeAuthority(
  directory: string,
  kept: string,
  library: Library,
  terminal: Terminal,
): Promise<Authority> {
  const authority = await library.CertificateAuthority.create({ name: 'gnatmq CA' })
  await mkdir(directory, { recursive: true })
  const fresh = await mkdtemp(join(directory, 'tls-'))
  await writeFile(join(fresh, 'ca.key'), authority.key, { mode: 0o600 })
  await writeFile(join(fresh, 'ca.pem'), authority.cert, { mode: 0o644 })
  await chmod(fresh, 0o755)
  try {
    await rename(fresh, kept)
  } catch (error) {
    await rm(fresh, { recursive: true })
    const cert = await contentOf(join(kept, 'ca.pem'))
    if (cert === undefined) throw error
    return loadAuthority(cert, kept, library)
  }
  terminal.print(`made a Certificate Authority in ${kept}`)
  return authority
}

async function serverPem(authority: Authority, hosts: readonly string[]): Promise<string> {
  const issued = await authority.issueServer({ name: hosts[0]!, hosts })
  return issued.key + issued.cert
}

function isGood(server: string, hosts: readonly string[], ca: string): boolean {
  try {
    const certificate = new X509Certificate(certificateIn(server))
    const authority = new X509Certificate(ca)
    return (
      !expiresSoon(server) &&
      certificate.checkIssued(authority) &&
      certificate.verify(authority.publicKey) &&
      hosts.every((host) => (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined)
    )
  } catch {
    return false
  }
}

/** False for what is no certificate: that has an error of its own, later. */
function expiresSoon(pem: string): boolean {
  try {
    const { validFrom, validTo } = new X509Certificate(certificateIn(pem))
    return Date.parse(validTo) - Date.now() < renewalMs || Date.parse(validFrom) > Date.now()
  } catch {
    return false
  }
}

const certificateIn = (pem: string): string => pem.slice(Math.max(0, pem.indexOf('-----BEGIN CERTIFICATE-----')))

const keyIn = (pem: string): string => pem.slice(0, Math.max(0, pem.indexOf('-----BEGIN CERTIFICATE-----')))

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function replaceSecret(path: string, content: string): Promise<void> {
  const temporary = `${path}.${process.pid}.new`
  await rm(temporary, { force: true })
  await writeFile(temporary, content, { flag: 'wx', mode: 0o600 })
  await rename(temporary, path)
}
