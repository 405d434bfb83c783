import { createServer } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  type Client,
  type Listener,
  type ListenerContext,
  type Message,
  MqttBroker,
  type MqttBrokerOptions,
  MqttError,
  MqttSslProtocols,
  ServerCertificate,
  tcp,
} from '../src/index'
import { clientGone, connectClient, openClient, startBroker } from './support/broker'
import { nextEvent } from './support/broker-event'
import { TestAuthority } from './support/certificates'

const authority = new TestAuthority('MyCARoot')
const certificate = ServerCertificate.fromPem(authority.server('localhost'))
const { TLSv1_2, TLSv1_3 } = MqttSslProtocols
const patience = { timeout: 10_000, interval: 10 }

const brokers: MqttBroker[] = []
afterEach(async () => {
  await Promise.all(brokers.splice(0).map((broker) => broker.stop()))
})

/** A broker that is not started, and stops after its test. */
function made(broker: MqttBroker): MqttBroker {
  brokers.push(broker)
  return broker
}

const openServers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length

/** The code that `start` fails with, after which no socket listens that did not before. */
async function failedStart(broker: MqttBroker): Promise<string> {
  const before = openServers()
  const error: unknown = await made(broker)
    .start()
    .then(
      () => undefined,
      (cause) => cause,
    )
  expect(error).toBeInstanceOf(MqttError)
  expect(broker.state).toBe('stopped')
  expect(broker.addresses).toEqual([])
  await vi.waitFor(() => expect(openServers()).toBe(before), patience)
  return (error as MqttError).code
}

describe('the constructor', () => {
  it('without a word means TCP on port 1883 of the loopback interface', async () => {
    const broker = made(new MqttBroker())
    // another broker of this machine may have the port: then the error names it
    const where = await broker.start().then(
      () => broker.addresses.map(({ protocol, host, port }) => `${protocol} ${host} ${port}`),
      (error: MqttError) => [error.code, error.message],
    )
    expect([
      ['mqtt 127.0.0.1 1883'],
      ['GNATMQ_PORT_IN_USE', expect.stringContaining('port 1883 on 127.0.0.1')],
      ['GNATMQ_PORT_IN_USE', expect.stringContaining('port 1883 on ::1')],
    ]).toContainEqual(where)
  })

  it('with certificate and protocol means TLS on port 8883 and nothing else', async () => {
    const broker = made(new MqttBroker(certificate, TLSv1_2, { host: '127.0.0.1' }))
    const where = await broker.start().then(
      () => broker.addresses.map(({ protocol, host, port }) => `${protocol} ${host} ${port}`),
      (error: MqttError) => [error.code, error.message],
    )
    expect([
      ['mqtts 127.0.0.1 8883'],
      ['GNATMQ_PORT_IN_USE', expect.stringContaining('port 8883 on 127.0.0.1')],
    ]).toContainEqual(where)
  })

  it('with options means what they say', async () => {
    const broker = made(new MqttBroker({ listeners: [tcp({ port: 0 }), tcp({ port: 0, host: '127.0.0.1' })] }))
    await broker.start()
    expect(broker.addresses.map(({ protocol, host }) => [protocol, host])).toEqual([
      ['mqtt', '127.0.0.1'],
      ['mqtt', '127.0.0.1'],
    ])
    expect(broker.port).toBe(broker.addresses[0]!.port)
  })

  it('with a certificate and protocol None means TCP', async () => {
    const broker = made(new MqttBroker(certificate, MqttSslProtocols.None, { port: 0 }))
    await broker.start()
    expect(broker.addresses[0]).toMatchObject({ protocol: 'mqtt', host: '127.0.0.1' })
  })

  it.each<[string, string, object]>([
    ['GNATMQ_OPTION_UNKNOWN', 'prot', { prot: 1883 }],
    ['GNATMQ_OPTION_UNKNOWN', 'limits.maximumPackets', { limits: { maximumPackets: 1 } }],
    ['GNATMQ_OPTION_UNKNOWN', '__proto__', JSON.parse('{"__proto__": 1}')],
    ['GNATMQ_OPTION_INVALID', 'port', { port: '1883' }],
    ['GNATMQ_OPTION_INVALID', 'port', { port: 65_536 }],
    ['GNATMQ_OPTION_INVALID', 'host', { host: 127 }],
    ['GNATMQ_OPTION_INVALID', 'listeners', { listeners: {} }],
    ['GNATMQ_OPTION_INVALID', 'allowAnonymous', { allowAnonymous: 'yes' }],
    ['GNATMQ_OPTION_INVALID', 'authenticate', { authenticate: true }],
    ['GNATMQ_OPTION_INVALID', 'connectTimeout', { connectTimeout: 0 }],
    ['GNATMQ_OPTION_INVALID', 'hookTimeout', { hookTimeout: Number.NaN }],
    ['GNATMQ_OPTION_INVALID', 'queueOverflow', { queueOverflow: 'drop' }],
    ['GNATMQ_OPTION_INVALID', 'limits', { limits: 5 }],
    ['GNATMQ_OPTION_INVALID', 'limits.receiveMaximum', { limits: { receiveMaximum: 65_536 } }],
    ['GNATMQ_OPTION_INVALID', 'limits.maximumPacketSize', { limits: { maximumPacketSize: 1.5 } }],
    ['GNATMQ_OPTION_INVALID', 'sslProtocol', { certificate, sslProtocol: 'TLSv9' }],
    ['GNATMQ_SSL_PROTOCOL_UNSUPPORTED', 'TLSv1_2', { certificate, sslProtocol: { min: TLSv1_3, max: TLSv1_2 } }],
    ['GNATMQ_OPTION_INVALID', 'certificate', { certificate: 'server.pfx' }],
  ])('throws %s, and names %s, for %j', (code, name, options) => {
    expect(() => new MqttBroker(options as MqttBrokerOptions)).toThrow(
      expect.objectContaining({ name: 'MqttError', code, message: expect.stringContaining(name) }),
    )
  })

  it.each([null, 'tcp://localhost', 1883])('throws GNATMQ_OPTION_INVALID for %j', (options) => {
    expect(() => new MqttBroker(options as unknown as MqttBrokerOptions)).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }),
    )
  })

  it('throws for a certificate that is none, before anything listens', async () => {
    const broken = { certificate: { key: 'x' } } as unknown as MqttBrokerOptions
    expect(await failedStart(new MqttBroker({ port: 0, host: '127.0.0.1', ...broken }))).toBe('GNATMQ_OPTION_INVALID')
  })
})

describe('start and stop', () => {
  it('follow one another as often as one likes', async () => {
    const broker = made(new MqttBroker({ port: 0 }))
    expect(broker.state).toBe('stopped')
    for (let i = 0; i < 3; i++) {
      const starting = broker.start()
      expect(broker.state).toBe('starting')
      await starting
      expect(broker.state).toBe('running')
      const client = await connectClient(broker)
      const stopping = broker.stop()
      expect(broker.state).toBe('stopping')
      await stopping
      await client.closed()
      expect(broker.state).toBe('stopped')
      expect(broker.clients.size).toBe(0)
      expect(() => broker.port).toThrow(expect.objectContaining({ code: 'GNATMQ_NOT_RUNNING' }))
    }
  })

  it('free the port', async () => {
    const first = await startBroker()
    const { port } = first
    await first.stop()
    const second = await startBroker({ port })
    expect(second.port).toBe(port)
  })

  it('stop is harmless a second time, at the same time, and before the first start', async () => {
    const broker = made(new MqttBroker({ port: 0 }))
    const closed = vi.fn()
    broker.on('closed', closed)
    await broker.stop()
    expect(closed).not.toHaveBeenCalled()
    await broker.start()
    await Promise.all([broker.stop(), broker.stop()])
    await broker.stop()
    expect(closed).toHaveBeenCalledTimes(1)
  })

  it('stop during start, and start during stop, take their turns', async () => {
    const broker = made(new MqttBroker({ port: 0 }))
    const starting = broker.start()
    await Promise.all([starting, broker.stop()])
    expect(broker.state).toBe('stopped')
    await broker.start()
    const stopping = broker.stop()
    await Promise.all([stopping, broker.start()])
    expect(broker.state).toBe('running')
    await connectClient(broker)
  })

  it('start of a broker that runs rejects, and the broker runs on', async () => {
    const broker = await startBroker()
    await expect(broker.start()).rejects.toMatchObject({ code: 'GNATMQ_ALREADY_STARTED' })
    await connectClient(broker)
  })

  it('keep sessions and retained messages in memory from one run to the next', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { clientId: 'kept', clean: false })
    await client.subscribe('a', 1)
    await client.disconnect()
    await broker.publish({ topic: 'a', payload: 'queued', qos: 1, retain: true })
    await broker.stop()
    await broker.start()
    const again = await openClient(broker)
    expect(await again.connect({ clientId: 'kept', clean: false })).toMatchObject({ sessionPresent: true })
    expect(await again.nextMessage()).toMatchObject({ topic: 'a', text: 'queued', qos: 1 })
  })

  it('await using stops the broker at the end of its block', async () => {
    let outer: MqttBroker
    {
      await using broker = await MqttBroker.start({ port: 0 })
      outer = broker
      await connectClient(broker)
    }
    expect(outer.state).toBe('stopped')
  })
})

describe('stop under load', () => {
  it('tells MQTT 5.0 clients 0x8B, and ends with publishers, slow readers, silent peers and open hooks', async () => {
    const never = new Promise<boolean>(() => undefined)
    const broker = await startBroker({
      stopTimeout: 300,
      authorizePublish: (_client, { topic }) => topic !== 'asks for ever' || never,
    })
    const silent = await openClient(broker)
    const slow = await connectClient(broker, { protocolVersion: 5 })
    await slow.subscribe('load/#', 1)
    slow.pause()
    const asking = await connectClient(broker, { protocolVersion: 5 })
    asking.sendPublish('asks for ever', 'x', { qos: 1 })
    const publishers = await Promise.all(
      Array.from({ length: 20 }, () => connectClient(broker, { protocolVersion: 5 })),
    )
    const old = await connectClient(broker, { protocolVersion: 4 })
    const payload = Buffer.alloc(100_000)
    const publishing = setInterval(() => {
      for (const publisher of publishers) if (!publisher.isClosed) publisher.sendPublish('load/a', payload)
    }, 1)
    await nextEvent(broker, 'published')
    await broker.stop()
    clearInterval(publishing)
    expect(broker.clients.size).toBe(0)
    for (const client of [asking, ...publishers])
      expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x8b })
    for (const client of [silent, old, ...publishers]) await client.closed()
    expect(old.received.map(({ cmd }) => cmd)).toEqual(['connack'])
  })

  it('writes what is acknowledged, and gives each Will its due', async () => {
    const broker = await startBroker()
    const wills: string[] = []
    await broker.subscribe('will', ({ payload }) => wills.push(payload.toString()))
    const reader = await connectClient(broker, { protocolVersion: 5 })
    await reader.subscribe('a', 0)
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }
    const leaver = await connectClient(broker, { protocolVersion: 5, will })
    for (let i = 0; i < 100; i++) await leaver.publish('a', String(i), { qos: 1 })
    await broker.stop()
    await reader.closed()
    const texts = reader.received.flatMap((packet) => (packet.cmd === 'publish' ? [String(packet.payload)] : []))
    expect(texts).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
    expect(wills).toEqual(['gone'])
  })
})

describe('start that fails', () => {
  it('says that the port is in use, and closes the listeners that were open', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as { port: number }
    const listeners = [tcp({ port: 0 }), tcp({ port, host: '127.0.0.1' })]
    const broker = new MqttBroker({ listeners })
    expect(await failedStart(broker)).toBe('GNATMQ_PORT_IN_USE')
    await new Promise((resolve) => other.close(resolve))
    await broker.start()
    expect(broker.addresses).toHaveLength(2)
  })

  it.each([
    ['expired', { from: new Date('2020-01-01'), to: new Date('2021-01-01') }],
    ['not yet valid', { from: new Date('2048-01-01'), to: new Date('2049-01-01') }],
  ])('says that the certificate is %s', async (_what, dates) => {
    const old = ServerCertificate.fromPem(authority.server('localhost', dates))
    const broker = new MqttBroker(old, TLSv1_2, { port: 0, host: '127.0.0.1' })
    expect(await failedStart(broker)).toBe('GNATMQ_CERTIFICATE_EXPIRED')
  })

  it('says that the store could not be opened', async () => {
    const store = {
      open: () => Promise.reject(new Error('the disk is gone')),
      close: () => undefined,
      commit: () => undefined,
      sessions: () => [],
      retained: () => [],
      queue: () => [],
      held: () => [],
    }
    expect(await failedStart(new MqttBroker({ port: 0, store }))).toBe('GNATMQ_STORE_FAILED')
  })
})

describe('a plain listener beyond the loopback interface', () => {
  /** Listens nowhere. */
  const exposed: Listener = {
    exposure: 'plain',
    host: '0.0.0.0',
    listen: async () => ({ protocol: 'mqtt', host: '0.0.0.0', port: 1 }),
    close: async () => undefined,
  }

  it('is refused without authentication', async () => {
    expect(await failedStart(new MqttBroker({ listeners: [exposed] }))).toBe('GNATMQ_ANONYMOUS_LISTENER')
    expect(await failedStart(new MqttBroker({ port: 0, host: '0.0.0.0' }))).toBe('GNATMQ_ANONYMOUS_LISTENER')
    expect(await failedStart(new MqttBroker({ port: 0, host: '::' }))).toBe('GNATMQ_ANONYMOUS_LISTENER')
  })

  it('may take peers of this machine alone, until clients authenticate', async () => {
    const contexts: ListenerContext[] = []
    const local: Listener = {
      ...exposed,
      host: undefined,
      async listen(context) {
        contexts.push(context)
        return { protocol: 'mqtt', host: '127.0.0.1', port: 1 }
      },
    }
    const broker = made(new MqttBroker({ listeners: [local] }))
    await broker.start()
    const may = (): boolean[] =>
      ['127.0.0.1', '::1', undefined, '192.0.2.1', '2001:db8::1'].map((address) => contexts[0]!.mayConnectTo(address))
    expect(may()).toEqual([true, true, true, false, false])
    broker.userAuth = () => true
    expect(may()).toEqual([true, true, true, true, true])
    await made(new MqttBroker({ listeners: [local], allowAnonymous: true })).start()
    expect(contexts[1]!.mayConnectTo('192.0.2.1')).toBe(true)
  })

  it('keeps userAuth while the broker runs, where taking it away would let anybody in', async () => {
    const broker = new MqttBroker({ listeners: [tcp({ port: 0, host: '0.0.0.0' })] })
    broker.userAuth = () => true
    await broker.start()
    try {
      expect(() => {
        broker.userAuth = null
      }).toThrow(expect.objectContaining({ code: 'GNATMQ_ANONYMOUS_LISTENER' }))
      expect(broker.userAuth).not.toBeNull()
    } finally {
      await broker.stop()
    }
  })

  it('starts with an authenticate hook, with userAuth, or with allowAnonymous', async () => {
    await made(new MqttBroker({ listeners: [exposed], authenticate: () => true })).start()
    await made(new MqttBroker({ listeners: [exposed], allowAnonymous: true })).start()
    const broker = made(new MqttBroker({ listeners: [exposed] }))
    broker.userAuth = () => true
    await broker.start()
    expect(broker.state).toBe('running')
  })
})

describe('the application itself', () => {
  it('publishes to clients, with every property', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { protocolVersion: 5 })
    await client.subscribe('lamp/+', 2)
    const userProperties: [string, string][] = [
      ['b', '1'],
      ['a', '2'],
    ]
    await broker.publish({
      topic: 'lamp/1',
      payload: 'on',
      qos: 2,
      properties: { contentType: 'text', messageExpiryInterval: 60, userProperties },
    })
    const { packet, ...message } = await client.nextMessage()
    expect(message).toEqual({ topic: 'lamp/1', text: 'on', qos: 2, retain: false, dup: false })
    expect(packet.properties).toMatchObject({ contentType: 'text', messageExpiryInterval: 60 })
    expect({ ...packet.properties?.userProperties }).toEqual({ b: '1', a: '2' })
    await broker.publish({ topic: 'lamp/2', payload: new Uint8Array([1, 2]) })
    expect((await client.nextMessage()).packet.payload).toEqual(Buffer.from([1, 2]))
  })

  it.each<[string, object]>([
    ['GNATMQ_TOPIC_NAME_INVALID', { topic: '' }],
    ['GNATMQ_TOPIC_NAME_INVALID', { topic: 'lamp/+' }],
    ['GNATMQ_TOPIC_NAME_INVALID', { topic: 'a\u0000' }],
    ['GNATMQ_OPTION_INVALID', { topic: 'a', qos: 3 }],
    ['GNATMQ_OPTION_INVALID', { topic: 'a', qos: '1' }],
  ])('is told %s when it publishes %j', async (code, message) => {
    const broker = await startBroker()
    await expect(broker.publish(message as { topic: string })).rejects.toMatchObject({ code })
  })

  it('publishes only while the broker runs', async () => {
    const broker = made(new MqttBroker({ port: 0 }))
    await expect(broker.publish({ topic: 'a' })).rejects.toMatchObject({ code: 'GNATMQ_NOT_RUNNING' })
  })

  it('subscribes before the start, gets retained messages first, and ends when it likes', async () => {
    const broker = made(new MqttBroker({ port: 0 }))
    const early: string[] = []
    await broker.subscribe('#', ({ topic }) => early.push(topic))
    await broker.start()
    const client = await connectClient(broker)
    await client.publish('lamp/1', 'on', { qos: 1, retain: true })
    const late: string[] = []
    const end = await broker.subscribe('lamp/+', ({ topic, payload }) => late.push(`${topic} ${payload}`))
    expect(late).toEqual(['lamp/1 on'])
    await client.publish('lamp/2', 'off', { qos: 1 })
    end()
    end()
    await client.publish('lamp/3', 'off', { qos: 1 })
    expect(late).toEqual(['lamp/1 on', 'lamp/2 off'])
    expect(early).toEqual(['lamp/1', 'lamp/2', 'lamp/3'])
    await expect(broker.subscribe('a#', () => undefined)).rejects.toMatchObject({ code: 'GNATMQ_TOPIC_FILTER_INVALID' })
  })

  it('keeps the bytes of a message that it was given', async () => {
    const broker = await startBroker()
    const kept: Message[] = []
    await broker.subscribe('#', (message) => kept.push(message))
    const client = await connectClient(broker)
    await client.publish('a', 'first', { qos: 1 })
    await client.publish('b', 'other', { qos: 1 })
    expect(kept.map(({ topic, payload }) => `${topic} ${payload}`)).toEqual(['a first', 'b other'])
    expect(kept[0]!.publisher).toBe([...broker.clients.keys()][0])
  })

  it('iterates over messages until its signal says so, or it leaves the loop', async () => {
    const broker = await startBroker()
    const abort = new AbortController()
    const seen: string[] = []
    const loop = (async () => {
      for await (const { payload } of broker.messages('lamp/#', { signal: abort.signal })) {
        seen.push(payload.toString())
        if (seen.length === 2) abort.abort()
      }
    })()
    await broker.publish({ topic: 'lamp/1', payload: 'on' })
    await broker.publish({ topic: 'lamp/2', payload: 'off' })
    await loop
    for await (const { payload } of publishing(broker)) {
      seen.push(payload.toString())
      break
    }
    expect(seen).toEqual(['on', 'off', 'again'])
  })

  it('sees the clients that are connected, and can end one', async () => {
    const broker = await startBroker()
    const one = await connectClient(broker, { clientId: 'one', protocolVersion: 5, username: 'u', keepalive: 60 })
    await connectClient(broker, { clientId: 'two' })
    expect([...broker.clients.keys()]).toEqual(['one', 'two'])
    const client = broker.clients.get('one') as Client
    expect(client).toMatchObject({ clientId: 'one', username: 'u', protocolVersion: 5, keepAlive: 60, connected: true })
    expect(client.remoteAddress).toBe('127.0.0.1')
    const gone = clientGone(broker, 'one')
    client.disconnect(0x98, { reasonString: 'enough' })
    expect(await one.next('disconnect')).toMatchObject({ reasonCode: 0x98, properties: { reasonString: 'enough' } })
    await gone
    expect(client.connected).toBe(false)
    expect([...broker.clients.keys()]).toEqual(['two'])
  })
})

function publishing(broker: MqttBroker): AsyncIterable<Message> {
  const messages = broker.messages('lamp/#')
  void broker.publish({ topic: 'lamp/3', payload: 'again' })
  return messages
}
