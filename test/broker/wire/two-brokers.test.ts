import type { IPublishPacket, Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { Change } from '../../../src/ports/store'
import { startBroker } from '../../support/broker'
import { type HandFedClient, HandFedListener } from '../../support/hand-fed-listener'
import { encode, type Version } from '../../support/raw-client'
import { parsePackets } from '../../support/recording-output'

/** Calls `during` in the midst of each commit. */
class TalkativeStore extends MemoryStore {
  private readonly during: () => void

  constructor(during: () => void) {
    super()
    this.during = during
  }

  override commit(changes: readonly Change[]): void | Promise<void> {
    this.during()
    return super.commit(changes)
  }
}

const hookNames = ['authenticate', 'authorizePublish', 'authorizeSubscribe', 'authorizeDelivery'] as const
const eventNames = [
  'clientConnected',
  'clientDisconnected',
  'clientError',
  'published',
  'subscribed',
  'unsubscribed',
] as const
const places = [...hookNames, ...eventNames, 'store'] as const
type Place = (typeof places)[number]

/** A broker that calls `during` where `place` says, and brings its clients by hand. */
async function startTalking(place: Place | null, during: () => void) {
  const listener = new HandFedListener()
  const options: MqttBrokerOptions = { listeners: [listener] }
  const ask = (name: Place) => (): true => {
    if (name === place) during()
    return true
  }
  options.authenticate = ask('authenticate')
  options.authorizePublish = ask('authorizePublish')
  options.authorizeSubscribe = ask('authorizeSubscribe')
  // without a hook messages go the straight way
  if (place === 'authorizeDelivery') options.authorizeDelivery = ask(place)
  if (place === 'store') options.store = new TalkativeStore(during)
  const broker = await startBroker(options)
  const event = eventNames.find((name) => name === place)
  if (event !== undefined) broker.on(event, during)
  return { broker, listener }
}

function connect(clientId: string, version: Version, kept = false): Buffer {
  const properties = kept ? { sessionExpiryInterval: 100 } : {}
  const protocol = { protocolId: 'MQTT', protocolVersion: version } as const
  return encode({ cmd: 'connect', clientId, clean: true, keepalive: 0, properties, ...protocol }, version)
}

const subscribe = (topic: string, version: Version): Buffer =>
  encode({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] }, version)

const publish = (topic: string, payload: string, qos: 0 | 1 | 2, version: Version): Buffer =>
  encode({ cmd: 'publish', topic, payload, qos, messageId: 7, dup: false, retain: false }, version)

/** What a client was sent, in short. */
function messagesOf(client: HandFedClient, version: Version): string[] {
  const isPublish = (packet: Packet): packet is IPublishPacket => packet.cmd === 'publish'
  const packets = parsePackets(client.output, version).filter(isPublish)
  return packets.map(({ topic, payload }) => `${topic} ${payload}`)
}

const typesOf = (client: HandFedClient, version: Version): string[] =>
  parsePackets(client.output, version).map(({ cmd }) => cmd)

/** What hearer and speaker are sent before anybody speaks. */
const accepted = [['connack', 'suback'], ['connack']]

/** Everything that makes a broker ask or tell its application something. */
function visit(listener: HandFedListener, version: Version): { watcher: HandFedClient; sender: HandFedClient } {
  const watcher = listener.connect()
  watcher.feed(Buffer.concat([connect('watcher', 5, true), subscribe('t/#', 5)]))
  const plain = listener.connect()
  plain.feed(Buffer.concat([connect('plain', version), subscribe('t/2', version)]))
  const sender = listener.connect()
  const messages = [
    publish('t/1', 'one', 0, version),
    publish('t/2', 'two', 1, version),
    publish('t/3', 'three', 2, version),
    publish('t/4', 'four', 0, version),
  ]
  // one packet in two pieces
  const bytes = Buffer.concat([connect('sender', version), ...messages])
  sender.feed(bytes.subarray(0, -5))
  sender.feed(bytes.subarray(-5))
  plain.feed(encode({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['t/2'] }, version))
  const stranger = listener.connect()
  stranger.feed(Buffer.of(0xf0, 0))
  const leaver = listener.connect()
  leaver.feed(Buffer.concat([connect('leaver', version), encode({ cmd: 'disconnect' }, version)]))
  return { watcher, sender }
}

const sent = ['t/1 one', 't/2 two', 't/3 three', 't/4 four']
/** How often one broker speaks to another. */
const TIMES = 4

describe.each(places)('a broker that is spoken to from within %s of another', (place) => {
  it.each([4, 5] as const)('takes its own message, and the other one its own (MQTT version %d)', async (version) => {
    let times = 0
    let speak: () => void = () => undefined
    const first = await startTalking(place, () => speak())
    const second = await startTalking(null, () => undefined)
    const hearer = second.listener.connect()
    hearer.feed(Buffer.concat([connect('hearer', version), subscribe('in/#', version)]))
    const speaker = second.listener.connect()
    speaker.feed(connect('speaker', version))
    await expect.poll(() => [typesOf(hearer, version), typesOf(speaker, version)]).toEqual(accepted)
    speak = () => {
      if (times === TIMES) return
      times++
      // of another length than what the first broker has in hand
      const bytes = publish('in/side', `${times}`.repeat(40), times % 2 === 0 ? 0 : 1, version)
      speaker.feed(bytes.subarray(0, 3))
      speaker.feed(bytes.subarray(3))
    }
    const { watcher } = visit(first.listener, version)
    await expect.poll(() => messagesOf(watcher, 5)).toEqual(sent)
    expect(times).toBeGreaterThan(0)
    const wanted = Array.from({ length: times }, (_, i) => `in/side ${`${i + 1}`.repeat(40)}`)
    await expect.poll(() => messagesOf(hearer, version)).toEqual(wanted)
    speak = () => undefined
  })
})

/** The hooks and events in which a broker is entered again by its own application. */
describe.each(places)('a broker that is spoken to from within its own %s', (place) => {
  it.each([
    ['over a connection', 4],
    ['over a connection', 5],
    ['by publish()', 4],
    ['by publish()', 5],
  ] as const)('takes both messages, %s (MQTT version %d)', async (how, version) => {
    let times = 0
    let speak: () => void = () => undefined
    const { broker, listener }: { broker: MqttBroker; listener: HandFedListener } = await startTalking(place, () =>
      speak(),
    )
    const hearer = listener.connect()
    hearer.feed(Buffer.concat([connect('hearer', version), subscribe('in/#', version)]))
    const speaker = listener.connect()
    speaker.feed(connect('speaker', version))
    await expect.poll(() => [typesOf(hearer, version), typesOf(speaker, version)]).toEqual(accepted)
    speak = () => {
      if (times === TIMES) return
      times++
      const payload = `${times}`.repeat(40)
      if (how === 'by publish()') void broker.publish({ topic: 'in/side', payload, qos: times % 2 === 0 ? 0 : 1 })
      else speaker.feed(publish('in/side', payload, times % 2 === 0 ? 0 : 1, version))
    }
    const { watcher } = visit(listener, version)
    await expect.poll(() => messagesOf(watcher, 5)).toEqual(sent)
    expect(times).toBeGreaterThan(0)
    const wanted = Array.from({ length: times }, (_, i) => `in/side ${`${i + 1}`.repeat(40)}`)
    await expect.poll(() => messagesOf(hearer, version).sort()).toEqual(wanted)
    // while it stops, too, it tells of those that leave
    speak = () => undefined
  })
})
