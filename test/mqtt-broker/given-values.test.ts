import { describe, expect, it } from 'vitest'
import {
  type Client,
  type ClientDisconnectOptions,
  inProcess,
  MemoryStore,
  MqttBroker,
  type MqttBrokerOptions,
  type MqttError,
  ServerCertificate,
  tcp,
  tls,
  webSocket,
} from '../../src/index'
import { silentLogger } from '../../src/ports/logger'
import { connectClient, openClient, startBroker } from '../support/broker'
import { nextEvent } from '../support/broker-event'
import { TestAuthority } from '../support/certificates'

const authority = new TestAuthority('CA of the values')
const pem = authority.server('localhost')
const certificate = ServerCertificate.fromPem(pem)
const invalid = 'GNATMQ_OPTION_INVALID'
const unknown = 'GNATMQ_OPTION_UNKNOWN'
const longString = 'x'.repeat(65_536)
// biome-ignore lint/suspicious/noSparseArray: that is what is given
const sparse = [, tcp({ port: 0 })]
const throwing = (name: string): object =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get: () => {
      throw new RangeError('of the getter')
    },
  })

/** Code and message of what a call throws or rejects with. */
async function failure(call: () => unknown): Promise<[name: string, code: string, message: string] | undefined> {
  try {
    await call()
    return undefined
  } catch (error) {
    const { name, code, message } = error as MqttError
    return [name, code, message]
  }
}

type Row = [title: string, code: string, words: string, call: () => unknown]

/** Runs every row, and compares all at once. */
async function expectFailures(rows: Row[]): Promise<void> {
  const failures: unknown[] = []
  for (const [title, , , call] of rows) failures.push([title, ...((await failure(call)) ?? ['passed'])])
  expect(failures).toEqual(
    rows.map(([title, code, words]) => [title, 'MqttError', code, expect.stringContaining(words)]),
  )
}

const broker = (...given: unknown[]): MqttBroker => new MqttBroker(...(given as [MqttBrokerOptions]))

describe('the options of a broker', () => {
  it('are refused by name', async () => {
    const { open: _open, ...lacking } = {
      open: () => undefined,
      close: () => undefined,
      commit: () => undefined,
      sessions: () => [],
      retained: () => [],
      queue: () => [],
      held: () => [],
    }
    const bad: [title: string, code: string, words: string, options: unknown][] = [
      ['an array', invalid, 'options', []],
      ['a misspelt option', unknown, 'did you mean listeners', { listners: [] }],
      ['a misspelt limit', unknown, 'did you mean receiveMaximum', { limits: { recieveMaximum: 1 } }],
      ['a getter that throws', invalid, 'of the getter', throwing('port')],
      ['a getter in limits that throws', invalid, 'of the getter', { limits: throwing('receiveMaximum') }],
      ['port null', invalid, 'port', { port: null }],
      ['port NaN', invalid, 'port', { port: Number.NaN }],
      ['an empty host', invalid, 'host', { host: '' }],
      ['a host with U+0000', invalid, 'host', { host: 'a\0' }],
      ['a sparse array of listeners', invalid, 'listeners', { listeners: sparse }],
      ['a listener that is none', invalid, 'listeners', { listeners: [tcp] }],
      ['listeners null', invalid, 'listeners', { listeners: null }],
      ['a store that lacks open', invalid, 'store', { store: lacking }],
      ['a store class', invalid, 'store', { store: MemoryStore }],
      ['a logger without error', invalid, 'logger', { logger: { info: () => undefined, warn: () => undefined } }],
      ['a clock that is none', invalid, 'clock', { clock: Date }],
      ['limits null', invalid, 'limits', { limits: null }],
      ['an array of limits', invalid, 'limits', { limits: [] }],
      ['a limit of NaN', invalid, 'limits.maximumSessions', { limits: { maximumSessions: Number.NaN } }],
      ['a limit of null', invalid, 'limits.maximumSessions', { limits: { maximumSessions: null } }],
      ['a negative limit', invalid, 'limits.maximumQueuedBytes', { limits: { maximumQueuedBytes: -1 } }],
      ['maximumQoS null', invalid, 'maximumQoS', { maximumQoS: null }],
      ['queueOverflow null', invalid, 'queueOverflow', { queueOverflow: null }],
      ['an Authentication Method that is none', invalid, 'authenticationMethods', { authenticationMethods: { A: 1 } }],
      ['hooks null', invalid, 'authorizePublish', { authorizePublish: null }],
      ['stopTimeout Infinity', invalid, 'stopTimeout', { stopTimeout: Number.POSITIVE_INFINITY }],
    ]
    await expectFailures([
      ...bad.map(([title, code, words, options]): Row => [title, code, words, () => broker(options)]),
      ['the same with start', unknown, 'did you mean port', () => MqttBroker.start({ prot: 0 } as object)],
      ['start(null)', invalid, 'options', () => MqttBroker.start(null as unknown as object)],
      ['a protocol without a certificate', invalid, 'certificate', () => broker({ port: 0 }, 'TLSv1_2')],
      ['options null after a certificate', invalid, 'options', () => broker(certificate, 'TLSv1_2', null)],
      ['a misspelt option after a certificate', unknown, 'port', () => broker(certificate, 'TLSv1_2', { prot: 0 })],
    ])
  })

  it('are those of the moment when they were given', async () => {
    const limits = { maximumConnections: 1 }
    const options = { port: 0, limits, listeners: [tcp({ port: 0 })] }
    const made = new MqttBroker(options)
    options.listeners.length = 0
    await made.start()
    expect(made.addresses).toHaveLength(1)
    ;(made.addresses as unknown[]).length = 0
    expect(made.addresses).toHaveLength(1)
    await made.stop()
  })

  it('userAuth and updateCertificate refuse what is none', async () => {
    const made = broker({ port: 0 })
    for (const value of ['x', undefined, {}])
      expect(() => {
        made.userAuth = value as unknown as null
      }).toThrow(expect.objectContaining({ code: invalid }))
    for (const value of [null, {}, 'x'])
      expect(() => made.updateCertificate(value as unknown as ServerCertificate)).toThrow(
        expect.objectContaining({ code: invalid }),
      )
  })
})

describe('the options of listeners and certificates', () => {
  it('are refused by name', async () => {
    const { fromPem, fromPfx, fromFiles } = ServerCertificate
    const give = (call: unknown, ...given: unknown[]): unknown => (call as (...given: unknown[]) => unknown)(...given)
    const rows: Row[] = [tcp, tls, webSocket].flatMap((listener): Row[] => [
      [`${listener.name} null`, invalid, listener.name, () => give(listener, null)],
      [`${listener.name} a misspelt option`, unknown, 'did you mean port', () => give(listener, { prot: 1 })],
      [`${listener.name} port null`, invalid, 'port', () => give(listener, { port: null })],
      [`${listener.name} port NaN`, invalid, 'port', () => give(listener, { port: Number.NaN })],
      [`${listener.name} host 5`, invalid, 'host', () => give(listener, { host: 5 })],
      [`${listener.name} backlog 2 ** 31`, invalid, 'backlog', () => give(listener, { backlog: 2 ** 31 })],
      [`${listener.name} a getter that throws`, invalid, 'of the getter', () => give(listener, throwing('host'))],
    ])
    const one = inProcess()
    await using running = await MqttBroker.start({ listeners: [one] })
    expect(running.state).toBe('running')
    await expectFailures([
      ...rows,
      ['webSocket origins with a hole', invalid, 'origins', () => give(webSocket, { origins: new Array(1) })],
      ['tls a misspelt TLS option', unknown, 'did you mean ciphers', () => give(tls, { cipher: 'x' })],
      ['connect null', invalid, 'peer', () => give(one.connect.bind(one), null)],
      [
        'connect an address of another type',
        invalid,
        'remoteAddress',
        () => give(one.connect.bind(one), { remoteAddress: 5 }),
      ],
      ['connect a misspelt field', unknown, 'remotePort', () => give(one.connect.bind(one), { remoteport: 5 })],
      ['handle null', invalid, 'stream', () => give(one.handle.bind(one), null)],
      ['handle an object', invalid, 'stream', () => give(one.handle.bind(one), {})],
      ['fromPem null', invalid, 'fromPem', () => give(fromPem, null)],
      ['fromPem a misspelt field', unknown, 'did you mean passphrase', () => give(fromPem, { ...pem, passphrse: 'x' })],
      ['fromPem passphrase 5', invalid, 'passphrase', () => give(fromPem, { ...pem, passphrase: 5 })],
      ['fromPem key null', invalid, 'key', () => give(fromPem, { ...pem, key: null })],
      ['fromPem cert with a hole', invalid, 'cert', () => give(fromPem, { ...pem, cert: new Array(1) })],
      ['fromPem cert 5', invalid, 'cert', () => give(fromPem, { ...pem, cert: 5 })],
      ['fromPfx a string', invalid, 'PFX', () => give(fromPfx, 'server.pfx')],
      ['fromPfx passphrase 5', invalid, 'passphrase', () => give(fromPfx, new Uint8Array(3), 5)],
      ['fromFiles null', invalid, 'fromFiles', () => give(fromFiles, null)],
      ['fromFiles a file descriptor', invalid, 'pfx', () => give(fromFiles, { pfx: 0 })],
      ['fromFiles cert without key', invalid, 'key', () => give(fromFiles, { cert: import.meta.filename })],
      ['fromFiles both', invalid, 'pfx', () => give(fromFiles, { pfx: 'a', cert: 'b', key: 'c' })],
      ['fromFiles a misspelt field', unknown, 'did you mean pfx', () => give(fromFiles, { pfz: 'a' })],
      ['check NaN', invalid, 'wallTimeMs', () => certificate.check(Number.NaN)],
    ])
  })
})

describe('client.disconnect', () => {
  it('refuses what MQTT cannot carry, and the client stays', async () => {
    const running = await startBroker()
    const peer = await connectClient(running, { clientId: 'c', protocolVersion: 5 })
    const client = running.clients.get('c') as Client
    const bad: [title: string, code: string, words: string, reasonCode: unknown, options?: unknown][] = [
      ['a string', invalid, 'reasonCode', '0x98'],
      ['NaN', invalid, 'reasonCode', Number.NaN],
      ['-1', invalid, 'reasonCode', -1],
      ['256', invalid, 'reasonCode', 256],
      ['null', invalid, 'reasonCode', null],
      ['a fraction', invalid, 'reasonCode', 128.5],
      ['options null', invalid, 'disconnect', 0x98, null],
      ['a misspelt option', unknown, 'did you mean reasonString', 0x98, { reasonstring: 'x' }],
      ['a reasonString of another type', invalid, 'reasonString', 0x98, { reasonString: 5 }],
      ['a reasonString of 65,536 bytes', invalid, 'reasonString', 0x98, { reasonString: longString }],
      ['U+0000', invalid, 'reasonString', 0x98, { reasonString: 'a\0' }],
      ['a lone surrogate', invalid, 'serverReference', 0x9c, { serverReference: '\ud800' }],
      ['userProperties as an object', invalid, 'userProperties', 0x98, { userProperties: { a: 'b' } }],
      ['a hole in userProperties', invalid, 'userProperties', 0x98, { userProperties: new Array(1) }],
      ['a getter that throws', invalid, 'of the getter', 0x98, throwing('reasonString')],
      [
        'more than a packet has room for',
        'GNATMQ_PACKET_TOO_LARGE',
        'properties',
        0x98,
        { userProperties: Array.from({ length: 4_097 }, () => ['a', longString.slice(1)]) },
      ],
    ]
    await expectFailures(
      bad.map(
        ([title, code, words, reasonCode, options]): Row => [
          title,
          code,
          words,
          () => client.disconnect(reasonCode as number, options as ClientDisconnectOptions),
        ],
      ),
    )
    expect(client.connected).toBe(true)
    expect(await peer.quiet()).toEqual([])
    client.disconnect(0x98, { reasonString: 'enough' })
    expect(await peer.next('disconnect')).toMatchObject({ reasonCode: 0x98, properties: { reasonString: 'enough' } })
  })
})

describe('the answer of a hook that MQTT cannot carry', () => {
  const denials: [title: string, code: number, denial: unknown][] = [
    ['a reasonString with U+0000', 0x97, { reasonCode: 0x97, reasonString: 'a\0' }],
    ['a reasonString of another type', 0x97, { reasonCode: 0x97, reasonString: 5 }],
    ['a reasonString of 65,536 bytes', 0x97, { reasonCode: 0x97, reasonString: longString }],
    ['userProperties with a hole', 0x97, { reasonCode: 0x97, userProperties: new Array(1) }],
    ['userProperties null', 0x97, { reasonCode: 0x97, userProperties: null }],
    ['a misspelt field', 0x97, { reasonCode: 0x97, reasonstring: 'x' }],
    ['reasonCode NaN', 0x87, { reasonCode: Number.NaN }],
    ['reasonCode 300', 0x87, { reasonCode: 300 }],
    ['no reasonCode', 0x87, {}],
    ['a getter that throws', 0x87, throwing('reasonCode')],
  ]

  it.each(denials)('denies without its words, and tells of the hook: %s', async (_title, code, denial) => {
    const running = await startBroker({
      authenticate: ({ clientId }) => (clientId === 'no' ? (denial as never) : true),
      authorizePublish: (_client, { qos }) => (qos === 1 ? (denial as never) : Promise.resolve(denial as never)),
      authorizeSubscribe: () => denial as never,
    })
    const errors: string[] = []
    running.on('clientError', (error) => errors.push(error.code))
    const refused = await openClient(running)
    expect(await refused.connect({ clientId: 'no', protocolVersion: 5 })).toMatchObject({ reasonCode: code })
    const client = await connectClient(running, { protocolVersion: 5 })
    expect(await client.publish('a', 'x', { qos: 1 })).toMatchObject({ cmd: 'puback', reasonCode: code })
    expect(await client.publish('a', 'x', { qos: 2 })).toMatchObject({ cmd: 'pubrec', reasonCode: code })
    expect((await client.subscribe('a')).granted).toEqual([code])
    expect(errors).toEqual(Array.from({ length: 4 }, () => 'GNATMQ_HOOK_FAILED'))
  })

  it.each([{ qos: 3 }, { qos: Number.NaN }, { qos: '1' }, { qos: null }, { QoS: 1 }, { qos: 1, retain: true }])(
    'grants nothing for %j',
    async (verdict) => {
      const running = await startBroker({ authorizeSubscribe: () => verdict as never })
      const told = nextEvent(running, 'clientError')
      const client = await connectClient(running, { protocolVersion: 5 })
      expect((await client.subscribe('a', 2)).granted).toEqual([0x87])
      expect((await told)[0].code).toBe('GNATMQ_HOOK_FAILED')
    },
  )

  it.each<[string, () => unknown]>([
    ['a number', () => 5],
    ['a string with U+0000', () => 'a\0'],
    ['a promise that rejects', () => Promise.reject(new Error('of the application'))],
  ])('leaves responseInformation out for %s', async (_title, answer) => {
    const faults: string[] = []
    const logger = { ...silentLogger, error: (_fields: object, text: string) => void faults.push(text) }
    const running = await startBroker({ logger, responseInformation: () => answer() as string })
    const client = await openClient(running)
    const connack = await client.connect({ protocolVersion: 5, properties: { requestResponseInformation: true } })
    expect(connack).toMatchObject({ reasonCode: 0 })
    expect(connack.properties).not.toHaveProperty('responseInformation')
    expect(faults).toEqual(['responseInformation failed: the client gets none'])
  })

  it.each<[string, unknown]>([
    ['continue with a string', { continue: 'x' }],
    ['continue with 65,536 bytes', { continue: new Uint8Array(65_536) }],
    ['success that is not true', { success: 1 }],
    ['success with data of another type', { success: true, data: 'x' }],
    ['success with a user name of another type', { success: true, username: 5 }],
    ['a misspelt step', { sucess: true }],
  ])('ends an enhanced authentication: %s', async (_title, step) => {
    const running = await startBroker({ authenticationMethods: { M: () => ({ step: () => step as never }) } })
    const told = nextEvent(running, 'clientError')
    const client = await openClient(running)
    const connack = await client.connect({ protocolVersion: 5, properties: { authenticationMethod: 'M' } })
    expect(connack.reasonCode).toBe(0x87)
    expect((await told)[0].code).toBe('GNATMQ_HOOK_FAILED')
  })
})

describe('a logger that throws or rejects', () => {
  it('takes neither client nor broker with it', async () => {
    const fault = new Error('of the logger')
    const logger = {
      info: () => {
        throw fault
      },
      warn: () => Promise.reject(fault),
      error: () => Promise.reject(fault),
    }
    const running = await startBroker({ logger })
    const rude = await openClient(running)
    rude.sendBytes('ff ff ff ff ff ff')
    await rude.closed()
    const client = await connectClient(running)
    await client.subscribe('a')
  })
})
