import { describe, expect, it } from 'vitest'
import { packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, openClient, startBroker } from '../../support/broker'
import { illFormed } from './connect-bytes'

describe('MQTT 3.1.1 section 3.3.1.1, DUP', () => {
  it.each([1, 2] as const)('[MQTT-3.3.1-1] a PUBLISH of QoS %i that is sent again has DUP 1', async (qos) => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'c', clean: false })
    await first.subscribe('a', qos)
    await first.publish('a', 'x', { qos })
    expect(await first.nextMessage()).toMatchObject({ text: 'x', dup: false })
    await first.disconnect()
    for (let i = 0; i < 2; i++) {
      const again = await connectClient(broker, { clientId: 'c', clean: false })
      expect(await again.nextMessage()).toMatchObject({ text: 'x', dup: true })
      await again.disconnect()
    }
  })

  it('[MQTT-3.3.1-2] a PUBLISH of QoS 0 to a client has DUP 0', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 0)
    await client.publish('a', 'x', { qos: 1, dup: true })
    expect(await client.nextMessage()).toMatchObject({ qos: 0, dup: false })
  })

  it('[MQTT-3.3.1-2] a PUBLISH of QoS 0 with DUP 1 is not delivered with it', async () => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('a', 0)
    const client = await connectClient(broker)
    client.sendBytes(packet(0x38, string('a'), Buffer.from('x')))
    await client.closed()
    expect(await watcher.quiet()).toEqual([])
  })

  it.each([1, 2] as const)('[MQTT-3.3.1-3] DUP of an incoming PUBLISH of QoS %i is not passed on', async (qos) => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 2)
    await client.publish('a', 'x', { qos, dup: true })
    expect(await client.nextMessage()).toMatchObject({ text: 'x', qos, dup: false })
  })
})

describe('MQTT 3.1.1 section 3.3.1.2, QoS', () => {
  it.each([0x36, 0x37, 0x3e, 0x3f])(
    '[MQTT-3.3.1-4] a PUBLISH of QoS 3 (first byte %i) closes the connection',
    async (first) => {
      const broker = await startBroker()
      const watcher = await connectClient(broker)
      await watcher.subscribe('#', 2)
      const client = await connectClient(broker)
      client.sendBytes(packet(first, string('a'), u16(1), Buffer.from('x')))
      await client.closed()
      expect(client.received).toHaveLength(1)
      expect(await watcher.quiet()).toEqual([])
    },
  )
})

describe('MQTT 3.1.1 section 3.3.1.3, RETAIN', () => {
  it.each([0, 1, 2] as const)('[MQTT-3.3.1-5] a retained message of QoS %i is kept with its QoS', async (qos) => {
    const broker = await startBroker()
    const publisher = await connectClient(broker)
    await publisher.publish('a', 'x', { qos, retain: true })
    await publisher.quiet()
    const subscriber = await connectClient(broker)
    await subscriber.subscribe('a', 2)
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'x', qos, retain: true })
  })

  it('[MQTT-3.3.1-6] a new subscription gets the last retained message of each topic that it matches', async () => {
    const broker = await startBroker()
    const publisher = await connectClient(broker)
    for (const [topic, text] of [
      ['home/1', 'old'],
      ['home/1', 'new'],
      ['home/2', 'two'],
      ['home', 'parent'],
      ['office/1', 'elsewhere'],
    ] as const)
      await publisher.publish(topic, text, { qos: 1, retain: true })
    const subscriber = await connectClient(broker)
    await subscriber.subscribe('home/#', 1)
    const texts = (await subscriber.quiet()).map((message) => message.cmd === 'publish' && message.payload.toString())
    expect(texts.sort()).toEqual(['new', 'parent', 'two'])
  })

  it('[MQTT-3.3.1-7] a retained message of QoS 0 takes the place of the one before', async () => {
    const broker = await startBroker()
    const publisher = await connectClient(broker)
    await publisher.publish('a', 'old', { qos: 1, retain: true })
    await publisher.publish('a', 'new', { qos: 0, retain: true })
    await publisher.quiet()
    const subscriber = await connectClient(broker)
    await subscriber.subscribe('a', 1)
    expect(await subscriber.nextMessage()).toMatchObject({ text: 'new', qos: 0 })
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-8] what a new subscription brings has RETAIN 1', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker)
    await client.publish('a', 'x', { qos: 1, retain: true })
    for (const filter of ['a', '+', '#']) {
      await client.subscribe(filter, 1)
      const message = await client.nextMessage()
      expect(message).toMatchObject({ text: 'x', retain: true })
      await client.acknowledge(message.packet)
    }
  })

  it.each([0, 1, 2] as const)(
    '[MQTT-3.3.1-9] what an established subscription gets (QoS %i) has RETAIN 0',
    async (qos) => {
      const client = await connectClient(await startBroker())
      await client.subscribe('a', qos)
      await client.publish('a', 'x', { qos, retain: true })
      expect(await client.nextMessage()).toMatchObject({ text: 'x', qos, retain: false })
      expect(await client.quiet()).toEqual([])
    },
  )

  it('[MQTT-3.3.1-9] RETAIN is 0 too for a message that waited in the session', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'c', clean: false })
    await first.subscribe('a', 1)
    await first.disconnect()
    const publisher = await connectClient(broker)
    await publisher.publish('a', 'x', { qos: 1, retain: true })
    const second = await connectClient(broker, { clientId: 'c', clean: false })
    expect(await second.nextMessage()).toMatchObject({ text: 'x', retain: false })
  })

  it.each([0, 1, 2] as const)(
    '[MQTT-3.3.1-10] an empty retained message (QoS %i) is delivered and removes the retained one',
    async (qos) => {
      const broker = await startBroker()
      const client = await connectClient(broker)
      await client.publish('a', 'x', { qos: 1, retain: true })
      await client.publish('b', 'stays', { qos: 1, retain: true })
      const watcher = await connectClient(broker)
      await watcher.subscribe('a', 2)
      await watcher.acknowledge((await watcher.nextMessage()).packet)
      await client.publish('a', '', { qos, retain: true })
      await client.quiet()
      expect(await watcher.nextMessage()).toMatchObject({ topic: 'a', text: '', retain: false })
      const late = await connectClient(broker)
      await late.subscribe('#', 1)
      expect(await late.nextMessage()).toMatchObject({ topic: 'b', text: 'stays' })
      expect(await late.quiet()).toEqual([])
    },
  )

  it('[MQTT-3.3.1-11] an empty message is not stored as retained', async () => {
    const client = await connectClient(await startBroker())
    await client.publish('a', '', { qos: 1, retain: true })
    await client.subscribe('a', 1)
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-3.3.1-12] a PUBLISH without RETAIN stores nothing', async () => {
    const client = await connectClient(await startBroker())
    await client.publish('a', 'x', { qos: 1 })
    await client.subscribe('a', 1)
    expect(await client.quiet()).toEqual([])
  })

  it.each(['other', ''])(
    '[MQTT-3.3.1-12] a PUBLISH of %j without RETAIN leaves the retained message alone',
    async (payload) => {
      const client = await connectClient(await startBroker())
      await client.publish('a', 'retained', { qos: 1, retain: true })
      await client.publish('a', payload, { qos: 1 })
      await client.subscribe('a', 1)
      expect(await client.nextMessage()).toMatchObject({ text: 'retained', retain: true })
      expect(await client.quiet()).toEqual([])
    },
  )
})

describe('MQTT 3.1.1 section 3.3.2, Topic Name', () => {
  it.each(illFormed)('[MQTT-3.3.2-1] a Topic Name with %s closes the connection', async (_why, field) => {
    const client = await connectClient(await startBroker())
    client.sendBytes(packet(0x30, field))
    await client.closed()
  })

  it.each([
    ['no Topic Name', packet(0x30)],
    ['half of its length', packet(0x30, 0)],
    ['a Topic Name longer than the packet', packet(0x30, u16(5), Buffer.from('abc'))],
  ])('[MQTT-3.3.2-1] a PUBLISH with %s closes the connection', async (_what, wrong) => {
    const client = await connectClient(await startBroker())
    client.sendBytes(wrong)
    await client.closed()
  })

  it.each(['+', '#', 'a/+', 'a/#', 'a+b', 'a#', '+/a'])(
    '[MQTT-3.3.2-2] the Topic Name %s closes the connection',
    async (topic) => {
      const broker = await startBroker()
      const watcher = await connectClient(broker)
      await watcher.subscribe(['#', topic === 'a+b' || topic === 'a#' ? 'a' : topic], 0)
      const client = await connectClient(broker)
      client.sendBytes(packet(0x32, string(topic), u16(1), Buffer.from('x')))
      await client.closed()
      expect(client.received).toHaveLength(1)
      expect(await watcher.quiet()).toEqual([])
    },
  )

  it('[MQTT-3.3.2-3] a subscriber sees the Topic Name, not its filter, and only what it matches', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker)
    await client.subscribe('a/+/c', 0)
    for (const topic of ['a/b/c', 'a/b', 'a/b/c/d', 'a//c', 'x/b/c', 'A/b/c']) client.sendPublish(topic)
    const topics = (await client.quiet()).map((message) => message.cmd === 'publish' && message.topic)
    expect(topics).toEqual(['a/b/c', 'a//c'])
  })
})

describe('MQTT 3.1.1 sections 3.3.4 and 3.3.5, response and actions', () => {
  it('[MQTT-3.3.4-1] QoS 0 is not answered, QoS 1 with PUBACK, QoS 2 with PUBREC', async () => {
    const client = await connectClient(await startBroker())
    client.sendPublish('a', 'x')
    expect(await client.quiet()).toEqual([])
    client.sendPublish('a', 'x', { qos: 1, messageId: 1 })
    expect((await client.quiet()).map(({ cmd, messageId }) => [cmd, messageId])).toEqual([['puback', 1]])
    client.sendPublish('a', 'x', { qos: 2, messageId: 2 })
    expect((await client.quiet()).map(({ cmd, messageId }) => [cmd, messageId])).toEqual([['pubrec', 2]])
  })

  it.each([
    [
      ['a/#', 'a/+', 'a/b'],
      [0, 1, 2],
    ],
    [
      ['a/b', 'a/+', 'a/#'],
      [2, 1, 0],
    ],
    [
      ['a/+', 'a/#', 'a/b'],
      [0, 2, 1],
    ],
  ] as const)(
    '[MQTT-3.3.5-1] overlapping filters %j of QoS %j bring the message with QoS 2',
    async (filters, levels) => {
      const client = await connectClient(await startBroker())
      for (const [i, filter] of filters.entries()) await client.subscribe(filter, levels[i]!)
      await client.publish('a/b', 'x', { qos: 2 })
      const messages = (await client.quiet()).filter((message) => message.cmd === 'publish')
      expect(Math.max(...messages.map(({ qos }) => qos))).toBe(2)
      // a copy for each subscription is allowed, each with its own QoS at the most
      expect(messages.length).toBeLessThanOrEqual(3)
    },
  )

  it.each([
    ['at once', () => false],
    ['later', () => Promise.resolve(false)],
  ])(
    '[MQTT-3.3.5-2] a PUBLISH that is refused %s is acknowledged or closes the connection, and goes nowhere',
    async (_when, no) => {
      for (const qos of [0, 1, 2] as const) {
        const broker = await startBroker({ authorizePublish: no })
        const watcher = await connectClient(broker)
        await watcher.subscribe('#', 2)
        const client = await openClient(broker)
        await client.connect()
        client.sendPublish('a', 'x', { qos, messageId: 5, retain: true })
        const answer = await client.quiet().catch(() => undefined)
        if (answer === undefined) expect(client.isClosed).toBe(true)
        else
          expect(answer.map(({ cmd, messageId }) => [cmd, messageId])).toEqual(
            [[], [['puback', 5]], [['pubrec', 5]]][qos],
          )
        expect(await watcher.quiet()).toEqual([])
        await watcher.subscribe('a', 2)
        expect(await watcher.quiet()).toEqual([])
      }
    },
  )
})
