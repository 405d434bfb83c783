import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'
import { type Logger, silentLogger } from '../../src/ports/logger'
import { block, bytes, packet, string, u16, u32, userProperty, variable } from '../protocol/packet-bytes'
import { connectClient, startBroker, withBroker } from '../support/broker'
import { RawClient } from '../support/raw-client'
import { Conversation } from './conversation'
import { connects, firstPackets, laterPackets, type Malformed, samples } from './malformed-packets'
import { type Carrier, carriers, carry, method, properties, property, unknownIdentifiers } from './malformed-properties'

/** Errors that the broker did not expect: a row that causes one has failed, whatever the client sees. */
const unexpected: unknown[] = []
const logger: Logger = {
  ...silentLogger,
  error: (fields) => unexpected.push(fields),
}

let broker: MqttBroker
let conversation: Conversation

beforeAll(async () => {
  const authenticationMethods = { m: () => ({ step: () => ({ success: true }) as const }) }
  broker = await MqttBroker.start({
    port: 0,
    host: '127.0.0.1',
    logger,
    authenticate: () => true,
    authenticationMethods,
  })
  conversation = await Conversation.start(broker, 5)
})

afterAll(async () => {
  await conversation.stop()
  await broker.stop()
})

/** Sends bytes and gives the Reason Code before the end; undefined if there was none. Rejects if nothing ends. */
async function endAfter(client: RawClient, whole: Uint8Array): Promise<number | undefined> {
  client.sendBytes(whole)
  await client.closed()
  const last = client.received.at(-1)
  const refused = last?.cmd === 'disconnect' || (last?.cmd === 'connack' && client.received.length === 1)
  return refused && last.reasonCode !== 0 ? (last.reasonCode ?? undefined) : undefined
}

const open = async (): Promise<RawClient> => {
  const client = await RawClient.open(broker.port)
  client.protocolVersion = 5
  return client
}

const nothing = Buffer.alloc(0)

const connected = (): Promise<RawClient> => RawClient.connected(broker.port, { protocolVersion: 5 })

async function refuse({ bytes: whole, codes }: Malformed, client: RawClient): Promise<void> {
  unexpected.length = 0
  expect(codes).toContain(await endAfter(client, whole))
  expect(unexpected).toEqual([])
  await conversation.goesOn()
}

const refuseFirst = async (row: Malformed): Promise<void> => refuse(row, await open())
const refuseLater = async (row: Malformed): Promise<void> => refuse(row, await connected())

describe('before CONNECT: closed', () => {
  it.each(firstPackets(5))('$name', refuseFirst)
})

describe('CONNECT of a wrong form: CONNACK and the end', () => {
  it.each(connects(5))('$name', refuseFirst)
})

describe('after CONNECT: DISCONNECT and the end', () => {
  it.each(laterPackets(5))('$name', refuseLater)
})

/** A client that may send AUTH. */
async function authenticated(): Promise<RawClient> {
  const client = await open()
  client.sendBytes(packet(0x10, string('MQTT'), 5, 2, u16(0), block(method), string('authenticated')))
  await client.next('connack')
  return client
}

describe.each(carriers)('properties of %s', (carrier: Carrier) => {
  const isFirst = carrier === 'CONNECT' || carrier === 'Will'
  const start = isFirst ? open : carrier === 'AUTH' ? authenticated : connected
  const refused = async (name: string, whole: Buffer, codes: readonly number[]): Promise<void> =>
    refuse({ name, bytes: whole, codes }, await start())
  const own = properties.filter((row) => row.carriers.includes(carrier))
  const foreign = properties.filter((row) => !row.carriers.includes(carrier))

  it('each of its own is taken', async () => {
    for (const { name, identifier, value, with: before = nothing } of own) {
      const client = await start()
      client.sendBytes(
        carry(carrier, before, property(identifier, value), userProperty('a', 'b'), userProperty('a', 'b')),
      )
      if (carrier === 'DISCONNECT') {
        await client.closed()
        expect(client.received, name).toHaveLength(1)
      } else {
        if (isFirst) expect(await client.next('connack'), name).toMatchObject({ reasonCode: 0 })
        await client.quiet()
        client.destroy()
      }
    }
  })

  it.each(foreign)('$name does not belong there', ({ name, identifier, value }) =>
    refused(name, carry(carrier, property(identifier, value)), [
      0x81,
      ...(identifier === 28 || identifier === 11 ? [0x82] : []),
    ]),
  )

  it('each of its own may come once only: 0x82', async () => {
    for (const { name, identifier, value, with: before = nothing } of own)
      await refused(name, carry(carrier, before, property(identifier, value), property(identifier, value)), [0x82])
  })

  it('each of its own that is cut short is malformed: 0x81', async () => {
    for (const { name, identifier, value } of [
      ...own,
      { name: 'User Property', identifier: 38, value: bytes(string('n'), string('v')) },
    ]) {
      for (let length = 0; length < value.length; length++)
        await refused(`${name} of ${length}`, carry(carrier, property(identifier, value.subarray(0, length))), [0x81])
    }
  })

  it('a value outside its range is refused', async () => {
    for (const { name, identifier, wrong = [], codes = [] } of own)
      for (const value of wrong) await refused(name, carry(carrier, property(identifier, value)), codes)
  })

  it('an identifier that MQTT does not have is malformed: 0x81', async () => {
    for (const identifier of unknownIdentifiers)
      await refused(String(identifier), carry(carrier, variable(identifier), Buffer.alloc(8)), [0x81])
  })

  it('a User Property of wrong strings is malformed: 0x81', async () => {
    const bad = bytes(u16(1), 0xff)
    for (const value of [bytes(bad, string('v')), bytes(string('n'), bad), bytes(string('n'), u16(1), 0)])
      await refused('User Property', carry(carrier, property(38, value)), [0x81])
  })
})

describe('what CONNACK has ruled out', () => {
  const options: MqttBrokerOptions = {
    maximumQoS: 1,
    retainAvailable: false,
    validatePayloadFormat: true,
    limits: { receiveMaximum: 2, maximumPacketSize: 200, topicAliasMaximum: 0 },
  }
  const waiting = { ...options, maximumQoS: 2 as const }

  it.each([
    ['QoS above Maximum QoS', options, packet(0x34, string('a'), u16(1), block()), 0x9b],
    ['RETAIN where Retain Available is 0', options, packet(0x31, string('a'), block()), 0x9a],
    ['a packet above Maximum Packet Size', options, packet(0x30, string('a'), block(), Buffer.alloc(200)), 0x95],
    [
      'a Topic Alias where Topic Alias Maximum is 0',
      options,
      packet(0x30, string('a'), block(bytes(35, u16(1)))),
      0x94,
    ],
    [
      'a payload that is not the UTF-8 that it claims',
      options,
      packet(0x30, string('a'), block(bytes(1, 1)), 0xff),
      0x99,
    ],
    [
      'more than Receive Maximum of QoS 1 in one write',
      options,
      bytes(...[1, 2, 3].map((n) => packet(0x32, string('a'), u16(n), block()))),
      0x93,
    ],
    [
      'more than Receive Maximum of QoS 2 in one write',
      waiting,
      bytes(...[1, 2, 3].map((n) => packet(0x34, string('a'), u16(n), block()))),
      0x93,
    ],
  ] as const)('%s', async (_name, given, whole, code) => {
    await withBroker(given, async (limited) => {
      const other = await Conversation.start(limited, 5)
      const client = await RawClient.connected(limited.port, { protocolVersion: 5 })
      expect(await endAfter(client, whole)).toBe(code)
      await other.goesOn()
      await other.stop()
    })
  })

  it('a payload that is not the UTF-8 that it claims is answered with 0x99 in PUBACK and PUBREC', async () => {
    await withBroker(waiting, async ({ port }) => {
      const client = await RawClient.connected(port, { protocolVersion: 5 })
      client.sendBytes(packet(0x32, string('a'), u16(1), block(bytes(1, 1)), 0xff))
      expect(await client.next('puback')).toMatchObject({ reasonCode: 0x99 })
      client.sendBytes(packet(0x34, string('a'), u16(2), block(bytes(1, 1)), 0xff))
      expect(await client.next('pubrec')).toMatchObject({ reasonCode: 0x99 })
      client.destroy()
    })
  })

  it('a CONNECT that is denied is answered with the code of the denial', async () => {
    let reasonCode = 0
    await withBroker({ authenticate: () => ({ reasonCode }) }, async ({ port }) => {
      for (reasonCode of [0x85, 0x86, 0x87, 0x88, 0x8a]) {
        const client = await RawClient.open(port)
        client.sendConnect({ protocolVersion: 5 })
        await client.closed()
        expect(client.received).toMatchObject([{ cmd: 'connack', reasonCode }])
      }
    })
  })
})

describe('filters that break the rules of section 4.7', () => {
  it.each([
    ['a#', 0x81],
    ['a+', 0x81],
    ['+a', 0x81],
    ['a/#/b', 0x81],
    ['#/', 0x81],
    ['', 0x81],
    ['$share/', 0x82],
    ['$share/g', 0x82],
    ['$share/g/', 0x82],
    ['$share//a', 0x82],
    ['$share/+/a', 0x82],
    ['$share/g#/a', 0x82],
    ['$share/g/a/#/b', 0x82],
  ])('%j closes the connection with its Reason Code, in SUBSCRIBE and UNSUBSCRIBE', async (filter, code) => {
    const own = await startBroker()
    for (const [first, options] of [
      [0x82, [0]],
      [0xa2, []],
    ] as const) {
      const client = await connectClient(own, {
        protocolVersion: 5,
        clientId: 'kept',
        clean: false,
        properties: { sessionExpiryInterval: 100 },
      })
      await client.subscribe('before')
      client.sendBytes(packet(first, u16(9), block(), string('before'), ...options, string(filter), ...options))
      await client.closed()
      expect(client.received.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: code })
      // nothing of the packet was done
      expect(own.statistics.subscriptions).toBe(1)
    }
  })

  it.each(['/'.repeat(200), '+/'.repeat(30_000)])(
    '%# has too many levels, is refused in SUBACK with 0x8F, and the connection lives',
    async (filter) => {
      const client = await connected()
      client.sendBytes(packet(0x82, u16(1), block(), string(filter), 0, string('fine'), 1))
      expect(await client.next('suback')).toMatchObject({ granted: [0x8f, 1] })
      await conversation.goesOn()
      client.destroy()
    },
  )
})

describe('packets that are cut or changed anywhere', () => {
  /** The broker answers PINGREQ, or has closed with a Reason Code. */
  async function survives(client: RawClient, name: string): Promise<void> {
    client.sendBytes(packet(0xc0))
    const answer = await client.next('pingresp').catch(() => undefined)
    const last = client.received.at(-1)
    if (answer === undefined && last?.cmd === 'disconnect') expect(last.reasonCode, name).toBeGreaterThanOrEqual(0x80)
    expect(unexpected, name).toEqual([])
    client.destroy()
  }

  it.each(samples(5).map((whole) => [whole.toString('hex'), whole] as const))(
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

  it.each(samples(5).map((whole) => [whole.toString('hex'), whole] as const))(
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
    const good = Array.from({ length: 1000 }, (_, n) => packet(0x32, string('a'), u16(n + 1), block(bytes(2, u32(5)))))
    expect(await endAfter(client, bytes(...good, packet(0x36, string('a'), u16(1), block())))).toBe(0x81)
    expect(client.received.filter(({ cmd }) => cmd === 'puback')).toHaveLength(1000)
    await conversation.goesOn()
  })
})
