import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  type Client,
  MqttBroker,
  type MqttBrokerOptions,
  type MqttError,
  MqttSslProtocols,
  ServerCertificate,
} from '../src/index'
import { runCli, temporaryFolder } from './cli/recorded-terminal'
import { ClientProcess } from './interop/client-process'
import { skipped, type Target } from './interop/foreign-clients'
import { connectionArguments, mosquitto } from './interop/mosquitto'
import { connected, mqttJsClient, nextMessage } from './interop/mqtt-js'
import { nextEvent } from './support/broker-event'
import { type IssuedCertificate, makePfx, openssl, TestAuthority, temporaryFile } from './support/certificates'
import { opensslClient } from './transport/tls-listening'

const { TLSv1_0, TLSv1_1, TLSv1_2, TLSv1_3, SSLv3 } = MqttSslProtocols
const withoutMosquitto = skipped('mosquitto_sub in the walk-through', mosquitto.missing)
const password = '<password>'

const brokers: MqttBroker[] = []
afterEach(async () => {
  await Promise.all(brokers.splice(0).map((broker) => broker.stop()))
})

/** Starts a broker that stops after its test. */
async function started(broker: MqttBroker): Promise<MqttBroker> {
  brokers.push(broker)
  await broker.start()
  return broker
}

const secure = (port: number, caFile: string): Target => ({ version: 4, host: 'localhost', port, caFile })

/** One who subscribes and one who publishes, both with the CA and nothing else, find each other. */
async function mqttJsTalks(broker: MqttBroker, caFile: string): Promise<void> {
  const subscriber = await connected(secure(broker.port, caFile))
  await subscriber.subscribeAsync('lamp/+', { qos: 1 })
  const message = nextMessage(subscriber)
  const publisher = await connected(secure(broker.port, caFile))
  await publisher.publishAsync('lamp/1', 'on', { qos: 1 })
  expect(await message).toEqual(['lamp/1', 'on'])
}

async function mosquittoTalks(broker: MqttBroker, caFile: string): Promise<void> {
  const connection = connectionArguments(secure(broker.port, caFile))
  const subscribed = nextEvent(broker, 'subscribed')
  const subscriber = new ClientProcess('mosquitto_sub', [...connection, '-t', 'lamp/+', '-q', '1', '-C', '1', '-v'])
  await subscribed
  await new ClientProcess('mosquitto_pub', [...connection, '-t', 'lamp/1', '-m', 'on', '-q', '1']).succeeded()
  await subscriber.succeeded()
  expect(subscriber.lines).toEqual(['lamp/1 on'])
}

describe('the walk-through', () => {
  let folder: string
  let caFile: string
  let pfxFile: string

  beforeAll(async () => {
    folder = await temporaryFolder()
    caFile = join(folder, 'MyCARoot.pem')
    pfxFile = join(folder, 'GnatMQ.pfx')
    const commands = [
      ['cert', 'ca', '--name', 'MyCARoot', '--bits', '4096', '--hash', 'sha512', '--password', 'of the CA'],
      [
        ...['cert', 'server', '--name', 'localhost', '--bits', '2048', '--ca', caFile],
        ...['--ca-key', join(folder, 'MyCARoot.key'), '--ca-password', 'of the CA'],
        ...['--pfx', pfxFile, '--password', password],
      ],
    ]
    for (const command of commands) {
      const run = await runCli([...command, '--out', folder])
      expect(run).toMatchObject({ code: 0, errors: '' })
    }
  }, 60_000)

  it('makes a CA as makecert did: MyCARoot, RSA 4096, SHA-512, a password on its key', async () => {
    const text = openssl('x509', '-in', caFile, '-noout', '-text').toString()
    expect(text).toMatch(/Subject: CN ?= ?MyCARoot/)
    expect(text).toContain('Public-Key: (4096 bit)')
    expect(text).toContain('sha512WithRSAEncryption')
    const key = join(folder, 'MyCARoot.key')
    expect(() => openssl('pkey', '-in', key, '-noout', '-passin', 'pass:wrong')).toThrow()
    openssl('pkey', '-in', key, '-noout', '-passin', 'pass:of the CA')
  })

  it('constructs the broker from the PFX and one protocol, and MQTT.js with the CA talks over it', async () => {
    const certificate = ServerCertificate.fromPfx(await readFile(pfxFile), password)
    const broker = await started(new MqttBroker(certificate, TLSv1_2, { port: 0 }))
    const clients: Client[] = []
    broker.on('clientConnected', (client) => clients.push(client))
    await mqttJsTalks(broker, caFile)
    expect(clients.map(({ tlsVersion }) => tlsVersion)).toEqual(['TLSv1.2', 'TLSv1.2'])
    expect(clients[0]!.servername).toBe('localhost')
  })

  it.skipIf(withoutMosquitto)('is the same for mosquitto_sub and mosquitto_pub with --cafile', async () => {
    const certificate = ServerCertificate.fromPfx(await readFile(pfxFile), password)
    await mosquittoTalks(await started(new MqttBroker(certificate, TLSv1_2, { port: 0, host: '127.0.0.1' })), caFile)
  })

  it('says that the password of the PFX is wrong, or missing', async () => {
    const bytes = await readFile(pfxFile)
    const code = 'GNATMQ_CERTIFICATE_PASSPHRASE'
    expect(() => ServerCertificate.fromPfx(bytes, 'wrong')).toThrow(expect.objectContaining({ code }))
    expect(() => ServerCertificate.fromPfx(bytes)).toThrow(expect.objectContaining({ code }))
  })

  it('lets only TLS clients in', async () => {
    const certificate = ServerCertificate.fromPfx(await readFile(pfxFile), password)
    const broker = await started(new MqttBroker(certificate, TLSv1_2, { port: 0, host: '127.0.0.1' }))
    const errors: MqttError[] = []
    broker.on('clientError', (error) => errors.push(error))
    const socket = connect(broker.port, '127.0.0.1')
    const answer: Buffer[] = []
    socket.on('data', (bytes) => answer.push(bytes))
    socket.on('error', () => undefined)
    // CONNECT of MQTT 3.1.1, as a plain client sends it
    socket.write(Buffer.from('101300044d5154540402003c0007706c61696e2d31', 'hex'))
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    // a TLS alert at the most, and no CONNACK
    expect(Buffer.concat(answer).subarray(0, 1).toString('hex')).toMatch(/^(15)?$/)
    expect(errors.map(({ code }) => code)).toEqual(['GNATMQ_TLS_HANDSHAKE'])
    expect(broker.clients.size).toBe(0)
    await mqttJsTalks(broker, caFile)
  })

  it('works with a PFX of the old tools: RC2-40 and Triple DES with SHA-1', async () => {
    const authority = new TestAuthority('MyCARoot', { key: 'rsa' })
    const pfx = makePfx(authority.server('localhost', { key: 'rsa' }), password, {
      legacy: true,
      chain: [authority.cert],
    })
    // pbeWithSHAAnd40BitRC2-CBC (RFC 7292, appendix C)
    expect(pfx.includes(Buffer.from('2a864886f70d010c0106', 'hex'))).toBe(true)
    const certificate = ServerCertificate.fromPfx(pfx, password)
    const broker = await started(new MqttBroker(certificate, TLSv1_2, { port: 0, host: '127.0.0.1' }))
    await mqttJsTalks(broker, temporaryFile(authority.cert))
    if (!withoutMosquitto) await mosquittoTalks(broker, temporaryFile(authority.cert))
  })
})

describe('MqttSslProtocols', () => {
  const authority = new TestAuthority('MyCARoot', { key: 'rsa' })
  const certificate = ServerCertificate.fromPem(authority.server('localhost', { key: 'rsa' }))
  const caFile = temporaryFile(authority.cert)
  const flags = { TLSv1: '-tls1', 'TLSv1.1': '-tls1_1', 'TLSv1.2': '-tls1_2', 'TLSv1.3': '-tls1_3' }
  const trusting = ['-CAfile', caFile, '-verify_return_error', '-verify_hostname', 'localhost']

  /** The versions of `openssl s_client` that get through the handshake. */
  async function negotiated(port: number): Promise<string[]> {
    const versions: string[] = []
    for (const [version, flag] of Object.entries(flags)) {
      const run = await opensslClient(port, flag, ...trusting, '-cipher', 'ALL:@SECLEVEL=0')
      if (run.connected) versions.push(version)
    }
    return versions
  }

  it.each([
    [TLSv1_0, ['TLSv1']],
    [TLSv1_1, ['TLSv1.1']],
    [TLSv1_2, ['TLSv1.2']],
    [TLSv1_3, ['TLSv1.3']],
  ])('%s negotiates with %j and refuses the others', async (protocol, versions) => {
    const broker = await started(new MqttBroker(certificate, protocol, { port: 0, host: '127.0.0.1' }))
    expect(await negotiated(broker.port)).toEqual(versions)
  })

  it('as a range negotiates with all between its ends', async () => {
    const range = { min: TLSv1_0, max: TLSv1_2 }
    const broker = await started(new MqttBroker(certificate, range, { port: 0, host: '127.0.0.1' }))
    expect(await negotiated(broker.port)).toEqual(['TLSv1', 'TLSv1.1', 'TLSv1.2'])
  })

  it('without a word means TLS 1.2 and 1.3', async () => {
    const broker = await started(new MqttBroker({ certificate, port: 0, host: '127.0.0.1' }))
    expect(await negotiated(broker.port)).toEqual(['TLSv1.2', 'TLSv1.3'])
  })

  it.each([
    [TLSv1_0, 'TLSv1'],
    [TLSv1_1, 'TLSv1.1'],
    [TLSv1_3, 'TLSv1.3'],
  ] as const)('%s carries MQTT', async (protocol, version) => {
    const broker = await started(new MqttBroker(certificate, protocol, { port: 0, host: '127.0.0.1' }))
    const accepted = nextEvent(broker, 'clientConnected')
    const client = await connected(secure(broker.port, caFile), {
      minVersion: version,
      maxVersion: version,
      ciphers: 'DEFAULT:@SECLEVEL=0',
    })
    const [seen] = await accepted
    expect(seen.tlsVersion).toBe(version)
    await client.publishAsync('lamp/1', 'on', { qos: 2 })
  })

  it('SSLv3 throws from the constructor, and says what to use', () => {
    expect(() => new MqttBroker(certificate, SSLv3)).toThrow(
      expect.objectContaining({ code: 'GNATMQ_SSL_PROTOCOL_UNSUPPORTED', message: expect.stringContaining('TLSv1_2') }),
    )
  })
})

describe('client certificates', () => {
  const authority = new TestAuthority('MyCARoot')
  const clients = new TestAuthority('Client CA')
  const certificate = ServerCertificate.fromPem(authority.server('localhost'))
  const caFile = temporaryFile(authority.cert)
  const good = clients.client('good')
  const revoked = clients.client('revoked')
  const stranger = new TestAuthority('Other CA').client('stranger')
  clients.revoke(revoked)
  const crl = clients.revocationList()
  const checked = { ca: clients.cert, crl }

  /** `accepted` and the name in the certificate, or why not, as the broker tells it. */
  async function judged(options: MqttBrokerOptions, client: IssuedCertificate | undefined): Promise<string> {
    const broker = await started(new MqttBroker({ certificate, port: 0, host: '127.0.0.1', ...options }))
    const verdict = new Promise<string>((resolve) => {
      broker.on('clientConnected', ({ certificate }) => resolve(`accepted ${certificate?.subject.CN}`))
      broker.on('clientError', ({ code, message }) => resolve(`${code}: ${message}`))
    })
    const identity = client === undefined ? {} : { cert: client.cert, key: client.key }
    const mqtt = mqttJsClient(secure(broker.port, caFile), identity)
    const outcome = await Promise.race([
      new Promise((resolve) => mqtt.once('connect', () => resolve('accepted'))),
      new Promise((resolve) => mqtt.once('close', () => resolve('refused'))),
    ])
    const said = await verdict
    expect(outcome).toBe(said.startsWith('accepted') ? 'accepted' : 'refused')
    return said
  }

  it('are accepted when their CA is trusted', async () => {
    expect(await judged(checked, good)).toBe('accepted good')
  })

  it.each([
    ['of another CA', stranger, /its CA is not in ca/],
    ['that are missing', undefined, /sent no certificate/],
    ['that are revoked', revoked, /revocation list/],
  ])('%s are refused', async (_what, client, reason) => {
    const verdict = await judged(checked, client)
    expect(verdict).toMatch(/^GNATMQ_CERTIFICATE_REFUSED: /)
    expect(verdict).toMatch(reason)
  })

  it('may be left out where none is required', async () => {
    expect(await judged({ ...checked, requireCertificate: false }, undefined)).toBe('accepted undefined')
  })

  it('are refused by checkServerIdentity though the chain is good', async () => {
    const verdict = await judged({ ...checked, checkServerIdentity: () => new Error('not in the mood') }, good)
    expect(verdict).toMatch(/^GNATMQ_CERTIFICATE_REFUSED: .*not in the mood/)
  })

  it('are refused when checkServerIdentity throws', async () => {
    const checkServerIdentity = () => {
      throw new Error('broken hook')
    }
    expect(await judged({ ...checked, checkServerIdentity }, good)).toMatch(/^GNATMQ_CERTIFICATE_REFUSED: /)
  })

  it('are accepted by checkServerIdentity against the error of the chain', async () => {
    const options: MqttBrokerOptions = {
      ...checked,
      checkServerIdentity: (hostname, { subject }, { authorized, authorizationError }) =>
        hostname === 'localhost' && subject.CN === 'stranger' && !authorized && authorizationError !== undefined
          ? undefined
          : new Error('another'),
    }
    expect(await judged(options, stranger)).toBe('accepted stranger')
    expect(await judged(options, good)).toMatch(/^GNATMQ_CERTIFICATE_REFUSED: /)
  })

  it.skipIf(withoutMosquitto)('are what mosquitto_pub sends with --cert and --key', async () => {
    const broker = await started(new MqttBroker({ certificate, port: 0, host: '127.0.0.1', ...checked }))
    const publish = (client: IssuedCertificate) => {
      const identity = ['--cert', client.certFile, '--key', client.keyFile]
      const message = ['-t', 'a', '-m', 'b', '-q', '1']
      return new ClientProcess('mosquitto_pub', [
        ...connectionArguments(secure(broker.port, caFile)),
        ...identity,
        ...message,
      ])
    }
    await publish(good).succeeded()
    await expect(publish(revoked).succeeded()).rejects.toThrow('ended with')
  })
})

describe('SNICallback and updateCertificate', () => {
  const authority = new TestAuthority('MyCARoot')
  const caFile = temporaryFile(authority.cert)
  const first = authority.server('localhost', { names: 'DNS:localhost' })
  const second = authority.server('broker.test', { names: 'DNS:broker.test' })

  /** The Common Name of the certificate that a client of this name verifies. */
  async function served(port: number, servername: string): Promise<string> {
    const run = await opensslClient(
      port,
      ...['-CAfile', caFile, '-servername', servername, '-verify_hostname', servername, '-verify_return_error'],
    )
    expect(run).toMatchObject({ connected: true })
    return /subject=CN ?= ?(\S+)/.exec(run.output)?.[1] ?? ''
  }

  it('serve two names from one port', async () => {
    const contexts: Record<string, IssuedCertificate> = { localhost: first, 'broker.test': second }
    const broker = await started(
      new MqttBroker({
        certificate: ServerCertificate.fromPem(first),
        port: 0,
        host: '127.0.0.1',
        SNICallback: (servername, done) => done(null, createSecureContext(contexts[servername] ?? first)),
      }),
    )
    expect(await served(broker.port, 'localhost')).toBe('localhost')
    expect(await served(broker.port, 'broker.test')).toBe('broker.test')
    const accepted = nextEvent(broker, 'clientConnected')
    await connected(secure(broker.port, caFile), { host: '127.0.0.1', servername: 'broker.test' })
    const [client] = await accepted
    expect(client.servername).toBe('broker.test')
  })

  it('serve a new certificate without a restart, while old connections live on', async () => {
    const options = { port: 0, host: '127.0.0.1' }
    const broker = await started(new MqttBroker(ServerCertificate.fromPem(first), TLSv1_3, options))
    const old = await connected(secure(broker.port, caFile))
    const renewed = authority.server('renewed', { names: 'DNS:localhost' })
    broker.updateCertificate(ServerCertificate.fromPem(renewed))
    expect(await served(broker.port, 'localhost')).toBe('renewed')
    await old.subscribeAsync('a')
    const message = nextMessage(old)
    const fresh = await connected(secure(broker.port, caFile))
    await fresh.publishAsync('a', 'still here', { qos: 1 })
    expect(await message).toEqual(['a', 'still here'])
    expect(broker.clients.size).toBe(2)
  })

  it('keep the certificate that is served when the new one has expired', async () => {
    const options = { port: 0, host: '127.0.0.1' }
    const broker = await started(new MqttBroker(ServerCertificate.fromPem(first), TLSv1_3, options))
    const expired = authority.server('localhost', { from: new Date('2020-01-01'), to: new Date('2021-01-01') })
    expect(() => broker.updateCertificate(ServerCertificate.fromPem(expired))).toThrow(
      expect.objectContaining({ code: 'GNATMQ_CERTIFICATE_EXPIRED' }),
    )
    expect(await served(broker.port, 'localhost')).toBe('localhost')
  })

  it('serve the new certificate after stop and start too', async () => {
    const options = { port: 0, host: '127.0.0.1' }
    const broker = await started(new MqttBroker(ServerCertificate.fromPem(first), TLSv1_3, options))
    broker.updateCertificate(ServerCertificate.fromPem(authority.server('renewed', { names: 'DNS:localhost' })))
    await broker.stop()
    await broker.start()
    expect(await served(broker.port, 'localhost')).toBe('renewed')
  })
})
