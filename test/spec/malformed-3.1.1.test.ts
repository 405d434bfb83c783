import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import { type Logger, silentLogger } from '../../src/ports/logger'
import { bytes, packet, string, u16 } from '../protocol/packet-bytes'
import { withBroker } from '../support/broker'
import { RawClient } from '../support/raw-client'
import { Conversation } from './conversation'
import { connects, firstPackets, laterPackets, type Malformed, samples } from './malformed-packets'

/** Errors that the broker did not expect: a row that causes one has failed, whatever the client sees. */
const unexpected: unknown[] = []
const logger: Logger = {
  ...silentLogger,
  error: (fields) => unexpected.push(fields),
}

let broker: MqttBroker
let conversation: Conversation

beforeAll(async () => {
  broker = await MqttBroker.start({ port: 0, logger })
  conversation = await Conversation.start(broker, 4)
})

afterAll(async () => {
  await conversation.stop()
  await broker.stop()
})

const connected = (): Promise<RawClient> => RawClient.connected(broker.port, { protocolVersion: 4 })

/** The bytes close the connection, and are answered by nothing but a CONNACK that refuses. */
async function refuse({ bytes: whole }: Malformed, client: RawClient): Promise<void> {
  unexpected.length = 0
  const before = client.received.length
  const bytesBefore = client.receivedBytes.length
  client.sendBytes(whole)
  await client.closed()
  const answer = client.receivedBytes.subarray(bytesBefore)
  if (answer.length > 0) {
    expect(before).toBe(0)
    expect(answer[0]).toBe(0x20)
    expect(answer[2]).toBe(0)
    expect(answer[3]).toBeGreaterThan(0)
  }
  expect(unexpected).toEqual([])
  await conversation.goesOn()
}

describe('before CONNECT: closed', () => {
  it.each(firstPackets(4))('$name', async (row) => refuse(row, await RawClient.open(broker.port)))
})

describe('CONNECT of a wrong form: closed', () => {
  it.each(connects(4))('$name', async (row) => refuse(row, await RawClient.open(broker.port)))
})

describe('after CONNECT: closed without a word', () => {
  it.each(laterPackets(4))('$name', async (row) => refuse(row, await connected()))
})

describe('filters that break the rules of section 4.7: closed', () => {
  it.each(['a#', 'a+', '+a', 'a/#/b', '#/', '$share/g', '$share//a', '/'.repeat(200), '+/'.repeat(30_000)])(
    '%#',
    async (filter) =>
      refuse(
        { name: '', bytes: packet(0x82, u16(1), string('fine'), 0, string(filter), 0), codes: [] },
        await connected(),
      ),
  )
})

describe('what MQTT 3.1.1 has no word for', () => {
  it('a packet above the largest that the broker takes closes the connection', async () => {
    await withBroker({ limits: { maximumPacketSize: 200 } }, async ({ port }) => {
      const client = await RawClient.connected(port, { protocolVersion: 4 })
      client.sendBytes(packet(0x30, string('a'), Buffer.alloc(200)))
      await client.closed()
      expect(client.received).toHaveLength(1)
    })
  })

  it('a PUBLISH of a QoS or a RETAIN that the broker does not have closes the connection', async () => {
    await withBroker({ maximumQoS: 1, retainAvailable: false }, async ({ port }) => {
      for (const whole of [packet(0x34, string('a'), u16(1)), packet(0x31, string('a'))]) {
        const client = await RawClient.connected(port, { protocolVersion: 4 })
        client.sendBytes(whole)
        await client.closed()
        expect(client.received).toHaveLength(1)
      }
    })
  })
})

describe('packets that are cut or changed anywhere', () => {
  /** The broker answers PINGREQ, or has closed. */
  async function survives(client: RawClient, name: string): Promise<void> {
    client.sendBytes(packet(0xc0))
    await client
      .next('pingresp')
      .catch((error: unknown) => expect(client.isClosed, `${name}: ${String(error)}`).toBe(true))
    expect(unexpected, name).toEqual([])
    client.destroy()
  }

  it.each(samples(4).map((whole) => [whole.toString('hex'), whole] as const))(
    '%s cut at every byte',
    async (_hex, whole) => {
      unexpected.length = 0
      const body = whole.subarray(2)
      for (let length = 0; length < body.length; length++) {
        const client = await connected()
        client.sendBytes(packet(whole[0]!, body.subarray(0, length)))
        await survives(client, `cut after ${length}`)
      }
      await conversation.goesOn()
    },
  )

  it.each(samples(4).map((whole) => [whole.toString('hex'), whole] as const))(
    '%s with each byte changed',
    async (_hex, whole) => {
      unexpected.length = 0
      for (let at = 2; at < whole.length; at++) {
        for (const mask of [0x01, 0x80, 0xff]) {
          const changed = Buffer.from(whole)
          changed[at]! ^= mask
          const client = await connected()
          client.sendBytes(changed)
          await survives(client, `byte ${at} of ${changed.toString('hex')}`)
        }
      }
      await conversation.goesOn()
    },
  )

  it('a broken packet behind a thousand good ones is refused after they were answered', async () => {
    const client = await connected()
    const good = Array.from({ length: 1000 }, (_, n) => packet(0x32, string('a'), u16(n + 1), 0x61))
    client.sendBytes(bytes(...good, packet(0x36, string('a'), u16(1))))
    await client.closed()
    expect(client.received.filter(({ cmd }) => cmd === 'puback')).toHaveLength(1000)
    await conversation.goesOn()
  })
})
