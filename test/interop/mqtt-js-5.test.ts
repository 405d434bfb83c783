import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InteropBroker, startInteropBroker } from './broker'
import { eventually, uniqueName } from './client-suite'
import type { Target } from './foreign-clients'
import { connected, mqttJsClient } from './mqtt-js'

let interop: InteropBroker
let target: Target
beforeAll(async () => {
  interop = await startInteropBroker()
  target = interop.target(5, 'TLS')
})
afterAll(() => interop.stop())

const client = (options: IClientOptions = {}) => connected(target, options)

/** The PUBLISH packets that a client receives. */
function packetsOf(subscriber: MqttClient): IPublishPacket[] {
  const packets: IPublishPacket[] = []
  subscriber.on('message', (_topic, _payload, packet) => packets.push(packet))
  return packets
}

const texts = (packets: IPublishPacket[]): string[] => packets.map(({ payload }) => payload.toString())

describe('MQTT.js in MQTT 5.0', () => {
  it('passes on every property of a message, user properties in their order', async () => {
    const topic = uniqueName()
    const subscriber = await client()
    const packets = packetsOf(subscriber)
    await subscriber.subscribeAsync(topic, { qos: 2 })
    const properties = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 3600,
      contentType: 'text/plain',
      responseTopic: 'answers/1',
      correlationData: Buffer.from([0, 1, 255]),
      userProperties: { z: ['1', '2'], a: 'ü', __proto: 'x' },
    }
    for (const qos of [0, 1, 2] as const) await (await client()).publishAsync(topic, 'on', { qos, properties })
    await eventually(() => expect(packets).toHaveLength(3))
    for (const packet of packets) {
      expect({ ...packet.properties, userProperties: { ...packet.properties?.userProperties } }).toEqual(properties)
      expect(Object.keys(packet.properties?.userProperties ?? {})).toEqual(['z', 'a', '__proto'])
    }
  })

  it('asks and answers', async () => {
    const topic = uniqueName()
    const responder = await client()
    responder.on('message', (_topic, payload, { properties }) => {
      const { responseTopic = '', correlationData = Buffer.alloc(0) } = properties ?? {}
      responder.publish(responseTopic, payload.toString().toUpperCase(), { qos: 1, properties: { correlationData } })
    })
    await responder.subscribeAsync(`${topic}/question`, { qos: 1 })
    const asking = await client()
    const packets = packetsOf(asking)
    await asking.subscribeAsync(`${topic}/answer`, { qos: 1 })
    const correlationData = Buffer.from('7')
    await asking.publishAsync(`${topic}/question`, 'why', {
      qos: 1,
      properties: { responseTopic: `${topic}/answer`, correlationData },
    })
    await eventually(() => expect(texts(packets)).toEqual(['WHY']))
    expect(packets[0]!.properties?.correlationData).toEqual(correlationData)
  })

  it('shares a subscription: each message goes to one', async () => {
    const topic = uniqueName()
    const members = await Promise.all([client(), client(), client()])
    const received = members.map(packetsOf)
    for (const member of members) await member.subscribeAsync(`$share/group/${topic}`, { qos: 1 })
    const sent = Array.from({ length: 60 }, (_, i) => String(i))
    const publisher = await client()
    for (const payload of sent) await publisher.publishAsync(topic, payload, { qos: 1 })
    const numeric = (a: string, b: string) => Number(a) - Number(b)
    await eventually(() => expect(received.flatMap(texts).sort(numeric)).toEqual(sent))
    for (const packets of received) expect(packets.length).toBeGreaterThan(0)
  })

  it('gets the identifier of each subscription that matches', async () => {
    const topic = uniqueName()
    const subscriber = await client()
    const packets = packetsOf(subscriber)
    await subscriber.subscribeAsync(`${topic}/a`, { qos: 1, properties: { subscriptionIdentifier: 7 } })
    await subscriber.subscribeAsync(`${topic}/+`, { qos: 1, properties: { subscriptionIdentifier: 268_435_455 } })
    await interop.broker.publish({ topic: `${topic}/b`, payload: 'one', qos: 1 })
    await interop.broker.publish({ topic: `${topic}/a`, payload: 'both', qos: 1 })
    await eventually(() => expect(texts(packets)).toContain('both'))
    const identifiers = packets
      .filter(({ payload }) => payload.toString() === 'both')
      .flatMap(({ properties }) => properties?.subscriptionIdentifier)
    expect(identifiers.sort()).toEqual([268_435_455, 7])
    expect(packets[0]!.properties?.subscriptionIdentifier).toEqual(268_435_455)
  })

  it('uses topic aliases both ways', async () => {
    const topic = uniqueName()
    const subscriber = await client({ properties: { topicAliasMaximum: 5 } })
    const packets = packetsOf(subscriber)
    const aliases: unknown[] = []
    subscriber.on('packetreceive', (packet) => {
      if (packet.cmd === 'publish') aliases.push([packet.topic, packet.properties?.topicAlias])
    })
    await subscriber.subscribeAsync(`${topic}/#`, { qos: 1 })
    const publisher = await client({ autoAssignTopicAlias: true, autoUseTopicAlias: true })
    const sent: unknown[] = []
    publisher.on('packetsend', (packet) => {
      if (packet.cmd === 'publish') sent.push([packet.topic, packet.properties?.topicAlias])
    })
    for (let i = 0; i < 3; i++) await publisher.publishAsync(`${topic}/a`, String(i), { qos: 1 })
    await eventually(() => expect(texts(packets)).toEqual(['0', '1', '2']))
    expect(sent.at(-1)).toEqual(['', 1])
    expect(aliases.at(-1)).toEqual(['', 1])
  })

  it('delays a Will, and takes it back by returning in time', async () => {
    const topic = uniqueName()
    const watcher = await client()
    const packets = packetsOf(watcher)
    await watcher.subscribeAsync(topic, { qos: 1 })
    const options = (clientId: string, payload: string, willDelayInterval: number): IClientOptions => ({
      clientId,
      clean: false,
      properties: { sessionExpiryInterval: 60 },
      will: { topic, payload: Buffer.from(payload), qos: 1, retain: false, properties: { willDelayInterval } },
    })
    const [back, gone] = [uniqueName(), uniqueName()]
    const breaks = [interop.disconnected(back), interop.disconnected(gone)]
    for (const clientId of [back, gone]) {
      const broken = await client(options(clientId, clientId, 10))
      broken.stream.destroy()
    }
    await Promise.all(breaks)
    interop.clock.advance(9_000)
    await client(options(back, back, 10))
    await interop.broker.publish({ topic, payload: '9 seconds', qos: 1 })
    interop.clock.advance(2_000)
    await interop.broker.publish({ topic, payload: '11 seconds', qos: 1 })
    await eventually(() => expect(texts(packets)).toEqual(['9 seconds', gone, '11 seconds']))
  })

  it('keeps a session for Session Expiry Interval and no longer', async () => {
    const [short, long] = [uniqueName(), uniqueName()]
    for (const [clientId, sessionExpiryInterval] of [
      [short, 10],
      [long, 60],
    ] as const) {
      const left = interop.disconnected(clientId)
      const leaving = await client({ clientId, clean: false, properties: { sessionExpiryInterval } })
      await leaving.subscribeAsync(uniqueName())
      await leaving.endAsync()
      await left
    }
    interop.clock.advance(11_000)
    expect(await sessionPresent(short)).toBe(false)
    expect(await sessionPresent(long)).toBe(true)
  })

  it('gets a Client Identifier when it has none', async () => {
    const assigned = new Promise<string | undefined>((resolve) => {
      mqttJsClient(target, { clientId: '' }).once('connect', ({ properties }) => {
        resolve(properties?.assignedClientIdentifier)
      })
    })
    const clientId = await assigned
    expect([...interop.broker.clients.keys()]).toContain(clientId)
  })

  it('subscribes without its own messages, and with RETAIN as published', async () => {
    const topic = uniqueName()
    const subscriber = await client()
    const packets = packetsOf(subscriber)
    await subscriber.publishAsync(topic, 'before', { qos: 1, retain: true })
    await subscriber.subscribeAsync(topic, { qos: 1, nl: true, rap: true, rh: 2 })
    await subscriber.publishAsync(topic, 'own', { qos: 1 })
    await interop.broker.publish({ topic, payload: 'other', qos: 1, retain: true })
    await eventually(() => expect(texts(packets)).toEqual(['other']))
    expect(packets[0]!.retain).toBe(true)
  })
})

/** Whether a client that returns finds its session. */
async function sessionPresent(clientId: string): Promise<boolean> {
  const returning = mqttJsClient(target, { clientId, clean: false })
  return new Promise((resolve) => returning.once('connect', (connack) => resolve(connack.sessionPresent)))
}
