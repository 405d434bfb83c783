import { describe, expect, it } from 'vitest'
import { packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, startBroker } from '../../support/broker'
import { nullCharacter } from './connect-bytes'

/** Sends a packet that is wrong and expects the end of the connection, without an answer. */
async function expectClosedBy(wrong: Uint8Array): Promise<void> {
  const client = await connectClient(await startBroker())
  client.sendBytes(wrong)
  await client.closed()
  expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack'])
}

const publish = (topic: Buffer) => packet(0x30, topic, Buffer.from('x'))
const subscribe = (filter: Buffer) => packet(0x82, u16(1), filter, 0)
const unsubscribe = (filter: Buffer) => packet(0xa2, u16(1), filter)

/** Which of `topics` a subscription to `filter` brings. */
async function received(filter: string, topics: readonly string[]): Promise<string[]> {
  const broker = await startBroker()
  const subscriber = await connectClient(broker)
  expect((await subscriber.subscribe(filter, 0)).granted).toEqual([0])
  const publisher = await connectClient(broker)
  for (const topic of topics) publisher.sendPublish(topic)
  await publisher.quiet()
  const messages = (await subscriber.quiet()).filter((message) => message.cmd === 'publish')
  return messages.map(({ topic }) => topic)
}

describe('MQTT 3.1.1 section 4.7.1, wildcards', () => {
  it.each(['+', '#', 'a/+/b', 'a/#', 'a+'])('[MQTT-4.7.1-1] the Topic Name %s closes the connection', async (topic) => {
    await expectClosedBy(publish(string(topic)))
  })

  it.each(['a#', 'a/b#', '#/a', 'a/#/b', '##', '/##', '+#', 'a/+#'])(
    '[MQTT-4.7.1-2] the Topic Filter %s closes the connection',
    async (filter) => {
      await expectClosedBy(subscribe(string(filter)))
      await expectClosedBy(unsubscribe(string(filter)))
    },
  )

  it.each([
    ['#', ['a', 'a/b', '/', '/a', 'a/'], ['a', 'a/b', '/', '/a', 'a/']],
    ['a/#', ['a', 'a/', 'a/b', 'a/b/c', 'ab', 'b/a', 'A'], ['a', 'a/', 'a/b', 'a/b/c']],
    ['/#', ['/', '/a', 'a', 'a/'], ['/', '/a']],
  ])(
    '[MQTT-4.7.1-2] the Topic Filter %s matches what lies below it, and its parent',
    async (filter, topics, matching) => {
      expect(await received(filter, topics)).toEqual(matching)
    },
  )

  it.each(['a+', '+a', 'a/b+', 'a/+b/c', '++', '+a/#'])(
    '[MQTT-4.7.1-3] the Topic Filter %s closes the connection',
    async (filter) => {
      await expectClosedBy(subscribe(string(filter)))
      await expectClosedBy(unsubscribe(string(filter)))
    },
  )

  it.each([
    ['+', ['a', 'b', 'a/b', '/a', 'a/'], ['a', 'b']],
    ['a/+', ['a/b', 'a/', 'a', 'a/b/c', 'b/b'], ['a/b', 'a/']],
    ['+/a', ['b/a', '/a', 'a', 'b/a/c'], ['b/a', '/a']],
    ['+/+', ['/a', 'a/b', '/', 'a'], ['/a', 'a/b', '/']],
    ['/+', ['/a', '/', 'a', 'a/b'], ['/a', '/']],
    ['a/+/c/#', ['a/b/c', 'a/b/c/d/e', 'a//c/', 'a/c', 'a/b/d'], ['a/b/c', 'a/b/c/d/e', 'a//c/']],
  ])(
    '[MQTT-4.7.1-3] in the Topic Filter %s the wildcard stands for one level, empty or not',
    async (filter, topics, matching) => {
      expect(await received(filter, topics)).toEqual(matching)
    },
  )
})

describe('MQTT 3.1.1 section 4.7.2, topics that begin with $', () => {
  it.each([
    ['#', ['$app/a', '$', 'a'], ['a']],
    ['+/a', ['$app/a', 'app/a'], ['app/a']],
    ['+', ['$app', 'app'], ['app']],
    ['$app/#', ['$app', '$app/a', '$app/a/b', 'app/a'], ['$app', '$app/a', '$app/a/b']],
    ['$app/+', ['$app/a', '$app/$a', 'a/$a'], ['$app/a', '$app/$a']],
    ['a/+', ['a/$b'], ['a/$b']],
  ])('[MQTT-4.7.2-1] the Topic Filter %s matches of %j only %j', async (filter, topics, matching) => {
    expect(await received(filter, topics)).toEqual(matching)
  })

  it('[MQTT-4.7.2-1] retained messages too', async () => {
    const client = await connectClient(await startBroker())
    await client.publish('$app/a', 'x', { qos: 1, retain: true })
    await client.subscribe(['#', '+/a', '+/#'], 0)
    expect(await client.quiet()).toEqual([])
    await client.subscribe('$app/#', 0)
    expect(await client.nextMessage()).toMatchObject({ topic: '$app/a' })
  })
})

describe('MQTT 3.1.1 section 4.7.3, topic semantics', () => {
  it.each([
    ['Topic Name', publish(string(''))],
    ['Topic Filter of SUBSCRIBE', subscribe(string(''))],
    ['Topic Filter of UNSUBSCRIBE', unsubscribe(string(''))],
  ])('[MQTT-4.7.3-1] an empty %s closes the connection', async (_what, wrong) => {
    await expectClosedBy(wrong)
  })

  it('[MQTT-4.7.3-1] one character is enough, and a separator alone will do', async () => {
    expect(await received('a', ['a'])).toEqual(['a'])
    expect(await received('/', ['/'])).toEqual(['/'])
    expect(await received(' ', [' '])).toEqual([' '])
  })

  it.each([
    ['Topic Name', publish(nullCharacter)],
    ['Topic Filter of SUBSCRIBE', subscribe(nullCharacter)],
    ['Topic Filter of UNSUBSCRIBE', unsubscribe(nullCharacter)],
  ])('[MQTT-4.7.3-2] a %s with U+0000 closes the connection', async (_what, wrong) => {
    await expectClosedBy(wrong)
  })

  it('[MQTT-4.7.3-3] a topic of 65,535 bytes is published and subscribed to', async () => {
    const topic = `${'é'.repeat(32_767)}a`
    expect(Buffer.byteLength(topic)).toBe(65_535)
    expect(await received(topic, [topic])).toEqual([topic])
  })

  it('[MQTT-4.7.3-4] topics are compared as they are', async () => {
    const topics = ['é', 'e\u0301', 'É', 'a', 'A', ' a', 'a ', 'a//b', 'a/b', 'a/./b', '\u200Ba', '\uFFFDa']
    for (const topic of topics) expect(await received(topic, topics)).toEqual([topic])
  })

  it('[MQTT-4.7.3-4] characters that mean nothing to the broker arrive as they were', async () => {
    const topics = ['\uFFFD', '\uE000', '\u{10FFFF}', '\u{1F600}/x', 'a\tb', 'a\u0080b']
    expect(await received('#', topics)).toEqual(topics)
  })
})
