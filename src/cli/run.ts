import { X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { parseOptions, UsageError, wholeNumber } from './arguments'
import { clientLines } from './client-lines'
import type { Command, CommandContext, Library } from './command'
import { hostNames, isLoopback, isWildcard } from './host-names'
import { dataDirectory, keptCertificate } from './kept-certificate'
import type { Terminal } from './terminal'

const options = {
  port: { type: 'string' },
  host: { type: 'string' },
  plain: { type: 'boolean' },
  'allow-anonymous': { type: 'boolean' },
  pfx: { type: 'string' },
  password: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  'ssl-protocol': { type: 'string' },
  users: { type: 'string' },
  data: { type: 'string' },
} as const

type Values = ReturnType<typeof parseOptions<typeof options>>['values']
type Certificate = Library['ServerCertificate']['prototype']

/** A certificate, and the file of its CA where that is known. */
interface Identity {
  certificate: Certificate
  caPath: string | undefined
  /** Reads the certificate anew; one that gnatmq made itself is renewed when its time is nearly over. */
  read: () => Promise<Certificate>
  /** Whether gnatmq made the certificate itself. */
  own: boolean
}

type Broker = Library['MqttBroker']['prototype']

const dayMs = 86_400_000

/** `gnatmq`: runs a broker until it is asked to stop. */
export const run: Command = {
  help: `gnatmq [options]                  runs an MQTT broker
gnatmq cert ca|server|client      makes certificates: see "gnatmq cert --help"
gnatmq passwd FILE USER           keeps a password file: see "gnatmq passwd --help"

The broker speaks TLS. Without a certificate it makes a CA and a server certificate for this machine, keeps both,
and prints how clients connect.

  --port N            port (default: 8883, with --plain 1883; 0: any that is free)
  --host HOST         host name or address to listen on (default: all; with --plain this machine only)
  --pfx FILE          certificate and private key in one PFX file
  --cert FILE         certificate, PEM or DER
  --key FILE          its private key
  --password P        password of the PFX file or of the private key
  --ssl-protocol P    TLSv1_0 to TLSv1_3: that version only; or a range, such as TLSv1_2-TLSv1_3 (the default)
  --users FILE        password file: only its users may connect
  --data DIR          where a made certificate is kept (default: ~/.local/share/gnatmq)
  --plain             MQTT without TLS
  --allow-anonymous   lets --plain listen beyond this machine without --users, and ends the warning about that
  --version           prints the version
  --help              prints this`,

  async run(args, context) {
    const { values } = parseOptions(args, options)
    checkTogether(values)
    const port = wholeNumber(values.port, 'port', 0, 65_535)
    const library = await context.library()
    const sslProtocol = sslProtocolOf(values['ssl-protocol'], library)
    const readUsers = async () =>
      values.users === undefined ? undefined : await library.PasswordFile.read(values.users)
    let users = await readUsers()
    const identity = values.plain ? undefined : await identityOf(values, library, context)
    const listening = { port, host: values.host }
    const broker = new library.MqttBroker({
      certificate: identity?.certificate,
      sslProtocol,
      listeners: [identity === undefined ? library.tcp(listening) : library.tls(listening)],
      // with TLS it is this command that warns
      allowAnonymous: values['allow-anonymous'] ?? identity !== undefined,
      ...(users === undefined
        ? {}
        : { authenticate: (client, { username, password }) => users!.verify(username, password, client) }),
    })
    const stopRequested = context.terminal.stopRequested()
    await startByFlags(broker, values, library)
    warnOfAnonymous(broker, values, context.terminal)
    for (const { protocol, host, port } of broker.addresses) {
      const at = host.includes(':') ? `[${host}]` : host
      context.terminal.print(`gnatmq listens on ${protocol}://${at}:${port}`)
      const reached = clientHost(host, values, identity)
      const lines = clientLines({ host: reached, port, caPath: caPathOf(identity), username: users?.usernames[0] })
      for (const line of lines) context.terminal.print(line)
    }
    const endReload = context.terminal.onReload(() => {
      readUsers().then(
        (read) => (users = read),
        (error) => context.terminal.complain(`gnatmq: the users stay as they were: ${error.message}`),
      )
      if (identity !== undefined) void replaceCertificate(broker, identity, context.terminal)
    })
    const endRenewal = renewDaily(broker, identity, context.terminal)
    await stopRequested
    endRenewal()
    endReload()
    context.terminal.print('gnatmq stops')
    await broker.stop()
  },
}

/** Starts the broker. An error about an option that a flag stands for names the flag. */
async function startByFlags(broker: Broker, { host }: Values, { MqttError }: Library): Promise<void> {
  try {
    await broker.start()
  } catch (cause) {
    if (!(cause instanceof MqttError) || cause.code !== 'GNATMQ_ANONYMOUS_LISTENER') throw cause
    const text = `--plain --host ${host} admits every client: give --users FILE, or --allow-anonymous`
    throw new MqttError(cause.code, text, { cause })
  }
}

/** A broker that clients of other machines reach, and that lets every one of them in. */
function warnOfAnonymous(broker: Broker, values: Values, terminal: Terminal): void {
  if (values.users !== undefined || values['allow-anonymous'] || broker.addresses.every(({ host }) => isLoopback(host)))
    return
  terminal.complain(
    'gnatmq: every client that reaches the broker may connect: give --users FILE, or --allow-anonymous if that is meant',
  )
}

function checkTogether(values: Values): void {
  const { plain, pfx, cert, key, password, users } = values
  const tlsOption = (['pfx', 'cert', 'key', 'password', 'ssl-protocol', 'data'] as const).find(
    (name) => values[name] !== undefined,
  )
  if (plain && tlsOption !== undefined) throw new UsageError(`--plain is without TLS: leave --${tlsOption} out`)
  if (pfx !== undefined && (cert ?? key) !== undefined) {
    throw new UsageError('--pfx holds certificate and key: leave --cert and --key out')
  }
  if ((cert === undefined) !== (key === undefined)) throw new UsageError('--cert and --key belong together')
  if (password !== undefined && pfx === undefined && key === undefined) {
    throw new UsageError('--password opens --pfx or --key: give one of them')
  }
  if (values['allow-anonymous'] && users !== undefined) {
    throw new UsageError('--users admits no client without a password: leave --allow-anonymous out')
  }
}

/** `TLSv1_2` is that version, `TLSv1_2-TLSv1_3` a range. */
function sslProtocolOf(word: string | undefined, { MqttSslProtocols }: Library) {
  if (word === undefined) return undefined
  const names = Object.keys(MqttSslProtocols) as (keyof typeof MqttSslProtocols)[]
  const protocol = (part: string) => {
    const name = names.find((one) => one.toLowerCase() === part.toLowerCase() && one !== 'None')
    if (name === undefined) {
      throw new UsageError(`--ssl-protocol is "${word}": use TLSv1_2, TLSv1_3, or a range such as TLSv1_2-TLSv1_3`)
    }
    return MqttSslProtocols[name]
  }
  const [min, max, ...rest] = word.split('-')
  if (rest.length > 0) throw new UsageError(`--ssl-protocol is "${word}": a range has two ends`)
  return max === undefined ? protocol(min!) : { min: protocol(min!), max: protocol(max) }
}

async function identityOf(values: Values, library: Library, { terminal }: CommandContext): Promise<Identity> {
  const { ServerCertificate } = library
  const { pfx, cert, key, password: passphrase, host } = values
  const files = pfx !== undefined ? { pfx, passphrase } : cert && key ? { cert, key, passphrase } : undefined
  if (files !== undefined) {
    const read = () => ServerCertificate.fromFiles(files)
    return { certificate: await read(), caPath: undefined, read, own: false }
  }
  const directory = resolve(values.data ?? dataDirectory(terminal.environment))
  const kept = () => keptCertificate(directory, hostNames(host), library, terminal)
  return { ...(await kept()), read: async () => (await kept()).certificate, own: true }
}

/** Reads the certificate anew and serves it to new connections. One that cannot be read leaves the old one in place. */
async function replaceCertificate(broker: Broker, identity: Identity, terminal: Terminal): Promise<void> {
  try {
    const certificate = await identity.read()
    if (certificate.fingerprint256 === identity.certificate.fingerprint256) return
    broker.updateCertificate(certificate)
    identity.certificate = certificate
  } catch (error) {
    terminal.complain(`gnatmq: the certificate stays as it was: ${error instanceof Error ? error.message : error}`)
  }
}

/** A broker may run for longer than its certificate is valid. Answers what ends it. */
function renewDaily(broker: Broker, identity: Identity | undefined, terminal: Terminal): () => void {
  if (identity === undefined || !identity.own) return () => undefined
  // a failure is tried again the next day: a certificate is renewed a month before its end
  const timer = setInterval(() => void replaceCertificate(broker, identity, terminal), dayMs)
  timer.unref()
  return () => clearInterval(timer)
}

/** A name that the certificate holds and that leads to the listener. */
function clientHost(address: string, { host }: Values, identity: Identity | undefined): string {
  if (host !== undefined && !isWildcard(host)) return host
  if (identity === undefined || identity.caPath !== undefined) return isWildcard(address) ? 'localhost' : address
  const names = new X509Certificate(identity.certificate.cert).subjectAltName ?? ''
  return /(?:DNS|IP Address):([^*\s,]+)/.exec(names)?.[1] ?? 'HOST'
}

/** Clients of a certificate that was given trust a CA that only its owner knows. */
const caPathOf = (identity: Identity | undefined): string | undefined => identity && (identity.caPath ?? 'CA.pem')
