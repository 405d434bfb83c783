import { describe, expect, it, vi } from 'vitest'
import type { Client, MqttBroker, Right } from '../../src/index'
import { clientGone, connectClient, openClient, startBroker } from '../support/broker'
import { nextEvent } from '../support/broker-event'
import type { RawClient } from '../support/raw-client'
import { stores } from '../support/stores'

const patience = { timeout: 5000, interval: 10 }
const versions = [4, 5] as const

const texts = (client: RawClient): string[] =>
  client.received.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))

const allow = (action: Right['action'], filter: string, more: Partial<Right> = {}): Right => ({
  permission: 'allow',
  action,
  filter,
  ...more,
})
const deny = (action: Right['action'], filter: string): Right => ({ permission: 'deny', action, filter })
const everything = [allow('publish', '#'), allow('subscribe', '#')]

/** A broker where the clients have the rights of their user name; a user that is not named has all. */
async function entitled(rights: Record<string, readonly Right[]>, more: object = {}): Promise<MqttBroker> {
  return startBroker({
    authenticate: (_client, { username = 'all' }) => ({ success: true, username, rights: rights[username] }),
    ...more,
  })
}

const as = (username: string, more: object = {}) => ({ username, password: 'x', clientId: username, ...more })

describe('rights of a client', () => {
  it.each(versions)('bound what it publishes: version %d', async (protocolVersion) => {
    const rights = [
      allow('publish', 'own/+', { qos: 1 }),
      allow('publish', 'kept/#', { retain: true }),
      deny('publish', 'own/x'),
    ]
    const broker = await entitled({ ada: rights })
    const watcher = await connectClient(broker)
    await watcher.subscribe('#', 2)
    watcher.autoAcknowledge = true
    const ada = await connectClient(broker, as('ada', { protocolVersion }))
    const told: unknown[] = []
    broker.on('clientError', ({ code }, _peer, client, { topic }) => told.push([code, client?.username, topic]))
    const attempts = [
      ['own/a', 0, false, true],
      ['own/a', 1, false, true],
      ['own/a', 1, true, true],
      ['own/a', 2, false, false],
      ['own/x', 0, false, false],
      ['own/a/b', 1, false, false],
      ['kept/a', 2, true, true],
      ['kept/a', 2, false, false],
      ['other', 0, false, false],
    ] as const
    const expected: string[] = []
    const denied: unknown[] = []
    for (const [i, [topic, qos, retain, isAllowed]] of attempts.entries()) {
      const answer = await ada.publish(topic, `${i}`, { qos, retain })
      if (isAllowed) expected.push(`${i}`)
      else denied.push(['GNATMQ_NOT_AUTHORIZED', 'ada', topic])
      if (protocolVersion === 5 && qos > 0) expect(answer?.reasonCode).toBe(isAllowed ? 0 : 0x87)
    }
    await ada.quiet()
    await vi.waitFor(() => expect(texts(watcher)).toEqual(expected), patience)
    await watcher.quiet()
    expect(texts(watcher)).toEqual(expected)
    expect(told).toEqual(denied)
  })

  it('bound what comes by a Topic Alias, and by many topics in turn', async () => {
    const broker = await entitled({ ada: [allow('publish', 'own/#')] })
    const watcher = await connectClient(broker)
    await watcher.subscribe('#')
    const ada = await connectClient(broker, as('ada', { protocolVersion: 5 }))
    const alias = { properties: { topicAlias: 1 } }
    ada.sendPublish('other', 'no', alias)
    ada.sendPublish('', 'no', alias)
    ada.sendPublish('own/1', 'yes', alias)
    ada.sendPublish('', 'yes', alias)
    for (let i = 0; i < 100; i++) ada.sendPublish(`${i % 2 === 0 ? 'own' : 'other'}/${i % 40}`, `${i % 2}`)
    ada.sendPublish(`own/${'x'.repeat(500)}`, 'long')
    ada.sendPublish(`other/${'x'.repeat(500)}`, 'no')
    await ada.quiet()
    await watcher.quiet()
    expect(texts(watcher)).toEqual(['yes', 'yes', ...Array.from({ length: 50 }, () => '0'), 'long'])
  })

  it.each(versions)('bound what it subscribes to: version %d', async (protocolVersion) => {
    const rights = [
      allow('subscribe', 'own/#', { qos: 1 }),
      allow('subscribe', 'low/+', { qos: 0 }),
      deny('subscribe', '+/secret'),
    ]
    const broker = await entitled({ ada: rights })
    const ada = await connectClient(broker, as('ada', { protocolVersion }))
    const no = protocolVersion === 5 ? 0x87 : 0x80
    const filters = [
      'own/a',
      'own/a/b',
      'low/a',
      'low/+',
      'low/#',
      '#',
      '+/a',
      'own/#',
      'own/secret',
      '$share/g/own/a',
      '$share/g/x',
    ]
    const { granted } = await ada.subscribe(filters, 2)
    expect(granted).toEqual([1, 1, 0, no, no, no, no, no, no, 1, no])
  })

  it('bound its Will at CONNECT and when it is published', async () => {
    const broker = await entitled({ ada: [allow('publish', 'will/ada')], eve: [allow('publish', 'will/eve')] })
    const watcher = await connectClient(broker)
    await watcher.subscribe('will/#', 1)
    const will = { will: { topic: 'will/ada', payload: Buffer.from('x'), qos: 1 as const, retain: false } }
    const refused = await openClient(broker)
    expect(await refused.connect(as('eve', { protocolVersion: 5, ...will }))).toMatchObject({ reasonCode: 0x87 })
    const first = await connectClient(broker, as('ada', will))
    first.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'x' })
    await clientGone(broker, 'ada')
    const second = await connectClient(broker, as('ada', will))
    await broker.clients.get('ada')!.setRights([])
    second.destroy()
    await clientGone(broker, 'ada')
    expect(await watcher.quiet()).toEqual([])
  })

  it.each(versions.flatMap((version) => ([0, 1, 2] as const).map((qos) => [version, qos] as const)))(
    'bound what it is sent, new, retained and shared, where they say so: version %d, QoS %d',
    async (protocolVersion, qos) => {
      const rights = [...everything, allow('deliver', '#'), deny('deliver', 'secret/#')]
      const broker = await entitled({ ada: rights })
      for (const topic of ['secret/kept', 'open/kept'])
        await broker.publish({ topic, payload: topic, qos, retain: true })
      const ada = await connectClient(broker, as('ada', { protocolVersion, properties: { topicAliasMaximum: 5 } }))
      ada.autoAcknowledge = true
      await ada.subscribe(['#', '$share/g/secret/shared'], qos)
      const other = await connectClient(broker, as('other', { protocolVersion }))
      other.autoAcknowledge = true
      await other.subscribe('$share/g/secret/shared', qos)
      const publisher = await connectClient(broker, as('publisher', { protocolVersion }))
      for (let i = 0; i < 4; i++) {
        for (const topic of ['secret/a', 'open/a']) await publisher.publish(topic, `${topic} ${i}`, { qos })
        await publisher.publish('secret/shared', `shared ${i}`, { qos })
      }
      const expected = ['open/kept', ...[0, 1, 2, 3].map((i) => `open/a ${i}`)]
      await vi.waitFor(() => expect(texts(ada).sort()).toEqual([...expected].sort()), patience)
      await ada.quiet()
      expect(texts(ada)).toHaveLength(expected.length)
      await vi.waitFor(() => expect(texts(other)).toHaveLength(4), patience)
    },
  )

  it('hold together with the hooks: both must allow', async () => {
    const hooks = {
      authorizePublish: (_client: Client, { topic }: { topic: string }) => topic !== 'a',
      authorizeSubscribe: (_client: Client, { qos, topicFilter }: { qos: number; topicFilter: string }) =>
        topicFilter === 'b' ? { qos: 0 as const } : qos < 3 && topicFilter !== 'a',
      authorizeDelivery: (_client: Client, { topic }: { topic: string }) => topic !== 'd',
    }
    const rights = ['a', 'b', 'c', 'd'].flatMap((one) => [allow('publish', one), allow('subscribe', one, { qos: 1 })])
    const broker = await entitled({ ada: [...rights, allow('deliver', '+'), deny('deliver', 'c')] }, hooks)
    const ada = await connectClient(broker, as('ada', { protocolVersion: 5 }))
    expect((await ada.subscribe(['a', 'b', 'c', 'd', 'e'], 2)).granted).toEqual([0x87, 0, 1, 1, 0x87])
    const codes: unknown[] = []
    for (const topic of ['a', 'b', 'e']) codes.push((await ada.publish(topic, topic, { qos: 1 }))?.reasonCode)
    expect(codes).toEqual([0x87, 0, 0x87])
    for (const topic of ['c', 'd']) await broker.publish({ topic, payload: topic })
    await ada.quiet()
    expect(texts(ada)).toEqual(['b'])
  })

  it('are asked again for the subscriptions of a session that resumes', async () => {
    const rights = { ada: everything as readonly Right[] }
    const broker = await entitled(rights)
    const first = await connectClient(broker, as('ada', { clean: false }))
    await first.subscribe(['a', 'b'], 1)
    await first.disconnect()
    await clientGone(broker, 'ada')
    for (const topic of ['a', 'b']) await broker.publish({ topic, payload: topic, qos: 1 })
    rights.ada = [allow('subscribe', 'b')]
    const second = await connectClient(broker, as('ada', { clean: false }))
    expect(await second.nextMessage()).toMatchObject({ text: 'b' })
    expect(await second.quiet()).toEqual([])
    expect(broker.statistics.subscriptions).toBe(1)
  })

  it('deny the client where they are no rights', async () => {
    const broker = await entitled({ ada: [{ permission: 'maybe' }] as never })
    const error = nextEvent(broker, 'clientError')
    const client = await openClient(broker)
    expect(await client.connect(as('ada', { protocolVersion: 5 }))).toMatchObject({ reasonCode: 0x87 })
    expect((await error)[0]).toMatchObject({ code: 'GNATMQ_HOOK_FAILED' })
  })
})

describe.each(stores())('setRights, with $name', ({ make }) => {
  it.each(versions.flatMap((version) => ([1, 2] as const).map((qos) => [version, qos] as const)))(
    'ends subscriptions and drops what waits because of them: version %d, QoS %d',
    async (protocolVersion, qos) => {
      const store = make()
      const broker = await entitled({ ada: everything }, { store, limits: { maximumInflight: 1 } })
      const durable = protocolVersion === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}
      const ada = await connectClient(broker, as('ada', { protocolVersion, clean: false, ...durable }))
      await ada.subscribe(['secret', 'open'], qos)
      for (const text of ['1', '2']) await broker.publish({ topic: 'secret', payload: text, qos })
      await broker.publish({ topic: 'open', payload: 'open', qos })
      const { packet } = await ada.nextMessage()
      const client = broker.clients.get('ada')!
      const unsubscribed = nextEvent(broker, 'unsubscribed')
      await client.setRights([allow('subscribe', 'open', { qos: 1 }), allow('publish', 'x')])
      expect(client.rights).toHaveLength(2)
      expect((await unsubscribed)[1]).toBe('secret')
      await broker.publish({ topic: 'secret', payload: 'too late', qos })
      ada.autoAcknowledge = true
      ada.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId! } as never)
      await vi.waitFor(() => expect(texts(ada)).toEqual(['1', 'open']), patience)
      await ada.quiet()
      expect(texts(ada)).toEqual(['1', 'open'])
      expect((await ada.subscribe('secret', 1)).granted).toEqual([protocolVersion === 5 ? 0x87 : 0x80])
      await broker.publish({ topic: 'open', payload: 'lower', qos: 2 })
      await vi.waitFor(() => expect(texts(ada)).toContain('lower'), patience)
      expect(ada.received.filter((one) => one.cmd === 'publish').pop()).toMatchObject({ qos: 1 })
    },
  )
})

describe('setRights', () => {
  it('holds for the next PUBLISH, and for one that waits for a hook', async () => {
    const answers: ((verdict: boolean) => void)[] = []
    const authorizePublish = (_client: Client, { topic }: { topic: string }) =>
      topic !== 'slow' || new Promise<boolean>((resolve) => answers.push(resolve))
    const broker = await entitled({ ada: everything }, { authorizePublish })
    const watcher = await connectClient(broker)
    await watcher.subscribe('#')
    const ada = await connectClient(broker, as('ada'))
    await ada.publish('a', 'first', { qos: 1 })
    ada.sendPublish('slow', 'no', { qos: 1 })
    await vi.waitFor(() => expect(answers).toHaveLength(1), patience)
    await broker.clients.get('ada')!.setRights([allow('publish', 'b')])
    answers[0]!(true)
    await ada.publish('a', 'no', { qos: 1 })
    await ada.publish('b', 'second', { qos: 1 })
    await broker.clients.get('ada')!.setRights(undefined)
    await ada.publish('a', 'third', { qos: 1 })
    await watcher.quiet()
    expect(texts(watcher)).toEqual(['first', 'second', 'third'])
  })

  it('comes before the answer of a hook about a SUBSCRIBE', async () => {
    const answers: ((verdict: boolean) => void)[] = []
    const authorizeSubscribe = () => new Promise<boolean>((resolve) => answers.push(resolve))
    const broker = await entitled({ ada: everything }, { authorizeSubscribe })
    const ada = await connectClient(broker, as('ada', { protocolVersion: 5 }))
    const answer = ada.subscribe('secret', 1)
    await vi.waitFor(() => expect(answers).toHaveLength(1), patience)
    await broker.clients.get('ada')!.setRights([allow('subscribe', 'open')])
    answers[0]!(true)
    expect((await answer).granted).toEqual([0x87])
  })

  it.each([0, 1] as const)('begins and ends what is looked at before it is sent, QoS %d', async (qos) => {
    const broker = await entitled({ ada: everything })
    const ada = await connectClient(broker, as('ada'))
    ada.autoAcknowledge = true
    await ada.subscribe('#', qos)
    const publisher = await connectClient(broker)
    const client = broker.clients.get('ada')!
    await publisher.publish('secret', '1', { qos })
    await publisher.quiet()
    await client.setRights([...everything, allow('deliver', 'open')])
    for (const topic of ['secret', 'open']) await publisher.publish(topic, '2', { qos })
    await publisher.quiet()
    await client.setRights(everything)
    await publisher.publish('secret', '3', { qos })
    await vi.waitFor(() => expect(texts(ada)).toEqual(['1', '2', '3']), patience)
  })

  it('throws for what are no rights, and changes nothing; of a client that has gone it does nothing', async () => {
    const broker = await entitled({ ada: everything })
    const ada = await connectClient(broker, as('ada'))
    const client = broker.clients.get('ada')!
    expect(() => client.setRights([{ permission: 'allow' } as never])).toThrow()
    expect(client.rights).toEqual(everything)
    await ada.disconnect()
    await vi.waitFor(() => expect(client.connected).toBe(false), patience)
    await client.setRights([])
  })

  it('is what a re-authentication with other rights does', async () => {
    const answers = [everything, [allow('subscribe', 'open')]]
    const step = () => ({ success: true as const, username: 'ada', rights: answers.shift() })
    const broker = await startBroker({ authenticationMethods: { token: () => ({ step }) } })
    const properties = { authenticationMethod: 'token' }
    const ada = await connectClient(broker, { clientId: 'ada', protocolVersion: 5, properties })
    await ada.subscribe(['secret', 'open'])
    const unsubscribed = nextEvent(broker, 'unsubscribed')
    ada.send({ cmd: 'auth', reasonCode: 0x19, properties } as never)
    await ada.next('auth')
    expect((await unsubscribed)[1]).toBe('secret')
    for (const topic of ['secret', 'open']) await broker.publish({ topic, payload: topic })
    await ada.quiet()
    expect(texts(ada)).toEqual(['open'])
  })
})
