import { describe, expect, it, vi } from 'vitest'
import type { Client } from '../../src/ports/client'
import type { Verdict } from '../../src/ports/hooks'
import { connectClient, openClient, startBroker } from '../support/broker'
import { encode } from '../support/raw-client'

const patience = { timeout: 5000, interval: 10 }

/** Answers that nobody should give, and what throws nothing that can be shown. */
const strange: [string, () => unknown][] = [
  ['throws an object without a prototype', () => raise(Object.create(null))],
  ['throws an error whose message throws', () => raise(Object.defineProperty(new Error(), 'message', { get: boom }))],
  ['answers with a getter that throws', () => Object.defineProperty({}, 'reasonCode', { get: boom, enumerable: true })],
  ['answers with a then that throws when it is read', () => Object.defineProperty({}, 'then', { get: boom })],
  ['answers with a then that throws', () => thenable(boom)],
  ['promises a getter that throws', async () => Object.defineProperty({}, 'reasonCode', { get: boom })],
  ['rejects with an object without a prototype', () => Promise.reject(Object.create(null))],
  [
    'answers with a thenable that promises what never comes',
    () => thenable((resolve) => resolve(new Promise(() => undefined))),
  ],
  ['answers with a function', () => () => true],
  ['answers with a symbol', () => Symbol('yes')],
]

/** What other libraries take for a promise. */
function thenable(then: (resolve: (value: unknown) => void) => void): object {
  return Object.defineProperty({}, 'then', { value: then })
}

function raise(value: unknown): never {
  throw value
}

function boom(): never {
  throw new Error('boom')
}

const hook = (answer: () => unknown) => (): Verdict => answer() as Verdict

describe('a hook of a strange kind', () => {
  it.each(strange)('that %s lets nobody in, and everybody else is served', async (_what, answer) => {
    const authenticate = (client: Client): Verdict => (client.clientId === 'other' ? true : hook(answer)())
    const broker = await startBroker({ authenticate, hookTimeout: 50 })
    const refused = await openClient(broker)
    refused.sendConnect({ protocolVersion: 5 })
    await refused.closed()
    expect(refused.received.filter((packet) => packet.cmd === 'connack' && packet.reasonCode === 0)).toEqual([])
    const other = await connectClient(broker, { clientId: 'other' })
    expect(await other.quiet()).toEqual([])
    expect(broker.statistics).toMatchObject({ clients: 1, sessions: 1 })
  })

  it.each(strange)('that %s lets no message and no Will through', async (_what, answer) => {
    const broker = await startBroker({
      authorizePublish: (_client, { topic, will }) => (topic === 'secret' && !will ? hook(answer)() : true),
      hookTimeout: 50,
    })
    const watcher = await connectClient(broker)
    await watcher.subscribe('#', 1)
    const client = await connectClient(broker, { protocolVersion: 5 })
    client.sendPublish('secret', 'x', { qos: 1 })
    await vi.waitFor(() => expect(client.received.length > 1 || client.isClosed).toBe(true), patience)
    const denied = client.received[1]
    expect(denied === undefined || ('reasonCode' in denied && (denied.reasonCode ?? 0) >= 0x80)).toBe(true)
    expect(await watcher.quiet()).toEqual([])
  })
})

describe('an application that ends a connection in the midst of things', () => {
  it('from within authenticate: nobody has come', async () => {
    const events: string[] = []
    const broker = await startBroker({
      authenticate: (client) => {
        client.disconnect()
        return true
      },
    })
    broker.on('clientConnected', () => events.push('connected'))
    broker.on('clientDisconnected', () => events.push('disconnected'))
    const client = await openClient(broker)
    client.sendConnect()
    await client.closed()
    expect(client.received).toEqual([])
    await vi.waitFor(() => expect(broker.statistics.connections).toBe(0), patience)
    expect(broker.statistics).toMatchObject({ clients: 0, sessions: 0 })
    expect(events).toEqual([])
  })

  it('from within authorizeSubscribe: no subscription stays behind', async () => {
    const broker = await startBroker({
      authorizeSubscribe: (client, { filter }) => {
        if (filter === 'b') client.disconnect()
        return true
      },
    })
    const client = await connectClient(broker)
    client.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: ['a', 'b', 'c'].map((topic) => ({ topic, qos: 1 as const })),
    })
    await client.closed()
    await vi.waitFor(() => expect(broker.statistics.connections).toBe(0), patience)
    expect(broker.statistics).toMatchObject({ sessions: 0, subscriptions: 0 })
  })

  it('when it is told that a takeover has ended the former one: nothing stays behind', async () => {
    const known = new Set<Client>()
    const broker = await startBroker({
      authenticate: (client) => {
        known.add(client)
        return true
      },
    })
    broker.on('clientDisconnected', () => {
      for (const client of known) client.disconnect()
    })
    await connectClient(broker, { clientId: 'same' })
    const second = await openClient(broker)
    second.sendConnect({ clientId: 'same' })
    await second.closed()
    await vi.waitFor(() => expect(broker.statistics.connections).toBe(0), patience)
    expect(broker.statistics).toMatchObject({ clients: 0, sessions: 0 })
    expect(broker.clients.size).toBe(0)
  })

  it('from within authorizePublish and published: the others go on', async () => {
    const broker = await startBroker({
      authorizePublish: (client) => {
        client.disconnect()
        return true
      },
    })
    broker.on('published', (_message, client) => client?.disconnect())
    const watcher = await connectClient(broker)
    await watcher.subscribe('#')
    for (const qos of [0, 1, 2] as const) {
      const client = await connectClient(broker)
      client.sendPublish('t', 'x', { qos })
      await client.closed()
    }
    await watcher.quiet()
    await vi.waitFor(() => expect(broker.statistics).toMatchObject({ clients: 1, sessions: 1 }), patience)
  })
})

describe('a client that has to go while a message is under way to others', () => {
  it.each([4, 5] as const)(
    'has a Will that goes to nobody instead of the message (from version %d)',
    async (version) => {
      const broker = await startBroker({ queueOverflow: 'disconnect', limits: { maximumQueuedMessages: 1 } })
      // MQTT 5.0 with Receive Maximum 1, so that its queue is full after two messages
      const full = await connectClient(broker, {
        protocolVersion: 5,
        properties: { receiveMaximum: 1 },
        will: { topic: 'will', payload: Buffer.from('the Will'), qos: 1, retain: false },
      })
      await full.subscribe('t', 1)
      const other = await connectClient(broker, { protocolVersion: version })
      other.autoAcknowledge = true
      await other.subscribe('t', 1)
      const publisher = await connectClient(broker, { protocolVersion: 5 })
      const sent = ['1', '2', '3', '4']
      for (const text of sent) await publisher.publish('t', text, { qos: 1 })
      await full.closed()
      await other.quiet()
      const texts = other.received.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))
      expect(texts).toEqual(sent)
    },
  )
})

describe('local subscribers', () => {
  it('may end their own subscription, another’s, publish and stop the broker while they are called', async () => {
    const broker = await startBroker()
    const heard: string[] = []
    const stops: (() => void)[] = []
    stops.push(
      await broker.subscribe('t', () => {
        heard.push('first')
        stops[0]!()
        void broker.publish({ topic: 'u', payload: 'again' })
      }),
    )
    stops.push(await broker.subscribe('t', () => heard.push('second')))
    await broker.subscribe('u', () => heard.push('u'))
    await broker.publish({ topic: 't' })
    await broker.publish({ topic: 't' })
    expect(heard.sort()).toEqual(['first', 'second', 'second', 'u'])
    await broker.subscribe('end', () => void broker.stop())
    await broker.publish({ topic: 'end' })
    await broker.stop()
    expect(broker.state).toBe('stopped')
  })
})

describe('a local subscriber that throws', () => {
  it('also over a retained message, stays subscribed, and can end that', async () => {
    const broker = await startBroker()
    await broker.publish({ topic: 't', payload: 'kept', retain: true })
    const heard: string[] = []
    const stop = await broker.subscribe('t', (message) => {
      heard.push(message.payload.toString())
      throw Object.create(null)
    })
    await broker.publish({ topic: 't', payload: 'new' })
    stop()
    await broker.publish({ topic: 't', payload: 'unheard' })
    expect(heard).toEqual(['kept', 'new'])
  })
})

describe('stop()', () => {
  it.each(['clientDisconnected', 'clientConnected', 'published', 'subscribed', 'clientError'] as const)(
    'from within %s ends, and start() works again',
    async (event) => {
      const broker = await startBroker()
      let stopped: Promise<void> | null = null
      broker.once(event, () => {
        stopped = broker.stop()
      })
      const client = await openClient(broker)
      client.sendBytes(
        Buffer.concat([
          encode({ cmd: 'connect', clientId: 'a', protocolVersion: 4, clean: true, keepalive: 0, protocolId: 'MQTT' }),
          encode({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 0 }] }),
          encode({ cmd: 'publish', topic: 't', payload: 'x', qos: 0, dup: false, retain: false }),
          Buffer.from('f000', 'hex'),
        ]),
      )
      await vi.waitFor(() => expect(stopped).not.toBeNull(), patience)
      await stopped
      await client.closed()
      await broker.start()
      expect(broker.statistics).toMatchObject({ connections: 0, clients: 0, sessions: 0, subscriptions: 0 })
      await connectClient(broker)
    },
  )

  it('from within a hook that waits for it ends', async () => {
    const broker = await startBroker({
      authenticate: async () => {
        await broker.stop()
        return true
      },
    })
    const client = await openClient(broker)
    client.sendConnect()
    await client.closed()
    await broker.stop()
    expect(broker.state).toBe('stopped')
  })
})
