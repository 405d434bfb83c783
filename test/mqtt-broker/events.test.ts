import { describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { type Client, type DisconnectReason, MqttBroker, type MqttBrokerOptions, webSocket } from '../../src/index'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { clientGone, connectClient, openClient, startBroker } from '../support/broker'
import { nextEvent } from '../support/broker-event'

/** What a broker says of its clients' coming and going. */
async function watchedBroker(options: MqttBrokerOptions = {}) {
  const broker = await startBroker(options)
  const connected: string[] = []
  const disconnected: [clientId: string, reasonCode: number, byClient: boolean][] = []
  const errors: string[] = []
  broker.on('clientConnected', ({ clientId }) => connected.push(clientId))
  broker.on('clientDisconnected', ({ clientId }, { reasonCode, byClient }) =>
    disconnected.push([clientId, reasonCode, byClient]),
  )
  broker.on('clientError', ({ code }) => errors.push(code))
  return { broker, connected, disconnected, errors }
}

describe('clientConnected and clientDisconnected', () => {
  it('come once for each client, whichever way it goes', async () => {
    const { broker, connected, disconnected } = await watchedBroker()
    const polite = await connectClient(broker, { clientId: 'polite' })
    await polite.disconnect()
    const withWill = await connectClient(broker, { clientId: 'with will', protocolVersion: 5 })
    withWill.send({ cmd: 'disconnect', reasonCode: 0x04 })
    await withWill.closed()
    for (const [clientId, leave] of [
      ['half', 'end'],
      ['reset', 'destroy'],
    ] as const) {
      const client = await connectClient(broker, { clientId })
      const gone = clientGone(broker, clientId)
      client[leave]()
      await gone
    }
    const rude = await connectClient(broker, { clientId: 'rude', protocolVersion: 5 })
    rude.sendConnect({ clientId: 'rude', protocolVersion: 5 })
    await rude.closed()
    const put = await connectClient(broker, { clientId: 'put out' })
    broker.clients.get('put out')?.disconnect()
    await put.closed()
    const names = ['polite', 'with will', 'half', 'reset', 'rude', 'put out']
    expect(connected).toEqual(names)
    expect(disconnected.map(([clientId]) => clientId)).toEqual(names)
    expect(disconnected[0]).toEqual(['polite', 0, true])
    expect(disconnected[1]).toEqual(['with will', 0x04, true])
    expect(disconnected[4]).toEqual(['rude', 0x82, false])
    expect(disconnected[5]).toEqual(['put out', 0x98, false])
  })

  it('come for nobody who was refused', async () => {
    const { broker, connected, disconnected, errors } = await watchedBroker({ limits: { maximumConnections: 1 } })
    const only = await connectClient(broker, { clientId: 'only' })
    const busy = await openClient(broker)
    expect(await busy.connect({ protocolVersion: 5 })).toMatchObject({ reasonCode: 0x89 })
    const nameless = await openClient(broker)
    // an empty Client Identifier with Clean Session 0 [MQTT-3.1.3-8]
    nameless.sendBytes('10 0c 00 04 4d 51 54 54 04 00 00 00 00 00')
    expect(await nameless.next('connack')).toMatchObject({ returnCode: 2 })
    const garbage = await openClient(broker)
    garbage.sendBytes('ff ff ff ff ff ff')
    await garbage.closed()
    const early = await openClient(broker)
    early.send({ cmd: 'pingreq' })
    await early.closed()
    await Promise.all([busy.closed(), nameless.closed()])
    expect(connected).toEqual(['only'])
    expect(disconnected).toEqual([])
    expect(errors).toHaveLength(4)
    await only.disconnect()
    expect(disconnected).toEqual([['only', 0, true]])
  })

  it('come in pairs at a takeover, and the one who goes is told 0x8E', async () => {
    const { broker, connected, disconnected } = await watchedBroker()
    const order: string[] = []
    broker.on('clientConnected', () => order.push('connected'))
    broker.on('clientDisconnected', () => order.push('disconnected'))
    const first = await connectClient(broker, { clientId: 'same', protocolVersion: 5 })
    const second = await connectClient(broker, { clientId: 'same', protocolVersion: 4 })
    expect(await first.next('disconnect')).toMatchObject({ reasonCode: 0x8e })
    await first.closed()
    const third = await connectClient(broker, { clientId: 'same', protocolVersion: 5 })
    await second.closed()
    expect(await third.quiet()).toEqual([])
    expect(connected).toEqual(['same', 'same', 'same'])
    expect(disconnected).toEqual([
      ['same', 0x8e, false],
      ['same', 0x8e, false],
    ])
    expect(order).toEqual(['connected', 'disconnected', 'connected', 'disconnected', 'connected'])
    expect(broker.clients.size).toBe(1)
    await broker.stop()
    expect(disconnected).toHaveLength(3)
  })

  it('come in pairs for each client at stop', async () => {
    const { broker, connected, disconnected } = await watchedBroker()
    for (let i = 0; i < 10; i++) await connectClient(broker, { clientId: `c${i}` })
    await openClient(broker)
    await broker.stop()
    expect(disconnected.map(([clientId]) => clientId).sort()).toEqual(connected.sort())
    expect(new Set(disconnected.map(([, reasonCode]) => reasonCode))).toEqual(new Set([0x8b]))
  })

  it('remember what the application noted about a client', async () => {
    const broker = await startBroker()
    broker.on('clientConnected', (client) => {
      client.data = { since: 1 }
    })
    const gone = nextEvent(broker, 'clientDisconnected')
    const client = await connectClient(broker)
    client.destroy()
    const [{ data, connected }]: [Client, DisconnectReason] = await gone
    expect({ data, connected }).toEqual({ data: { since: 1 }, connected: false })
  })

  it('whose listener throws takes neither client nor broker with it', async () => {
    const logged: string[] = []
    const log = (_fields: object, text: string) => logged.push(text)
    const quiet = () => undefined
    const logger = { info: quiet, warn: quiet, error: log }
    const broker = await startBroker({ logger })
    broker.on('clientConnected', () => {
      throw new Error('of the application')
    })
    const client = await connectClient(broker)
    await client.subscribe('a')
    expect(logged).toEqual(['a listener of the application threw'])
  })
})

describe('the other events', () => {
  it('tell of listening, subscriptions, messages and the end', async () => {
    const told: unknown[] = []
    const broker = new MqttBroker({ port: 0 })
    broker.on('listening', ({ protocol, port }) => told.push([protocol, port]))
    broker.on('subscribed', ({ clientId }, { filter, qos }) => told.push(['subscribed', clientId, filter, qos]))
    broker.on('unsubscribed', ({ clientId }, filter) => told.push(['unsubscribed', clientId, filter]))
    broker.on('published', ({ topic }, client) => told.push(['published', topic, client?.clientId]))
    broker.on('closed', () => told.push(['closed']))
    await broker.start()
    const { port } = broker
    const client = await connectClient(broker, { clientId: 'c' })
    await client.subscribe('a/#', 2)
    await client.publish('a/1', 'x', { qos: 1 })
    await broker.publish({ topic: 'b' })
    await client.unsubscribe(['a/#', 'never'])
    await broker.stop()
    expect(told).toEqual([
      ['mqtt', port],
      ['subscribed', 'c', 'a/#', 2],
      ['published', 'a/1', 'c'],
      ['published', 'b', undefined],
      ['unsubscribed', 'c', 'a/#'],
      ['closed'],
    ])
  })
})

describe('connectTimeout', () => {
  it('closes a peer that says nothing, and one that trickles its CONNECT', async () => {
    const clock = new SimulatedClock()
    const { broker, connected, errors } = await watchedBroker({ clock, connectTimeout: 30_000 })
    const silent = await openClient(broker)
    const trickling = await openClient(broker)
    const connect = Buffer.from('100d00044d51545404020000000163', 'hex')
    // its own packets prove that the broker has read what came before
    const other = await connectClient(broker)
    for (const byte of connect.subarray(0, 14)) {
      trickling.sendBytes(Buffer.from([byte]))
      await other.quiet()
      clock.advance(2_000)
    }
    expect([silent.isClosed, trickling.isClosed]).toEqual([false, false])
    await other.quiet()
    clock.advance(2_100)
    await Promise.all([silent.closed(), trickling.closed()])
    expect(errors).toEqual(['GNATMQ_CONNECT_TIMEOUT', 'GNATMQ_CONNECT_TIMEOUT'])
    expect(connected).toHaveLength(1)
    expect(silent.receivedBytes).toHaveLength(0)
    await other.quiet()
  })

  it('covers the time that authenticate takes', async () => {
    const clock = new SimulatedClock()
    const asked = vi.fn(() => new Promise<boolean>(() => undefined))
    const options = { clock, connectTimeout: 5_000, hookTimeout: 60_000, authenticate: asked }
    const { broker, errors } = await watchedBroker(options)
    const client = await openClient(broker)
    client.sendConnect()
    await vi.waitFor(() => expect(asked).toHaveBeenCalled())
    clock.advance(5_100)
    await client.closed()
    expect(errors).toEqual(['GNATMQ_CONNECT_TIMEOUT'])
  })
})

describe('Keep Alive', () => {
  it.each([4, 5] as const)(
    'gives a client of version %i one and a half times, from its last packet',
    async (version) => {
      const clock = new SimulatedClock()
      const { broker, disconnected, errors } = await watchedBroker({ clock })
      const will = { topic: 'will', payload: Buffer.from('silent'), qos: 0 as const, retain: false }
      const wills: string[] = []
      await broker.subscribe('will', ({ payload }) => wills.push(payload.toString()))
      const client = await connectClient(broker, { clientId: 'c', protocolVersion: version, keepalive: 10, will })
      const other = await connectClient(broker, { keepalive: 0 })
      for (let i = 0; i < 3; i++) {
        clock.advance(14_900)
        expect(await client.quiet()).toEqual([])
      }
      clock.advance(14_900)
      await other.quiet()
      expect(client.isClosed).toBe(false)
      clock.advance(200)
      await client.closed()
      expect(client.received.at(-1)).toMatchObject(
        version === 5 ? { cmd: 'disconnect', reasonCode: 0x8d } : { cmd: 'pingresp' },
      )
      expect(disconnected).toEqual([['c', 0x8d, false]])
      expect(errors).toEqual(['GNATMQ_KEEP_ALIVE_TIMEOUT'])
      expect(wills).toEqual(['silent'])
      clock.advance(3_600_000)
      await other.quiet()
    },
  )
})

describe('clientError tells what is known of its client', () => {
  it('before its CONNECT was accepted: what it claims to be', async () => {
    const broker = await startBroker({ authenticate: () => false })
    const told = nextEvent(broker, 'clientError')
    const client = await openClient(broker)
    await client.connect({ clientId: 'me', username: 'somebody', password: 'x' })
    const [, , known, details] = await told
    expect(known).toBeUndefined()
    expect(details).toEqual({ clientId: 'me', username: 'somebody', topic: undefined, path: undefined })
  })

  it('with the Topic Name or the Topic Filter that was denied', async () => {
    const broker = await startBroker({ authorizePublish: () => false, authorizeSubscribe: async () => false })
    const client = await connectClient(broker, { clientId: 'me' })
    const first = nextEvent(broker, 'clientError')
    await client.publish('secret/topic', 'x', { qos: 1 })
    expect((await first)[3]).toMatchObject({ clientId: 'me', topic: 'secret/topic' })
    const second = nextEvent(broker, 'clientError')
    await client.subscribe('secret/#')
    expect((await second)[3]).toMatchObject({ clientId: 'me', topic: 'secret/#' })
  })

  it.each(['/wrong', '/mqtt'])('with the path of its WebSocket request, without the query: %s', async (path) => {
    const broker = await startBroker({ listeners: [webSocket({ port: 0 })], authenticate: () => false })
    const told = nextEvent(broker, 'clientError')
    const socket = new WebSocket(`ws://127.0.0.1:${broker.port}${path}?token=1`, 'mqtt')
    socket.on('error', () => undefined)
    socket.on('open', () => socket.send(Buffer.from('101000044d5154540402003c000474657374', 'hex')))
    expect((await told)[3].path).toBe(path)
    socket.terminate()
  })
})
