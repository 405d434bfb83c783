import type { IPubackPacket, IPublishPacket } from 'mqtt-packet'
import { describe, expect, it, vi } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import { MemoryStore } from '../../src/persistence/memory-store'
import type { RevocationTarget } from '../../src/ports/revocation'
import type { Change, QueueEntry, Store } from '../../src/ports/store'
import { clientGone, connectClient, openClient, startBroker } from '../support/broker'
import type { RawClient } from '../support/raw-client'
import { stores } from '../support/stores'

const patience = { timeout: 5000, interval: 10 }

const texts = (client: RawClient): string[] =>
  client.received.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))

/** By filter, or by what ends the session. */
const targets: [string, RevocationTarget][] = [
  ['filter', { filter: 'secret/#' }],
  ['clientId and filter', { clientId: 'reader', filter: 'secret/#' }],
  ['clientId', { clientId: 'reader' }],
  ['username', { username: 'ada' }],
]
const versions = [4, 5] as const

/** A store whose commits can be held back, and made to fail. */
class HeldStore extends MemoryStore {
  private gate: Promise<void> | undefined
  private letGo: () => void = () => undefined
  isRefusing = false

  hold(): void {
    this.gate = new Promise((resolve) => (this.letGo = resolve))
  }

  release(): void {
    this.gate = undefined
    this.letGo()
  }

  override commit(changes: readonly Change[]): void | Promise<void> {
    if (this.isRefusing) return Promise.reject(new Error('the disk is full'))
    if (this.gate === undefined) return super.commit(changes)
    return this.gate.then(() => super.commit(changes))
  }
}

async function queueOf(store: Store, clientId: string): Promise<readonly QueueEntry[]> {
  return store.queue(clientId, 0, 1000)
}

/** A broker that has one place in flight for each client, its reader `reader` of the user ada, and a publisher. */
async function world(store: Store, protocolVersion: 4 | 5, qos: 1 | 2, more: object = {}) {
  const options = { store, limits: { maximumInflight: 1 }, authenticate: () => true, ...more }
  const broker = await startBroker(options)
  const connect = {
    clientId: 'reader',
    username: 'ada',
    password: 'x',
    clean: false,
    protocolVersion,
    ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
  } as const
  const reader = await connectClient(broker, connect)
  await reader.subscribe(['secret/#', 'open/#'], qos)
  const publisher = await connectClient(broker, { protocolVersion, username: 'eve', password: 'x' })
  const publish = async (topic: string, text: string): Promise<void> => {
    await publisher.publish(topic, text, { qos })
  }
  return { broker, connect, reader, publisher, publish, options }
}

/** After `revoke` has resolved: whatever could bring something secret to the reader. Nothing of it may. */
async function expectNothing(
  w: Awaited<ReturnType<typeof world>>,
  target: RevocationTarget,
  store: Store,
  unacknowledged: IPublishPacket,
) {
  const { broker, connect, publish } = w
  let { reader } = w
  const isFilter = target.filter !== undefined
  if (isFilter) await reader.quiet()
  else await reader.closed()
  const before = texts(reader).length
  const entries = await queueOf(store, 'reader')
  expect(entries.filter(({ message }) => message.topic.startsWith('secret'))).toEqual([])
  await publish('secret/x', 'too late')
  await publish('open/x', 'open')
  if (isFilter) {
    // what makes room in the window
    reader.autoAcknowledge = true
    const { messageId, qos } = unacknowledged
    reader.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId } as IPubackPacket)
    await vi.waitFor(() => expect(texts(reader).slice(before)).toEqual(['open']), patience)
    await reader.quiet()
    await reader.disconnect()
    await clientGone(broker, 'reader')
    await publish('open/x', 'open again')
  }
  reader = await openClient(broker)
  const connack = await reader.connect(connect)
  expect(connack.sessionPresent).toBe(isFilter)
  reader.autoAcknowledge = true
  if (isFilter) await vi.waitFor(() => expect(texts(reader)).toEqual(['open again']), patience)
  await reader.quiet()
  await reader.quiet()
  expect(texts(reader)).toEqual(isFilter ? ['open again'] : [])
}

describe.each(stores())('revoke, with $name', ({ make }) => {
  describe.each(targets)('by %s', (_by, target) => {
    it.each(versions.flatMap((version) => ([1, 2] as const).map((qos) => [version, qos] as const)))(
      'while messages are in flight and queued: version %d, QoS %d',
      async (version, qos) => {
        const store = make()
        const w = await world(store, version, qos)
        for (let i = 0; i < 5; i++) await w.publish('secret/x', `${i}`)
        const { packet } = await w.reader.nextMessage()
        await w.broker.revoke(target)
        expect(texts(w.reader)).toEqual(['0'])
        if (target.filter === undefined && version === 5)
          expect(await w.reader.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
        await expectNothing(w, target, store, packet)
        expect(texts(w.reader).filter((text) => text !== 'open')).toEqual(['0'])
      },
    )

    it.each(versions)('while the reader is away: version %d', async (version) => {
      const store = make()
      const w = await world(store, version, 2)
      await w.publish('secret/x', '0')
      await w.reader.nextMessage()
      w.reader.destroy()
      await clientGone(w.broker, 'reader')
      for (let i = 1; i < 5; i++) await w.publish('secret/x', `${i}`)
      await w.broker.revoke(target)
      const entries = await queueOf(store, 'reader')
      expect(entries).toEqual([])
      const again = await openClient(w.broker)
      expect(await again.connect(w.connect)).toMatchObject({ sessionPresent: target.filter !== undefined })
      again.autoAcknowledge = true
      await w.publish('secret/x', 'too late')
      await again.quiet()
      expect(texts(again)).toEqual([])
    })

    it.each(versions)('while retained messages are being sent: version %d', async (version) => {
      const store = make()
      const w = await world(store, version, 1)
      for (let i = 0; i < 20; i++)
        await w.broker.publish({ topic: `secret/${i}`, payload: `${i}`, retain: true, qos: 1 })
      await w.reader.unsubscribe('secret/#')
      await w.reader.subscribe('secret/#', 1)
      const { packet } = await w.reader.nextMessage()
      await w.broker.revoke(target)
      expect(texts(w.reader)).toHaveLength(1)
      await expectNothing(w, target, store, packet)
    })
  })

  it.each(targets)('by %s, of a session that lies in the store alone', async (_by, target) => {
    const store = make()
    const first = await MqttBroker.start({ port: 0, store, authenticate: () => true })
    const connect = { clientId: 'reader', username: 'ada', clean: false } as const
    const reader = await connectClient(first, connect)
    await reader.subscribe(['secret/#', 'open'], 2)
    for (let i = 0; i < 3; i++) await first.publish({ topic: 'secret/x', payload: `${i}`, qos: 2 })
    await reader.nextMessage()
    reader.destroy()
    await clientGone(first, 'reader')
    for (let i = 3; i < 1500; i++) await first.publish({ topic: 'secret/x', payload: `${i}`, qos: 1 })
    await first.publish({ topic: 'open', payload: 'open', qos: 1 })
    await first.stop()
    const second = await MqttBroker.start({ port: 0, store, authenticate: () => true })
    const revoked = await second.revoke(target)
    const isFilter = target.filter !== undefined
    expect(revoked).toEqual({ connections: 0, sessions: isFilter ? 0 : 1, subscriptions: isFilter ? 1 : 2 })
    await second.stop()
    const third = await startBroker({ store, authenticate: () => true })
    const again = await openClient(third)
    expect(await again.connect(connect)).toMatchObject({ sessionPresent: isFilter })
    again.autoAcknowledge = true
    await third.publish({ topic: 'secret/x', payload: 'too late', qos: 1 })
    if (isFilter) await vi.waitFor(() => expect(texts(again)).toEqual(['open']), patience)
    await again.quiet()
    expect(texts(again)).toEqual(isFilter ? ['open'] : [])
  })

  it.each(versions)('gives what one member of a shared group has to the others: version %d', async (version) => {
    const store = make()
    const w = await world(store, version, 1)
    await w.reader.unsubscribe('secret/#')
    await w.reader.subscribe('$share/g/secret/#', 1)
    for (let i = 0; i < 4; i++) await w.publish('secret/x', `${i}`)
    await w.reader.nextMessage()
    const other = await connectClient(w.broker, { clientId: 'other' })
    await other.subscribe('$share/g/secret/#', 1)
    other.autoAcknowledge = true
    await w.broker.revoke({ clientId: 'reader', filter: 'secret/#' })
    await vi.waitFor(() => expect(texts(other)).toEqual(['1', '2', '3']), patience)
    await w.publish('secret/x', 'for the other')
    await vi.waitFor(() => expect(texts(other)).toHaveLength(4), patience)
    w.reader.autoAcknowledge = true
    await w.reader.quiet()
    expect(texts(w.reader)).toEqual(['0'])
    expect((await queueOf(store, 'reader')).length).toBe(0)
  })
})

describe('revoke', () => {
  it('publishes no Will, neither at once, nor after its delay, nor after a hook', async () => {
    const answers: ((verdict: boolean) => void)[] = []
    const asked = new Set<string>()
    const broker = await startBroker({
      authorizePublish: (client, { will, topic }) => {
        if (!will || topic !== 'will/asked' || !asked.has(client.clientId)) {
          asked.add(client.clientId)
          return true
        }
        return new Promise((resolve) => answers.push(resolve))
      },
    })
    const watcher = await connectClient(broker)
    await watcher.subscribe('will/#', 1)
    const will = (topic: string, properties: object = {}) => ({
      will: { topic, payload: Buffer.from('x'), qos: 1 as const, retain: false, properties },
    })
    const durable = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 } } as const
    await connectClient(broker, { clientId: 'now', ...will('will/now') })
    const delayed = await connectClient(broker, {
      clientId: 'delayed',
      ...durable,
      ...will('will/delayed', { willDelayInterval: 600 }),
    })
    const held = await connectClient(broker, { clientId: 'held', ...durable, ...will('will/asked') })
    const short = await connectClient(broker, { clientId: 'short', ...will('will/asked') })
    for (const [client, id] of [
      [delayed, 'delayed'],
      [held, 'held'],
      [short, 'short'],
    ] as const) {
      client.destroy()
      await clientGone(broker, id)
    }
    expect(answers).toHaveLength(2)
    for (const clientId of ['now', 'delayed', 'held', 'short']) await broker.revoke({ clientId })
    for (const answer of answers) answer(true)
    await watcher.quiet()
    await watcher.quiet()
    expect(texts(watcher)).toEqual([])
    expect(broker.statistics.sessions).toBe(1)
  })

  it.each(versions)('comes before the answer of a hook about a SUBSCRIBE: version %d', async (protocolVersion) => {
    const answers: ((verdict: boolean) => void)[] = []
    const broker = await startBroker({
      authorizeSubscribe: () => new Promise<boolean>((resolve) => answers.push(resolve)),
    })
    const reader = await connectClient(broker, { protocolVersion, clientId: 'reader' })
    const answer = reader.subscribe(['secret/x', 'open'], 1)
    await vi.waitFor(() => expect(answers).toHaveLength(1), patience)
    await broker.revoke({ filter: 'secret/#' })
    answers[0]!(true)
    await vi.waitFor(() => expect(answers).toHaveLength(2), patience)
    answers[1]!(true)
    expect((await answer).granted).toEqual([protocolVersion === 5 ? 0x87 : 0x80, 1])
    await broker.publish({ topic: 'secret/x', qos: 1 })
    expect(await reader.quiet()).toEqual([])
    // a new answer holds
    const anew = reader.subscribe('secret/x', 1)
    await vi.waitFor(() => expect(answers).toHaveLength(3), patience)
    answers[2]!(true)
    expect((await anew).granted).toEqual([1])
  })

  it.each(versions)('comes before the answer of a hook about a CONNECT: version %d', async (protocolVersion) => {
    let answer: (verdict: { success: true; username: string }) => void = () => undefined
    const asked = vi.fn(() => new Promise<{ success: true; username: string }>((resolve) => (answer = resolve)))
    const broker = await startBroker({ authenticate: asked })
    const reader = await openClient(broker)
    reader.sendConnect({ protocolVersion, clientId: 'reader', username: 'a token' })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled(), patience)
    await broker.revoke({ username: 'ada' })
    answer({ success: true, username: 'ada' })
    const connack = await reader.next('connack')
    expect(protocolVersion === 5 ? connack.reasonCode : connack.returnCode).toBe(protocolVersion === 5 ? 0x87 : 5)
    await reader.closed()
  })

  it('of a publisher whose message waits for a hook publishes nothing', async () => {
    let answer: (verdict: boolean) => void = () => undefined
    const asked = vi.fn(() => new Promise<boolean>((resolve) => (answer = resolve)))
    const broker = await startBroker({ authorizePublish: asked })
    const watcher = await connectClient(broker)
    await watcher.subscribe('#', 1)
    const publisher = await connectClient(broker, { clientId: 'publisher' })
    publisher.sendPublish('a', 'x', { qos: 1 })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled(), patience)
    await broker.revoke({ clientId: 'publisher' })
    answer(true)
    await publisher.closed()
    expect(await watcher.quiet()).toEqual([])
  })

  it('of a reader while a message for it waits for a hook brings it nothing', async () => {
    let answer: (verdict: boolean) => void = () => undefined
    const asked = vi.fn(() => new Promise<boolean>((resolve) => (answer = resolve)))
    const broker = await startBroker({ authorizePublish: asked })
    const reader = await connectClient(broker)
    await reader.subscribe('a', 1)
    const publisher = await connectClient(broker)
    publisher.sendPublish('a', 'x', { qos: 1 })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled(), patience)
    expect(await broker.revoke({ filter: 'a' })).toEqual({ connections: 0, sessions: 0, subscriptions: 1 })
    answer(true)
    await publisher.next('puback')
    expect(await reader.quiet()).toEqual([])
  })

  it.each(targets)('by %s waits for commits that are open', async (_by, target) => {
    const store = new HeldStore()
    const w = await world(store, 5, 2)
    store.hold()
    w.publisher.sendPublish('secret/x', 'x', { qos: 2 })
    await w.publisher.quiet()
    let isOver = false
    const revoked = w.broker.revoke(target).then(() => (isOver = true))
    await w.publisher.quiet()
    expect(isOver).toBe(false)
    store.release()
    await revoked
    const { length } = texts(w.reader)
    w.reader.autoAcknowledge = true
    if (target.filter !== undefined) await w.reader.quiet()
    expect(texts(w.reader)).toHaveLength(length)
    expect(await queueOf(store, 'reader')).toEqual([])
  })

  it('rejects where the store refuses, and delivers nothing all the same', async () => {
    const store = new HeldStore()
    const w = await world(store, 5, 1)
    for (let i = 0; i < 3; i++) await w.publish('secret/x', `${i}`)
    await w.reader.nextMessage()
    store.isRefusing = true
    await expect(w.broker.revoke({ filter: 'secret/#' })).rejects.toMatchObject({ code: 'GNATMQ_STORE_FAILED' })
    w.reader.autoAcknowledge = true
    expect(await w.reader.quiet()).toEqual([])
    store.isRefusing = false
  })

  it('drops what a client has not read yet of what was written for it', async () => {
    const broker = await startBroker({ limits: { maximumOutgoingBytes: 64 * 1024 * 1024 } })
    const reader = await connectClient(broker, { clientId: 'reader', protocolVersion: 5 })
    await reader.subscribe('secret')
    reader.pause()
    const payload = Buffer.alloc(1024 * 1024)
    for (let i = 0; i < 32; i++) await broker.publish({ topic: 'secret', payload })
    await broker.revoke({ clientId: 'reader' })
    reader.resume()
    await reader.closed()
    expect(texts(reader).length).toBeLessThan(32)
  })

  it('ends a connection that does not read what was written of a revoked filter', async () => {
    const broker = await startBroker({ limits: { maximumOutgoingBytes: 64 * 1024 * 1024 } })
    const reader = await connectClient(broker, { clientId: 'reader', protocolVersion: 5 })
    await reader.subscribe('secret')
    reader.pause()
    const payload = Buffer.alloc(1024 * 1024)
    for (let i = 0; i < 32; i++) await broker.publish({ topic: 'secret', payload })
    await broker.revoke({ filter: 'secret' })
    expect(broker.clients.has('reader')).toBe(false)
  })

  it('takes a message away that is on its way to a great many in slices', async () => {
    const store = new MemoryStore()
    const session = { username: undefined, expiryInterval: 3600, disconnectedAt: 0, will: undefined }
    const options = { noLocal: false, retainAsPublished: false, retainHandling: 0 as const, subscriptionIdentifier: 0 }
    const many = 6000
    for (let i = 0; i < many; i++) {
      const clientId = `c${i}`
      const subscription = { filter: 'secret', qos: 1 as const, ...options }
      store.commit([
        { type: 'session', session: { clientId, ...session } },
        { type: 'subscribe', clientId, subscription },
      ])
    }
    const broker = await startBroker({ store })
    const published = broker.publish({ topic: 'secret', payload: 'x', qos: 1 })
    await new Promise((resolve) => setImmediate(resolve))
    await broker.revoke({ clientId: `c${many - 1}`, filter: 'secret' })
    await broker.revoke({ clientId: `c${many - 2}` })
    await published
    expect(broker.statistics.queuedMessages).toBe(many - 2)
    for (const i of [1, 2]) {
      const client = await connectClient(broker, { clientId: `c${many - i}`, clean: false })
      expect(await client.quiet()).toEqual([])
    }
  })

  it('ends what several clients of a user have, tells of it, and of nothing else', async () => {
    const broker = await startBroker({ authenticate: () => true })
    const [a, b, c] = await Promise.all(
      ['ada', 'ada', 'bob'].map((username, i) => connectClient(broker, { clientId: `${i}`, username, password: 'x' })),
    )
    const gone = vi.fn()
    broker.on('clientDisconnected', (client, { error, reasonCode }) => gone(client.clientId, error?.code, reasonCode))
    const unsubscribed = vi.fn()
    broker.on('unsubscribed', (client, filter) => unsubscribed(client.clientId, filter))
    await c!.subscribe(['a/b', 'a/c', '#'])
    expect(await broker.revoke({ username: 'ada' })).toEqual({ connections: 2, sessions: 2, subscriptions: 0 })
    await Promise.all([a!.closed(), b!.closed()])
    expect(gone.mock.calls.sort()).toEqual([
      ['0', 'GNATMQ_REVOKED', 0x87],
      ['1', 'GNATMQ_REVOKED', 0x87],
    ])
    expect(await broker.revoke({ filter: 'a/+' })).toEqual({ connections: 0, sessions: 0, subscriptions: 2 })
    expect(unsubscribed.mock.calls.sort()).toEqual([
      ['2', 'a/b'],
      ['2', 'a/c'],
    ])
    expect(await broker.revoke({ username: 'nobody' })).toEqual({ connections: 0, sessions: 0, subscriptions: 0 })
    await broker.publish({ topic: 'a/b', payload: 'x' })
    expect(await c!.quiet()).toHaveLength(1)
  })

  it.each([
    ['nothing', {}],
    ['no object', undefined],
    ['another name', { clientID: 'x' }],
    ['a number', { clientId: 5 }],
  ])('refuses a target of %s', async (_what, target) => {
    const broker = await startBroker()
    await expect(broker.revoke(target as never)).rejects.toMatchObject({
      code: expect.stringMatching(/GNATMQ_OPTION_/),
    })
  })

  it('refuses what is no Topic Filter, and a broker that does not run', async () => {
    const broker = await startBroker()
    await expect(broker.revoke({ filter: 'a/#/b' })).rejects.toMatchObject({ code: 'GNATMQ_TOPIC_FILTER_INVALID' })
    await broker.stop()
    await expect(broker.revoke({ clientId: 'x' })).rejects.toMatchObject({ code: 'GNATMQ_NOT_RUNNING' })
  })
})
