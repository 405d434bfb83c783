import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Certificates for tests, made by the openssl of the machine in a folder that goes with the process. */

export interface IssuedCertificate {
  /** PEM. */
  cert: string
  /** PEM, PKCS#8, not encrypted. */
  key: string
  certFile: string
  keyFile: string
}

export interface IssueOptions {
  /** Default: `ec`. */
  key?: 'rsa' | 'ec'
  /** Default: a day ago, and in a year. */
  from?: Date
  to?: Date
  /** subjectAltName in openssl's words. Default for a server: `DNS:localhost,IP:127.0.0.1,IP:::1`. */
  names?: string
}

const day = 86_400_000
const folder = mkdtempSync(join(tmpdir(), 'gnatmq-certificates-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let made = 0

export function openssl(...args: string[]): Buffer {
  return execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** The name of a new file with this content. */
export function temporaryFile(content: string | Uint8Array, extension = 'pem'): string {
  const file = join(folder, `file-${++made}.${extension}`)
  writeFileSync(file, content)
  return file
}

/** A CA: a root, or signed by another one. */
export class TestAuthority {
  /** PEM. */
  readonly cert: string
  readonly certFile: string
  readonly keyFile: string
  readonly #config: string

  constructor(name: string, options: { key?: 'rsa' | 'ec'; issuer?: TestAuthority } = {}) {
    const directory = join(folder, `ca-${++made}`)
    mkdirSync(directory)
    this.certFile = join(directory, 'ca.pem')
    this.keyFile = join(directory, 'ca.key')
    this.#config = join(directory, 'ca.cnf')
    writeFileSync(join(directory, 'index.txt'), '')
    writeFileSync(join(directory, 'serial'), '1000\n')
    writeFileSync(join(directory, 'crlnumber'), '01\n')
    writeFileSync(this.#config, configuration(directory))
    const usage = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash'
    if (options.issuer !== undefined) {
      const issued = options.issuer.issue(name, usage, options)
      writeFileSync(this.certFile, issued.cert)
      writeFileSync(this.keyFile, issued.key)
    } else {
      makeKey(this.keyFile, options.key)
      const extensions = usage.split('\n').flatMap((line) => ['-addext', line])
      openssl(
        'req',
        '-x509',
        '-config',
        this.#config,
        '-new',
        '-key',
        this.keyFile,
        '-subj',
        `/CN=${name}`,
        '-days',
        '30',
        '-out',
        this.certFile,
        ...extensions,
      )
    }
    this.cert = readFileSync(this.certFile, 'utf8')
  }

  server(name = 'localhost', options: IssueOptions = {}): IssuedCertificate {
    const names = options.names ?? 'DNS:localhost,IP:127.0.0.1,IP:::1'
    return this.issue(name, `subjectAltName=${names}\nextendedKeyUsage=serverAuth`, options)
  }

  client(name: string, options: IssueOptions = {}): IssuedCertificate {
    return this.issue(name, 'extendedKeyUsage=clientAuth', options)
  }

  issue(name: string, extensions: string, options: IssueOptions = {}): IssuedCertificate {
    const base = join(folder, `issued-${++made}`)
    const files = { key: `${base}.key`, request: `${base}.csr`, cert: `${base}.pem`, extensions: `${base}.ext` }
    makeKey(files.key, options.key)
    writeFileSync(files.extensions, `${extensions}\n`)
    openssl('req', '-new', '-config', this.#config, '-key', files.key, '-subj', `/CN=${name}`, '-out', files.request)
    const from = stamp(options.from ?? new Date(Date.now() - day))
    const to = stamp(options.to ?? new Date(Date.now() + 365 * day))
    openssl(
      'ca',
      '-batch',
      '-notext',
      '-config',
      this.#config,
      '-in',
      files.request,
      '-out',
      files.cert,
      '-extfile',
      files.extensions,
      '-startdate',
      from,
      '-enddate',
      to,
    )
    return {
      cert: readFileSync(files.cert, 'utf8'),
      key: readFileSync(files.key, 'utf8'),
      certFile: files.cert,
      keyFile: files.key,
    }
  }

  revoke(issued: IssuedCertificate): void {
    openssl('ca', '-batch', '-config', this.#config, '-revoke', issued.certFile)
  }

  /** The revocation list of now, PEM. */
  revocationList(): string {
    return openssl('ca', '-batch', '-config', this.#config, '-gencrl').toString()
  }
}

/** A PFX. `legacy`: RC2-40 and Triple DES with SHA-1, as old Windows tools write it. */
export function makePfx(
  issued: IssuedCertificate,
  password: string,
  options: { legacy?: boolean; chain?: readonly string[]; flags?: readonly string[] } = {},
): Buffer {
  const chain = options.chain === undefined ? [] : ['-certfile', temporaryFile(options.chain.join(''))]
  const legacy = options.legacy ? ['-legacy'] : []
  return openssl(
    'pkcs12',
    '-export',
    '-inkey',
    issued.keyFile,
    '-in',
    issued.certFile,
    ...chain,
    ...legacy,
    ...(options.flags ?? []),
    '-passout',
    `pass:${password}`,
  )
}

/** DER of a PEM certificate, key or revocation list. */
export function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
}

function makeKey(file: string, kind: 'rsa' | 'ec' = 'ec'): void {
  const algorithm =
    kind === 'rsa' ? ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'] : ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256']
  openssl('genpkey', '-algorithm', ...algorithm, '-out', file)
}

/** YYYYMMDDHHMMSSZ */
const stamp = (date: Date): string => `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`

const configuration = (directory: string): string => `
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
[ca]
default_ca = authority
[authority]
database = ${directory}/index.txt
serial = ${directory}/serial
crlnumber = ${directory}/crlnumber
new_certs_dir = ${directory}
certificate = ${directory}/ca.pem
private_key = ${directory}/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = policy
unique_subject = no
[policy]
commonName = supplied
`
