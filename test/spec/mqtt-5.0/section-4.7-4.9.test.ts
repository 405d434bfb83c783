import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import { binary, block, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'
import { connect, gone, lastWord, pair, persistent } from './clients'

/** What a filter is answered with: the code of SUBACK, or `closed` and the code of DISCONNECT. */
async function answerTo(broker: MqttBroker, filter: Buffer): Promise<number | string> {
  const client = await connect(broker)
  client.sendBytes(packet(0x82, u16(1), block(), filter, 0))
  const answer = await client.next('suback').catch(() => undefined)
  if (answer === undefined) return `closed ${(await lastWord(client))?.toString(16)}`
  return Number(answer.granted[0])
}

describe('section 4.7: topics', () => {
  it('[MQTT-4.7.0-1] a Topic Name with a wildcard is refused, in PUBLISH and in a Will', async () => {
    const { broker, subscriber } = await pair()
    await subscriber.subscribe('#')
    for (const topic of ['a/+', 'a/#', '#', 'a+b']) {
      const client = await connect(broker)
      client.sendBytes(packet(0x30, string(topic), block()))
      expect(await lastWord(client)).toBe(0x81)
    }
    expect(await subscriber.quiet()).toEqual([])
  })

  it('[MQTT-4.7.1-1] # stands alone or after a slash, and last', async () => {
    const broker = await startBroker()
    for (const filter of ['#', 'a/#', '/#', 'a/b/#', '+/#']) expect(await answerTo(broker, string(filter))).toBe(0)
    for (const filter of ['a#', '#a', 'a/#/b', '#/', '#/a', '##', 'a/##', 'a/b#', '+#'])
      expect(await answerTo(broker, string(filter)), filter).toBe('closed 81')
  })

  it('[MQTT-4.7.1-2] + takes a whole level', async () => {
    const broker = await startBroker()
    for (const filter of ['+', 'a/+', '+/a', 'a/+/b', '/+', '+/', '+/+', '+/+/#'])
      expect(await answerTo(broker, string(filter))).toBe(0)
    for (const filter of ['a+', '+a', 'a/+b', 'a/b+/c', '++', '+/++'])
      expect(await answerTo(broker, string(filter)), filter).toBe('closed 81')
  })

  it.each([
    ['a/b/#', ['a/b', 'a/b/c', 'a/b/c/d', 'a/b/'], ['a', 'a/', 'a/bc', 'b']],
    ['#', ['a', '/', 'a/b', '/a'], ['$a', '$a/b']],
    ['+', ['a'], ['a/', '/', 'a/b', '$a']],
    ['+/+', ['a/b', '/', '/a', 'a/'], ['a', 'a/b/c', '$a/b']],
    ['/+', ['/a', '/'], ['a', 'a/b', '/a/']],
    ['a/+/c', ['a/b/c', 'a//c', 'a/+x/c'.replace('+', 'y')], ['a/c', 'a/b/b/c']],
    ['$a/#', ['$a', '$a/b'], ['a', '$b']],
    ['$a/+', ['$a/b', '$a/'], ['$a', '$a/b/c']],
  ])(
    '[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.2-1] the filter %s matches what it says',
    async (filter, matching, others) => {
      const { subscriber, publisher } = await pair()
      await subscriber.subscribe(filter, 1)
      for (const topic of [...others, ...matching]) await publisher.publish(topic, 'x', { qos: 1 })
      const topics = (await subscriber.quiet()).map((message) =>
        message.cmd === 'publish' ? message.topic : message.cmd,
      )
      expect(topics).toEqual(matching)
    },
  )

  it('[MQTT-4.7.2-1] a retained message of a $ topic is not found by a wildcard at the start', async () => {
    const { subscriber, publisher } = await pair()
    await publisher.publish('$x/a', 'kept', { qos: 1, retain: true })
    await subscriber.subscribe('#')
    await subscriber.subscribe('+/a')
    expect(
      (await subscriber.quiet()).filter((message) => message.cmd === 'publish' && message.topic === '$x/a'),
    ).toEqual([])
    await subscriber.subscribe('$x/#')
    expect(await subscriber.nextMessage()).toMatchObject({ topic: '$x/a' })
  })

  it('[MQTT-4.7.3-1] an empty Topic Name or Topic Filter is refused, a slash is enough', async () => {
    const broker = await startBroker()
    expect(await answerTo(broker, string(''))).toBe('closed 81')
    const client = await connect(broker)
    client.sendBytes(packet(0x30, string(''), block()))
    expect([0x81, 0x82, 0x90]).toContain(await lastWord(client))
    const fine = await connect(broker)
    await fine.subscribe('/')
    await fine.publish('/', 'x')
    expect(await fine.nextMessage()).toMatchObject({ topic: '/' })
  })

  it('[MQTT-4.7.3-2] U+0000 in a Topic Name or Topic Filter closes the connection', async () => {
    const broker = await startBroker()
    expect(await answerTo(broker, binary(Buffer.from('a\0b')))).toBe('closed 81')
    const client = await connect(broker)
    client.sendBytes(packet(0x30, binary(Buffer.from('a\0b')), block()))
    expect(await lastWord(client)).toBe(0x81)
  })

  it('[MQTT-4.7.3-3] a topic of 65,535 bytes passes whole', async () => {
    const { subscriber, publisher } = await pair()
    const topic = `${'ü'.repeat(32_767)}x`
    expect(Buffer.byteLength(topic)).toBe(65_535)
    await subscriber.subscribe(topic, 1)
    await publisher.publish(topic, 'x', { qos: 1 })
    expect(await subscriber.nextMessage()).toMatchObject({ topic })
  })

  it('[MQTT-4.7.3-4] topics are compared as they are: case, spaces, slashes, composition', async () => {
    const { subscriber, publisher } = await pair()
    const names = [
      'A',
      'a',
      'a ',
      ' a',
      'a/',
      '/a',
      '//a',
      'é',
      'e\u0301',
      '__proto__',
      'constructor',
      'a%20b',
      '\u{10FFFF}',
    ]
    for (const [index, name] of names.entries())
      await subscriber.subscribe(name, 1, { properties: { subscriptionIdentifier: index + 1 } })
    for (const name of names) await publisher.publish(name, 'x', { qos: 1 })
    for (const [index, topic] of names.entries()) {
      const message = await subscriber.next('publish')
      expect(message.topic).toBe(topic)
      expect(message.properties?.subscriptionIdentifier).toBe(index + 1)
    }
    expect(await subscriber.quiet()).toEqual([])
  })
})

describe('section 4.8: shared subscriptions', () => {
  /** Clients that share a filter. */
  async function group(broker: MqttBroker, filter: string, qos: (0 | 1 | 2)[], prefix = 'm'): Promise<RawClient[]> {
    const members = []
    for (const [index, granted] of qos.entries()) {
      const member = await connect(broker, persistent(`${prefix}${index}`))
      await member.subscribe(filter, granted)
      members.push(member)
    }
    return members
  }

  /** All that each client has received until now. */
  const counts = async (clients: RawClient[]): Promise<number[]> => {
    const found = []
    for (const client of clients) found.push((await client.quiet()).filter(({ cmd }) => cmd === 'publish').length)
    return found
  }

  it('[MQTT-4.8.2-1] a shared filter needs a Share Name', async () => {
    const broker = await startBroker()
    expect(await answerTo(broker, string('$share/g/a'))).toBe(0)
    expect(await answerTo(broker, string('$share/g//'))).toBe(0)
    for (const filter of ['$share//a', '$share/', '$share//'])
      expect(await answerTo(broker, string(filter)), filter).toBe('closed 82')
  })

  it('[MQTT-4.8.2-2] a Share Name has no wildcard and is followed by a Topic Filter', async () => {
    const broker = await startBroker()
    for (const filter of [
      '$share/g',
      '$share/g/',
      '$share/+/a',
      '$share/#/a',
      '$share/g+/a',
      '$share/#',
      '$share/g/a#',
    ])
      expect(await answerTo(broker, string(filter)), filter).toBe('closed 82')
  })

  it('[extra] each message goes to one member of each group, and to every other subscriber', async () => {
    const { broker, subscriber, publisher } = await pair()
    await subscriber.subscribe('a')
    const one = await group(broker, '$share/one/a', [1, 1, 1], 'o')
    const two = await group(broker, '$share/two/+', [1, 1], 't')
    for (let n = 0; n < 12; n++) await publisher.publish('a', String(n), { qos: 1 })
    const sum = (all: number[]): number => all.reduce((a, b) => a + b, 0)
    const ofOne = await counts(one)
    expect(sum(ofOne)).toBe(12)
    expect(Math.min(...ofOne)).toBeGreaterThan(0)
    expect(sum(await counts(two))).toBe(12)
    expect(await counts([subscriber])).toEqual([12])
  })

  it('[MQTT-4.8.2-3] each member gets messages with no more than the QoS that it was granted', async () => {
    const { broker, publisher } = await pair()
    const members = await group(broker, '$share/g/a', [0, 1, 2])
    for (let n = 0; n < 9; n++) await publisher.publish('a', String(n), { qos: 2 })
    for (const [granted, member] of members.entries()) {
      const messages = (await member.quiet()).filter((message) => message.cmd === 'publish')
      expect(messages.length).toBeGreaterThan(0)
      for (const message of messages) expect(message.qos).toBe(granted)
    }
  })

  it('[MQTT-4.8.2-4] a QoS 2 message whose delivery has begun is completed with the same client when it is back', async () => {
    const { broker, publisher } = await pair()
    const members = await group(broker, '$share/g/a', [2, 2])
    await publisher.publish('a', 'begun', { qos: 2 })
    const has = (await members[0]!.quiet()).length > 0 ? 0 : 1
    const other = members[1 - has]!
    members[has]!.destroy()
    await gone(broker, `m${has}`)
    expect(await counts([other])).toEqual([0])
    const back = await connect(broker, persistent(`m${has}`))
    const { packet: message } = await back.nextMessage()
    expect(message).toMatchObject({ qos: 2, dup: true })
    await back.acknowledge(message)
    expect(await counts([other])).toEqual([0])
  })

  it('[MQTT-4.8.2-5] a QoS 2 message whose receiver loses its session goes to nobody else', async () => {
    const { broker, publisher } = await pair()
    const members = await group(broker, '$share/g/a', [2, 2])
    await publisher.publish('a', 'begun', { qos: 2 })
    const has = (await members[0]!.quiet()).length > 0 ? 0 : 1
    members[has]!.destroy()
    await gone(broker, `m${has}`)
    const fresh = await connect(broker, { ...persistent(`m${has}`), clean: true })
    expect(fresh.received[0]).toMatchObject({ sessionPresent: false })
    expect(await counts([members[1 - has]!])).toEqual([0])
  })

  it('[MQTT-4.8.2-6] a message that its receiver refuses goes to nobody else', async () => {
    const { broker, publisher } = await pair()
    for (const qos of [1, 2] as const) {
      const members = await group(broker, `$share/g/q${qos}`, [2, 2], `q${qos}-`)
      await publisher.publish(`q${qos}`, 'x', { qos })
      const answers = await Promise.all(members.map((member) => member.quiet()))
      const has = answers[0]!.length > 0 ? 0 : 1
      const message = answers[has]![0]!
      const { messageId } = message
      members[has]!.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId!, reasonCode: 0x83 })
      expect(await counts([members[has]!, members[1 - has]!])).toEqual([0, 0])
      for (const member of members) await member.disconnect()
    }
  })
})

describe('section 4.9: flow control', () => {
  it('[MQTT-4.9.0-1] [MQTT-4.9.0-2] the quota begins at most at Receive Maximum, and nothing is sent at zero', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { receiveMaximum: 3 } })
    await client.subscribe('a', 1)
    for (let n = 0; n < 10; n++) await publisher.publish('a', String(n), { qos: 1 })
    const first = (await client.quiet()).filter((message) => message.cmd === 'publish')
    expect(first).toHaveLength(3)
    client.send({ cmd: 'puback', messageId: first[1]!.messageId! })
    expect((await client.quiet()).map((message) => message.cmd === 'publish' && message.payload.toString())).toEqual([
      '3',
    ])
    // an acknowledgement of what was acknowledged already gives nothing back
    client.send({ cmd: 'puback', messageId: first[1]!.messageId! })
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-4.9.0-1] the quota begins anew with each connection, and counts what is sent again', async () => {
    const { broker, publisher } = await pair()
    const options = { ...persistent('s'), properties: { sessionExpiryInterval: 100, receiveMaximum: 2 } }
    const before = await connect(broker, options)
    await before.subscribe('a', 1)
    for (let n = 0; n < 5; n++) await publisher.publish('a', String(n), { qos: 1 })
    expect(await before.quiet()).toHaveLength(2)
    before.destroy()
    await gone(broker, 's')
    const after = await connect(broker, options)
    const messages = await after.quiet()
    expect(messages.map((message) => message.cmd === 'publish' && message.payload.toString())).toEqual(['0', '1'])
    const narrow = { ...options, properties: { sessionExpiryInterval: 100, receiveMaximum: 1 } }
    after.destroy()
    await gone(broker, 's')
    const last = await connect(broker, narrow)
    expect((await last.quiet()).filter(({ cmd }) => cmd === 'publish')).toHaveLength(1)
  })

  it('[MQTT-4.9.0-2] one acknowledgement lets one message go, QoS 0 passes by', async () => {
    const { broker, publisher } = await pair()
    const client = await connect(broker, { properties: { receiveMaximum: 1 } })
    await client.subscribe('a', 2)
    for (let n = 0; n < 4; n++) await publisher.publish('a', String(n), { qos: 2 })
    await publisher.publish('a', 'by the way')
    for (let n = 0; n < 4; n++) {
      const open = (await client.quiet()).filter((message) => message.cmd === 'publish' && message.qos === 2)
      expect(open).toHaveLength(1)
      const messageId = open[0]!.messageId!
      client.send({ cmd: 'pubrec', messageId })
      await client.next('pubrel')
      client.send({ cmd: 'pubcomp', messageId })
    }
    expect(client.receivedBytes.includes('by the way')).toBe(true)
  })
})
