import { connect } from 'node:net'
import { generate, type Packet } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MqttBroker } from '../../../src/mqtt-broker'
import type { ProtocolVersion } from '../../../src/protocol/packet'
import { HandFedListener } from '../../support/hand-fed-listener'
import { parsePackets } from '../../support/recording-output'

const listener = new HandFedListener()
let broker: MqttBroker

beforeAll(async () => {
  broker = await MqttBroker.start({ listeners: [listener] })
})
afterAll(() => broker.stop())

/** A conversation of one client with itself, from CONNECT to DISCONNECT. */
function conversation(version: ProtocolVersion): Buffer {
  const properties =
    version === 5 ? { properties: { contentType: 'text', userProperties: { a: 'b' }, messageExpiryInterval: 60 } } : {}
  const packets: Packet[] = [
    { cmd: 'connect', protocolId: 'MQTT', protocolVersion: version, clientId: 'split', clean: true, keepalive: 0 },
    { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/+', qos: 2 }] },
    { cmd: 'publish', topic: 'a/0', payload: 'at most once', qos: 0, dup: false, retain: false, ...properties },
    { cmd: 'publish', topic: 'a/0', payload: 'once more', qos: 0, dup: false, retain: false },
    { cmd: 'publish', topic: 'a/1', payload: 'x'.repeat(130), qos: 1, dup: false, retain: false, messageId: 2 },
    { cmd: 'pingreq' },
    {
      cmd: 'publish',
      topic: 'a/2',
      payload: 'exactly once',
      qos: 2,
      dup: false,
      retain: false,
      messageId: 3,
      ...properties,
    },
    { cmd: 'pubrel', messageId: 3 },
    { cmd: 'puback', messageId: 1 },
    { cmd: 'pubrec', messageId: 2 },
    { cmd: 'pubcomp', messageId: 2 },
    { cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a/+'] },
    { cmd: 'publish', topic: 'a/0', payload: 'to nobody', qos: 0, dup: false, retain: false },
    { cmd: 'disconnect' },
  ]
  return Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: version })))
}

async function answerTo(chunks: readonly Uint8Array[]): Promise<Buffer> {
  const client = listener.connect()
  for (const chunk of chunks) client.feed(chunk)
  await client.ended
  return client.output
}

describe.each<ProtocolVersion>([4, 5])('a conversation in MQTT %i', (version) => {
  const whole = conversation(version)

  it('is answered in one piece', async () => {
    const packets = parsePackets(await answerTo([whole]), version)
    expect(packets.map(({ cmd }) => cmd)).toEqual([
      'connack',
      'suback',
      'publish',
      'publish',
      'publish',
      'puback',
      'pingresp',
      'publish',
      'pubrec',
      'pubcomp',
      'pubrel',
      'unsuback',
    ])
  })

  it('is answered with the same bytes when it is split at any byte', async () => {
    const wanted = (await answerTo([whole])).toString('hex')
    for (let cut = 1; cut < whole.length; cut++) {
      const answer = await answerTo([whole.subarray(0, cut), whole.subarray(cut)])
      expect(answer.toString('hex'), `split at byte ${cut}`).toBe(wanted)
    }
  })

  it('is answered with the same bytes when it comes byte by byte', async () => {
    const wanted = await answerTo([whole])
    expect(await answerTo(Array.from(whole, (byte) => Uint8Array.of(byte)))).toEqual(wanted)
  })

  it('is answered with the same bytes over a socket of the machine', async () => {
    const wanted = await answerTo([whole])
    const overTcp = await MqttBroker.start({ port: 0 })
    try {
      const socket = connect(overTcp.port, '127.0.0.1')
      socket.setNoDelay(true)
      const received: Buffer[] = []
      socket.on('data', (bytes: Buffer) => received.push(bytes))
      const closed = new Promise((resolve) => socket.on('close', resolve))
      for (const byte of whole) await new Promise<void>((resolve) => socket.write(Uint8Array.of(byte), () => resolve()))
      await closed
      expect(Buffer.concat(received)).toEqual(wanted)
    } finally {
      await overTcp.stop()
    }
  })
})
