import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type BrokerEvents, type Logger, type Message, MqttBroker } from '../../src/index'
import { silentLogger } from '../../src/ports/logger'
import { clientGone, connectClient, startBroker } from '../support/broker'

const patience = { timeout: 10_000, interval: 10 }
const text = ({ payload }: Message): string => payload.toString()
const spoil = ({ payload, properties }: Message): void => {
  payload.fill('X')
  properties.correlationData?.fill(88)
  ;(properties as { contentType?: string }).contentType = 'spoilt'
}

describe('a subscriber that writes into its message', () => {
  it('changes nobody else’s: not what is retained, queued, sent, or shown to others', async () => {
    const seen: string[] = []
    const broker = await startBroker({
      authorizeDelivery: (_client, message) => {
        spoil(message)
        return true
      },
    })
    const offline = await connectClient(broker, { clientId: 'offline', clean: false })
    await offline.subscribe('a', 1)
    const gone = clientGone(broker, 'offline')
    await offline.disconnect()
    await gone
    const online = await connectClient(broker, { protocolVersion: 5 })
    await online.subscribe('a', 1)
    broker.on('published', spoil)
    broker.on('published', (message) => seen.push(`listener ${text(message)}`))
    await broker.subscribe('a', spoil)
    await broker.subscribe('a', (message) => seen.push(`subscriber ${text(message)}`))
    const stream = broker.messages('a')
    const properties = { correlationData: Buffer.from('one'), contentType: 'text' }
    await broker.publish({ topic: 'a', payload: 'clean', qos: 1, retain: true, properties })
    await online.publish('a', 'clean', { qos: 1 })
    expect(seen).toEqual(['subscriber clean', 'listener clean', 'subscriber clean', 'listener clean'])
    expect((await stream.next()).value).toMatchObject({ topic: 'a', properties })
    expect(text((await stream.next()).value)).toBe('clean')
    expect(await online.nextMessage()).toMatchObject({ text: 'clean' })
    const late = await connectClient(broker)
    await late.subscribe('a', 1)
    expect(await late.nextMessage()).toMatchObject({ text: 'clean', retain: true })
    const again = await connectClient(broker, { clientId: 'offline', clean: false })
    expect(await again.nextMessage()).toMatchObject({ text: 'clean' })
    expect(await again.nextMessage()).toMatchObject({ text: 'clean' })
  })

  it('sees what it has written itself, and finds nothing of the broker’s in the message', async () => {
    const broker = await startBroker()
    const seen: Message[] = []
    await broker.subscribe('a', (message) => seen.push(message))
    await broker.publish({ topic: 'a', payload: 'x' })
    const [message] = seen
    message!.payload[0] = 0x79
    expect(text(message!)).toBe('y')
    expect(Object.keys(message!).sort()).toEqual(['expiresAt', 'origin', 'publisher', 'qos', 'retain', 'topic'])
  })
})

describe('application code that rejects', () => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => void unhandled.push(error)
  beforeEach(() => {
    unhandled.length = 0
    process.on('unhandledRejection', note)
  })
  afterEach(() => {
    process.off('unhandledRejection', note)
  })
  /** Rejections are told of after microtasks and ticks. */
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  const rejecting = async (): Promise<never> => {
    throw new Error('of the application')
  }
  const recorded = (): { logger: Logger; faults: string[] } => {
    const faults: string[] = []
    const note = (fields: object, said: string): void => {
      const { err } = fields as { err?: Error }
      faults.push(`${said}: ${err?.message}`)
    }
    return { logger: { ...silentLogger, error: note, warn: note }, faults }
  }

  it('as a subscriber is logged, and the others get their messages', async () => {
    const { logger, faults } = recorded()
    const broker = await startBroker({ logger })
    const seen: string[] = []
    await broker.subscribe('a', rejecting)
    await broker.subscribe('a', () => {
      throw new Error('at once')
    })
    await broker.subscribe('a', (message) => seen.push(text(message)))
    await broker.publish({ topic: 'a', payload: 'x' })
    await settled()
    expect(seen).toEqual(['x'])
    expect(faults.sort()).toEqual([
      'a subscriber of the application threw: at once',
      'a subscriber of the application threw: of the application',
    ])
    expect(unhandled).toEqual([])
  })

  it('as a listener of any event is logged, and the listeners after it are called', async () => {
    const { logger, faults } = recorded()
    const broker = new MqttBroker({ port: 0, logger })
    const events: (keyof BrokerEvents)[] = [
      'listening',
      'clientConnected',
      'subscribed',
      'published',
      'unsubscribed',
      'clientError',
      'clientDisconnected',
      'closed',
      'restoring',
      'storeError',
    ]
    const called: string[] = []
    for (const event of events) {
      broker.on(event, rejecting)
      broker.on(event, () => {
        throw new Error('at once')
      })
      broker.once(event, rejecting)
      broker.once(event, () => called.push(event))
    }
    await broker.start()
    const client = await connectClient(broker, { clientId: 'c', protocolVersion: 5 })
    await client.subscribe('a', 1)
    await broker.publish({ topic: 'a', payload: 'x', retain: true })
    await client.unsubscribe(['a'])
    const gone = clientGone(broker, 'c')
    client.sendBytes('ff ff ff ff ff ff')
    await gone
    await broker.stop()
    broker.emit('restoring', { sessions: 0, retainedMessages: 0, done: true })
    broker.emit('storeError', new Error() as never)
    await settled()
    expect(called.sort()).toEqual([...events].sort())
    const told = faults.filter((fault) => fault.startsWith('a listener'))
    expect(told.filter((fault) => fault.endsWith('at once'))).toHaveLength(events.length)
    expect(told.filter((fault) => fault.endsWith('of the application'))).toHaveLength(2 * events.length)
    expect(unhandled).toEqual([])
  })

  it('as authorizeDelivery is no, and logged', async () => {
    const { logger, faults } = recorded()
    const broker = await startBroker({ logger, authorizeDelivery: rejecting as never })
    const client = await connectClient(broker)
    await client.subscribe('a')
    await broker.publish({ topic: 'a', payload: 'x' })
    expect((await client.quiet()).filter(({ cmd }) => cmd === 'publish')).toEqual([])
    await settled()
    expect(faults).toEqual([expect.stringContaining('the authorizeDelivery hook failed')])
    expect(unhandled).toEqual([])
  })
})

describe('the listeners of a broker', () => {
  it('come and go as those of any emitter', async () => {
    const broker = new MqttBroker({ port: 0 })
    const context = { name: 'context' }
    const calls: unknown[] = []
    function note(this: unknown): void {
      calls.push(this)
    }
    broker.on('closed', note, context)
    broker.addListener('closed', note)
    broker.once('closed', note)
    expect(broker.listeners('closed')).toEqual([note, note, note])
    expect(broker.listenerCount('closed')).toBe(3)
    broker.emit('closed')
    expect(calls).toEqual([context, broker, broker])
    expect(broker.listenerCount('closed')).toBe(2)
    broker.off('closed', note, context)
    expect(broker.listenerCount('closed')).toBe(1)
    broker.removeListener('closed', note)
    broker.off('closed', () => undefined)
    expect(broker.listenerCount('closed')).toBe(0)
    expect(broker.emit('closed')).toBe(false)
    broker.on('listening', note).on('closed', note)
    broker.removeAllListeners()
    expect(broker.eventNames()).toEqual([])
  })

  it.each([undefined, null, 'x', {}])('are functions, not %j', (listener) => {
    const broker = new MqttBroker({ port: 0 })
    for (const add of ['on', 'once', 'addListener'] as const)
      expect(() => broker[add]('closed', listener as never)).toThrow(
        expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }),
      )
  })
})

describe('for await of broker.messages()', () => {
  it('ends with stop(), and has had what arrived before; start() again is a new one', async () => {
    const broker = await startBroker()
    const seen: string[] = []
    const stream = broker.messages('#')
    const read = async (messages: AsyncIterable<Message>): Promise<void> => {
      for await (const message of messages) seen.push(text(message))
    }
    for (const payload of ['1', '2', '3']) await broker.publish({ topic: 'a', payload })
    await broker.stop()
    await read(stream)
    expect(seen).toEqual(['1', '2', '3'])
    await broker.start()
    await broker.publish({ topic: 'a', payload: 'to nobody' })
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    const reading = read(broker.messages('#'))
    await broker.publish({ topic: 'a', payload: '4' })
    await vi.waitFor(() => expect(seen).toHaveLength(4), patience)
    await broker.stop()
    await reading
    expect(seen).toEqual(['1', '2', '3', '4'])
  })

  it('that has begun before start() gets its messages, and ends where start() never comes', async () => {
    const broker = new MqttBroker({ port: 0 })
    const early = broker.messages('#')
    await broker.start()
    await broker.publish({ topic: 'a', payload: 'x' })
    await broker.stop()
    expect(text((await early.next()).value)).toBe('x')
    const never = broker.messages('#')
    const next = never.next()
    await broker.stop()
    expect(await next).toEqual({ value: undefined, done: true })
  })

  it('drops what has arrived when its signal says so after stop()', async () => {
    const broker = await startBroker()
    const controller = new AbortController()
    const stream = broker.messages('#', { signal: controller.signal })
    await broker.publish({ topic: 'a', payload: 'x' })
    await broker.stop()
    controller.abort()
    expect(await stream.next()).toEqual({ value: undefined, done: true })
  })
})
