import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type MqttBroker, ServerCertificate, webSocket } from '../../src/index'
import { clientGone, startBroker } from '../support/broker'
import { TestAuthority } from '../support/certificates'
import { nextMessage } from './mqtt-js'

/** MQTT.js over WebSocket. It verifies the certificate of the broker and its host name, as is its default. */

/** As much of express, which brings no types, as is used here. */
type Express = () => RequestListener & {
  get(path: string, answer: (request: unknown, response: ServerResponse) => void): void
}
const express: Express = createRequire(import.meta.url)('express')

const authority = new TestAuthority('MyCARoot')
const issued = authority.server('localhost', { names: 'DNS:localhost' })
const versions = [4, 5] as const

async function client(url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const connected = await connectAsync(url, { reconnectPeriod: 0, connectTimeout: 10_000, ...options })
  onTestFinished(() => connected.endAsync(true).then(() => undefined))
  return connected
}

/** Sends itself a message of each QoS, and a long one. */
async function converses(url: string, options: IClientOptions): Promise<void> {
  const mqtt = await client(url, options)
  await mqtt.subscribeAsync('lamp/#', { qos: 2 })
  for (const qos of [0, 1, 2] as const) {
    const message = nextMessage(mqtt)
    await mqtt.publishAsync(`lamp/${qos}`, 'on', { qos })
    expect(await message).toEqual([`lamp/${qos}`, 'on'])
  }
  const long = 'x'.repeat(1_000_000)
  const message = nextMessage(mqtt)
  await mqtt.publishAsync('lamp/long', long, { qos: 1 })
  expect((await message)[1]).toBe(long)
  await mqtt.endAsync()
}

/** An express application on a free port, with a broker on /mqtt. */
async function expressWithBroker(secure: boolean): Promise<{ broker: MqttBroker; port: number }> {
  const app = express()
  app.get('/hello', (_request, response) => {
    response.end('served')
  })
  const server = secure ? createSecureServer({ cert: issued.cert, key: issued.key }, app) : createServer(app)
  server.listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  await once(server, 'listening')
  const broker = await startBroker({ listeners: [webSocket({ server })] })
  return { broker, port: (server.address() as AddressInfo).port }
}

describe.each(versions)('MQTT.js over WebSocket, protocol level %i', (protocolVersion) => {
  it('converses over ws:', async () => {
    const { port } = await startBroker({ listeners: [webSocket({ port: 0 })] })
    await converses(`ws://localhost:${port}/mqtt`, { protocolVersion })
  })

  it('converses over wss:, and refuses a CA or a host name that is not the right one', async () => {
    const certificate = ServerCertificate.fromPem(issued)
    const listeners = [webSocket({ port: 0, host: '127.0.0.1', secure: true })]
    const { port } = await startBroker({ certificate, listeners })
    const ca = authority.cert
    await converses(`wss://localhost:${port}/mqtt`, { protocolVersion, ca })
    await expect(client(`wss://127.0.0.1:${port}/mqtt`, { protocolVersion, ca })).rejects.toThrow('altnames')
    await expect(client(`wss://localhost:${port}/mqtt`, { protocolVersion })).rejects.toThrow('certificate')
  })

  it('converses with a broker on an express server, which still serves its own', async () => {
    const { broker, port } = await expressWithBroker(false)
    const served = async () => (await fetch(`http://127.0.0.1:${port}/hello`)).text()
    expect(await served()).toBe('served')
    await converses(`ws://127.0.0.1:${port}/mqtt`, { protocolVersion })
    expect(broker.port).toBe(port)
    await broker.stop()
    expect(await served()).toBe('served')
  })

  it('converses with a broker on an express server with TLS', async () => {
    const { port } = await expressWithBroker(true)
    await converses(`wss://localhost:${port}/mqtt`, { protocolVersion, ca: authority.cert })
  })

  it('is told of the end of the broker by a Close frame', async () => {
    const broker = await startBroker({ listeners: [webSocket({ port: 0 })] })
    const mqtt = await client(`ws://localhost:${broker.port}/mqtt`, { protocolVersion })
    const closed = new Promise<void>((resolve) => mqtt.once('close', resolve))
    await broker.stop()
    await closed
  })

  it('leaves no Will when it ends well while its last messages still wait for a hook', async () => {
    let leave = (): void => undefined
    const left = new Promise<void>((resolve) => {
      leave = resolve
    })
    const broker = await startBroker({
      listeners: [webSocket({ port: 0 })],
      // the Will is asked about at CONNECT already
      authorizePublish: (_, { will }) => will || left.then(() => true),
    })
    const received: string[] = []
    await broker.subscribe('#', ({ payload }) => received.push(payload.toString()))
    const will = { topic: 'will', payload: Buffer.from('will'), qos: 0 as const, retain: false }
    const mqtt = await client(`ws://localhost:${broker.port}/mqtt`, { protocolVersion, clientId: 'leaving', will })
    mqtt.on('packetsend', ({ cmd }) => cmd === 'disconnect' && leave())
    for (let i = 0; i < 5; i++) mqtt.publish('last', `message ${i}`)
    await mqtt.endAsync()
    await clientGone(broker, 'leaving')
    // a Will would come right behind them, asked for like any other message
    await broker.publish({ topic: 'after', payload: 'after' })
    expect(received).toEqual([...Array.from({ length: 5 }, (_, i) => `message ${i}`), 'after'])
  })
})

describe('a broker on WebSocket without authentication', () => {
  it('does not start where others could come, unless told to', async () => {
    const reachable = createServer()
    onTestFinished(() => void reachable.close())
    await once(reachable.listen(0, '0.0.0.0'), 'listening')
    const refused = { code: 'GNATMQ_ANONYMOUS_LISTENER' }
    await expect(startBroker({ listeners: [webSocket({ port: 0, host: '0.0.0.0' })] })).rejects.toMatchObject(refused)
    await expect(startBroker({ listeners: [webSocket({ server: reachable })] })).rejects.toMatchObject(refused)
    await startBroker({ listeners: [webSocket({ server: reachable })], allowAnonymous: true })
    await startBroker({ listeners: [webSocket({ server: reachable, path: '/b' })], authenticate: () => true })
  })
})
