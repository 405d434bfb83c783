import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { KEPT_BYTES, PacketStream } from '../../../src/broker/inspection/packet-stream'
import type { MqttBroker, TraceEntry, TraceStream, TraceTarget } from '../../../src/index'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { connectClient, openClient, startBroker } from '../../support/broker'

/** What a trace has told, in short. */
function follow(broker: MqttBroker, target: TraceTarget): { told: string[]; entries: TraceEntry[]; end: () => void } {
  const aborter = new AbortController()
  const told: string[] = []
  const entries: TraceEntry[] = []
  void (async () => {
    for await (const entry of broker.trace(target, { signal: aborter.signal })) {
      entries.push(entry)
      told.push(brief(entry))
    }
    told.push('end')
  })()
  return { told, entries, end: () => aborter.abort() }
}

function brief(entry: TraceEntry): string {
  if (entry.kind === 'decision') {
    const { topic, filter, reason, why, code } = entry.details
    return [entry.decision, topic ?? filter, reason ?? why ?? code].filter((word) => word !== undefined).join(' ')
  }
  const { packet, clientId, kind } = entry
  const topic = packet?.cmd === 'publish' ? ` ${packet.topic}=${packet.payload} q${packet.qos}` : ''
  return `${kind === 'sent' ? `to ${clientId}` : `of ${clientId}`} ${packet?.cmd ?? 'bytes'}${topic}`
}

describe('a trace of a client', () => {
  it.each([4, 5] as const)(
    'tells of its packets and of what is decided about it: version %d',
    async (protocolVersion) => {
      const broker = await startBroker({ authorizePublish: (_client, { topic }) => topic !== 'secret' })
      const { told, end } = follow(broker, { clientId: 'one' })
      const one = await connectClient(broker, { clientId: 'one', clean: false, protocolVersion })
      const other = await connectClient(broker, { clientId: 'other' })
      await one.subscribe('a/#', 1)
      await one.publish('secret', 'x', { qos: 1 })
      await other.publish('a/1', 'yes', { qos: 0 })
      await other.publish('a/2', 'yes', { qos: 1 })
      await one.acknowledge((await one.nextMessage()).packet)
      await one.acknowledge((await one.nextMessage()).packet)
      await one.quiet()
      await one.disconnect()
      await vi.waitFor(() =>
        expect(told).toEqual([
          'connected',
          'session created',
          'to one connack',
          'of one subscribe',
          'granted a/#',
          'to one suback',
          'of one publish secret=x q1',
          'refused secret GNATMQ_NOT_AUTHORIZED',
          'to one puback',
          'to one publish a/1=yes q0',
          'to one publish a/2=yes q1',
          'of one puback',
          'of one pingreq',
          'to one pingresp',
          'of one disconnect',
          'disconnected',
          ...(protocolVersion === 5 ? ['session ended disconnected'] : []),
        ]),
      )
      end()
      await vi.waitFor(() => expect(told.at(-1)).toBe('end'))
    },
  )

  it('tells of what waits and what is lost', async () => {
    const broker = await startBroker({ limits: { maximumQueuedMessages: 1 } })
    const one = await connectClient(broker, { clientId: 'one', clean: false })
    await one.subscribe('a', 1)
    await one.disconnect()
    await vi.waitFor(() => expect(broker.statistics.clients).toBe(0))
    const { told } = follow(broker, { clientId: 'one' })
    for (let n = 0; n < 2; n++) await broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    await broker.deleteSession('one')
    await vi.waitFor(() => expect(told).toEqual(['queued a', 'dropped a queueFull', 'session ended deleted']))
  })

  it('tells no secret', async () => {
    const broker = await startBroker({
      authenticate: () => true,
      authenticationMethods: { M: () => ({ step: () => ({ success: true, data: Buffer.from('sesame') }) }) },
    })
    const { entries } = follow(broker, { clientId: 'one' })
    const properties = { authenticationMethod: 'M', authenticationData: Buffer.from('sesame') }
    const one = await connectClient(broker, { clientId: 'one', protocolVersion: 5, properties })
    one.send({ cmd: 'auth', reasonCode: 0x19, properties })
    await one.next('auth')
    // a second CONNECT, and an AUTH that cannot be read
    one.sendConnect({ clientId: 'one', protocolVersion: 5, username: 'u', password: 'sesame' })
    await one.closed()
    await vi.waitFor(() => expect(entries.map(brief)).toContain('of one connect'))
    for (const entry of entries)
      if (entry.kind !== 'decision') {
        const shown = JSON.stringify(entry.packet) + entry.bytes
        expect(shown).not.toContain('sesame')
        expect(shown).not.toContain(JSON.stringify([...Buffer.from('sesame')]).slice(1, -1))
      }
  })

  it('shows what cannot be read as bytes, and stands it', async () => {
    const broker = await startBroker()
    const { entries, told } = follow(broker, { clientId: 'one' })
    const one = await connectClient(broker, { clientId: 'one', protocolVersion: 5 })
    const polluting: [string, string][] = [['__proto__', 'x']]
    one.send({
      cmd: 'publish',
      topic: 'a',
      payload: '',
      qos: 0,
      dup: false,
      retain: false,
      properties: { userProperties: Object.fromEntries(polluting) },
    })
    // PUBLISH whose topic is longer than the packet
    one.sendBytes('30 03 ff ff 61')
    await one.closed()
    await vi.waitFor(() => expect(told).toContain('of one bytes'))
    const unread = entries.find((entry) => entry.kind === 'received' && entry.packet === undefined)
    expect(unread).toMatchObject({ bytes: Buffer.from('3003ffff61', 'hex'), size: 5 })
    expect(({} as { x?: string }).x).toBeUndefined()
  })

  it('shows the beginning of a long PUBLISH, either way', async () => {
    const broker = await startBroker()
    const { entries } = follow(broker, { clientId: 'one' })
    const one = await connectClient(broker, { clientId: 'one' })
    await one.subscribe('a', 1)
    await one.publish('a', Buffer.alloc(100_000, 'x'), { qos: 1 })
    await one.nextMessage()
    await vi.waitFor(() => {
      const shown = entries.flatMap((entry) =>
        entry.kind !== 'decision' && entry.packet?.cmd === 'publish'
          ? [[entry.kind, entry.size, (entry.packet.payload as Buffer).length < KEPT_BYTES, entry.packet.topic]]
          : [],
      )
      expect(shown).toEqual([
        ['received', 100_009, true, 'a'],
        ['sent', 100_009, true, 'a'],
      ])
    })
  })
})

describe('a trace of messages', () => {
  it('tells of those whose topics match, and of their receivers', async () => {
    const broker = await startBroker({ limits: { maximumQueuedMessages: 1 } })
    const absent = await connectClient(broker, { clientId: 'absent', clean: false })
    await absent.subscribe('#', 1)
    await absent.disconnect()
    const { told } = follow(broker, { filter: 'a/+' })
    const five = await connectClient(broker, {
      clientId: 'five',
      protocolVersion: 5,
      properties: { topicAliasMaximum: 10 },
    })
    await five.subscribe('#', 0)
    const one = await connectClient(broker, { clientId: 'one', protocolVersion: 5 })
    await one.publish('b/1', 'no', { qos: 1 })
    await one.publish('a/1', 'x', { qos: 0, properties: { topicAlias: 3 } })
    await one.publish('', 'y', { qos: 0, properties: { topicAlias: 3 } })
    await one.publish('a/2', 'z', { qos: 1, retain: true })
    await vi.waitFor(() =>
      expect(told.sort()).toEqual(
        [
          'of one publish a/1=x q0',
          'to five publish a/1=x q0',
          'of one publish =y q0',
          'to five publish =y q0',
          'of one publish a/2=z q1',
          'to five publish a/2=z q0',
          'dropped a/2 queueFull',
          'retained a/2',
        ].sort(),
      ),
    )
  })
})

describe('a trace that is not read', () => {
  const flood = async (broker: MqttBroker, stream: TraceStream, clock: SimulatedClock): Promise<void> => {
    const one = await connectClient(broker, { clientId: 'one' })
    for (let n = 0; n < 50; n++) await one.quiet()
    expect(stream.droppedEntries).toBeGreaterThan(80)
    clock.advance(61_000)
    await one.quiet()
  }

  it('loses the oldest, and is over when nobody has asked for a minute', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    const stream = broker.trace({ clientId: 'one' }, { maximumQueuedEntries: 10 })
    const listeners = broker.listenerCount('clientError')
    await flood(broker, stream, clock)
    expect(broker.listenerCount('clientError')).toBe(listeners - 1)
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  })

  it('gives what has come when it is read late, in order', async () => {
    const broker = await startBroker()
    const stream = broker.trace({ clientId: 'one' }, { maximumQueuedEntries: 3 })
    const one = await connectClient(broker, { clientId: 'one' })
    await one.subscribe('a')
    await one.quiet()
    const told: string[] = []
    for await (const entry of stream) {
      told.push(brief(entry))
      if (told.length === 3) break
    }
    expect(told).toEqual(['to one suback', 'of one pingreq', 'to one pingresp'])
    expect(stream.droppedEntries).toBe(5)
    expect(broker.listenerCount('clientError')).toBe(0)
  })

  it('lets others have their turn while many entries are read', async () => {
    class TakingClock extends SimulatedClock {
      private looks = 0

      override now(): number {
        return super.now() + this.looks++ * 0.3
      }
    }
    const broker = await startBroker({ clock: new TakingClock() })
    const stream = broker.trace({ clientId: 'one' })
    const one = await connectClient(broker, { clientId: 'one' })
    for (let n = 0; n < 200; n++) one.send({ cmd: 'pingreq' })
    await one.quiet()
    let turns = 0
    let isRead = false
    const reading = (async () => {
      for (let n = 0; n < 400; n++) await stream.next()
      isRead = true
    })()
    for (; !isRead; turns++) await nextTurn()
    await reading
    expect(turns).toBeGreaterThan(20)
  })
})

it('a trace ends with the broker, and refuses wrong arguments', async () => {
  const broker = await startBroker()
  const stream = broker.trace({ clientId: 'one' })
  const aborted = broker.trace({ filter: '#' }, { signal: AbortSignal.abort() })
  expect((await aborted.next()).done).toBe(true)
  const code = 'GNATMQ_OPTION_INVALID'
  for (const target of [{}, { clientId: 'a', filter: 'b' }, { clientId: 1 }, null])
    expect(() => broker.trace(target as never)).toThrow(expect.objectContaining({ code }))
  expect(() => broker.trace({ filter: 'a/#/b' })).toThrow(/wildcard|#/)
  expect(() => broker.trace({ clientId: 'a' }, { maximumQueuedEntries: 0 })).toThrow(expect.objectContaining({ code }))
  await broker.stop()
  expect((await stream.next()).done).toBe(true)
  expect(() => broker.trace({ clientId: 'one' })).toThrow(expect.objectContaining({ code: 'GNATMQ_NOT_RUNNING' }))
})

it('a peer that has not connected yet is not traced', async () => {
  const broker = await startBroker()
  const { told } = follow(broker, { clientId: 'one' })
  const peer = await openClient(broker)
  peer.sendBytes('c000')
  await peer.closed()
  expect(told).toEqual([])
})

it.each([1, 2, 3, 7, 64])('packets are found in pieces of %d bytes', (size) => {
  const packets = [Buffer.from('c000', 'hex'), Buffer.concat([Buffer.from('30e807', 'hex'), Buffer.alloc(1000)])]
  const long = Buffer.concat([Buffer.from('30808001', 'hex'), Buffer.alloc(16_384, 1)])
  const all = Buffer.concat([...packets, long, ...packets])
  const found: [number, number][] = []
  const stream = new PacketStream()
  for (let at = 0; at < all.length; at += size)
    stream.push(all.subarray(at, at + size), (head, length) => found.push([head.length, length]))
  expect(found).toEqual([
    [2, 2],
    [1003, 1003],
    [KEPT_BYTES, 16_388],
    [2, 2],
    [1003, 1003],
  ])
})
