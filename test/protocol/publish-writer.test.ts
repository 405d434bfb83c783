import fc from 'fast-check'
import type { IPublishPacket } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { Frame, readFrame } from '../../src/protocol/frame'
import { createMessage } from '../../src/protocol/message'
import type { ProtocolVersion, QoS } from '../../src/protocol/packet'
import { PublishEnvelope } from '../../src/protocol/publish-envelope'
import { keepForwardedProperties, PublishPacket, readPublish } from '../../src/protocol/publish-packet'
import { forwardPublish, writePublish } from '../../src/protocol/publish-writer'
import { RecordingOutput } from '../support/recording-output'
import { protocolVersions, randomPublish } from './random-publish'

const frame = new Frame()

function readWhole(bytes: Buffer, version: ProtocolVersion): PublishPacket {
  const packet = new PublishPacket()
  readFrame(frame, bytes, 0, bytes.length, 0xfffffff + 5, true)
  readPublish(packet, bytes, frame, version, false)
  return packet
}

function envelope(parts: Partial<PublishEnvelope> = {}): PublishEnvelope {
  return Object.assign(new PublishEnvelope(), parts)
}

function written(output: RecordingOutput): IPublishPacket {
  const packets = output.packets()
  expect(packets).toHaveLength(1)
  return packets[0] as IPublishPacket
}

const message = (payload: string | Uint8Array, topic = 'a/b') =>
  createMessage(topic, Buffer.from(payload), undefined, 1, false, 0, undefined)

describe('writePublish', () => {
  it('writes for every version what mqtt-packet reads back', () => {
    const sending = fc.record({
      version: protocolVersions,
      qos: fc.constantFrom<QoS>(0, 1, 2),
      retain: fc.boolean(),
      dup: fc.boolean(),
      messageId: fc.integer({ min: 1, max: 65535 }),
      expiry: fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 0xffffffff })),
      alias: fc.nat(65535),
      identifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 }),
    })
    fc.assert(
      fc.property(randomPublish, sending, (received, to) => {
        const source = readWhole(Buffer.from(received.bytes), received.version)
        keepForwardedProperties(source)
        const output = new RecordingOutput(to.version)
        const dup = to.dup && to.qos > 0
        const done = writePublish(
          output,
          source,
          envelope({
            flags: (dup ? 8 : 0) | (to.qos << 1) | Number(to.retain),
            packetIdentifier: to.messageId,
            messageExpiryInterval: to.expiry,
            topicAlias: to.alias,
            subscriptionIdentifiers: to.identifiers,
          }),
        )
        expect(done).toBe(true)
        const packet = written(output)
        expect(packet).toMatchObject({
          topic: received.packet.topic,
          payload: received.packet.payload,
          qos: to.qos,
          retain: to.retain,
          dup,
        })
        if (to.qos > 0) expect(packet.messageId).toBe(to.messageId)
        const { topicAlias: _alias, messageExpiryInterval: _expiry, ...wanted } = { ...received.packet.properties }
        const extra = {
          ...(to.expiry >= 0 && { messageExpiryInterval: to.expiry }),
          ...(to.alias > 0 && { topicAlias: to.alias }),
          ...(to.identifiers.length > 0 && {
            subscriptionIdentifier: to.identifiers.length === 1 ? to.identifiers[0] : to.identifiers,
          }),
        }
        if (to.version === 5) expect(plain(packet.properties)).toEqual(plain({ ...wanted, ...extra }))
        else expect(packet.properties).toBeUndefined()
      }),
      { numRuns: 500 },
    )
  })

  it('leaves the topic out where the alias stands for it', () => {
    const output = new RecordingOutput(5)
    writePublish(output, message('x'), envelope({ topicAlias: 7, omitTopic: true }))
    expect(written(output)).toMatchObject({ topic: '', properties: { topicAlias: 7 }, payload: Buffer.from('x') })
  })

  it.each<[ProtocolVersion, number]>([
    [4, 2 + 2 + 3 + 2 + 5],
    [5, 2 + 2 + 3 + 2 + 1 + 5],
  ])('of MQTT %i writes nothing above Maximum Packet Size, and a packet of just that size', (version, size) => {
    const output = new RecordingOutput(version)
    output.maximumPacketSize = size - 1
    expect(writePublish(output, message('12345'), envelope({ flags: 2, packetIdentifier: 1 }))).toBe(false)
    expect([output.all.length, output.marks]).toEqual([0, 0])
    output.maximumPacketSize = size
    expect(writePublish(output, message('12345'), envelope({ flags: 2, packetIdentifier: 1 }))).toBe(true)
    expect(output.all.length).toBe(size)
  })

  it.each([0, 1, 40, 48, 49, 115, 121, 122, 127, 128, 16_370, 16_383, 16_384, 100_000])(
    'writes a payload of %i bytes',
    (length) => {
      const payload = Buffer.alloc(length, 'payload ')
      const output = new RecordingOutput(4)
      writePublish(output, message(payload), envelope())
      expect(written(output).payload).toEqual(payload)
    },
  )

  it('hands a large payload over without a copy where it lies still, and copies it where it does not', () => {
    const large = message(Buffer.alloc(16 * 1024, 'x'))
    const output = new RecordingOutput(5)
    writePublish(output, large, envelope())
    expect(output.attached.map((bytes) => bytes.buffer)).toEqual([large.bytes.buffer])
    const before = output.attached.length
    const packet = readWhole(output.all, 5)
    writePublish(output, packet, envelope())
    expect(output.attached.length).toBe(before)
    expect(output.packets().map((one) => (one as IPublishPacket).payload)).toEqual([large.payload, large.payload])
  })
})

describe('forwardPublish', () => {
  it('changes the identifier and the flags and nothing else', () => {
    fc.assert(
      fc.property(
        randomPublish.filter(({ packet }) => packet.qos > 0),
        fc.constantFrom(2, 4),
        fc.integer({ min: 1, max: 65535 }),
        fc.nat(3),
        ({ version, packet, bytes }, flags, packetIdentifier, lead) => {
          const around = Buffer.concat([Buffer.alloc(lead, 0xff), bytes, Buffer.alloc(3, 0xff)])
          const output = new RecordingOutput(version)
          const { identifierAt } = readWhole(Buffer.from(bytes), version)
          const done = forwardPublish(
            output,
            around,
            lead,
            lead + bytes.length,
            lead + identifierAt,
            flags,
            packetIdentifier,
          )
          expect(done).toBe(true)
          expect(around.subarray(lead, lead + bytes.length)).toEqual(bytes)
          const { length: _ours, ...sent } = written(output)
          const wanted = { ...packet, qos: flags >> 1, retain: false, dup: false, messageId: packetIdentifier }
          expect(plain(sent)).toEqual(plain(wanted))
        },
      ),
      { numRuns: 300 },
    )
  })

  it('forwards nothing above Maximum Packet Size, and a packet of just that size', () => {
    const output = new RecordingOutput(4)
    writePublish(output, message('12345'), envelope({ flags: 2, packetIdentifier: 1 }))
    const bytes = Buffer.from(output.all)
    const { identifierAt } = readWhole(bytes, 4)
    output.maximumPacketSize = bytes.length - 1
    expect(forwardPublish(output, bytes, 0, bytes.length, identifierAt, 2, 9)).toBe(false)
    expect(output.packets()).toHaveLength(1)
    output.maximumPacketSize = bytes.length
    expect(forwardPublish(output, bytes, 0, bytes.length, identifierAt, 2, 9)).toBe(true)
    expect(written(output).messageId).toBe(9)
  })
})

/** Own properties alone: mqtt-packet's objects have prototypes of their own, and no properties mean an empty object. */
function plain(value: object | undefined): unknown {
  const copy = { properties: {}, ...value } as Record<string, unknown>
  for (const [name, one] of Object.entries(copy))
    if (typeof one === 'object' && one !== null && !Array.isArray(one) && !Buffer.isBuffer(one)) copy[name] = { ...one }
  const properties = copy['properties'] as { userProperties?: object }
  if (properties.userProperties !== undefined)
    copy['properties'] = { ...properties, userProperties: lists(properties.userProperties) }
  if (copy['userProperties'] !== undefined) copy['userProperties'] = lists(copy['userProperties'] as object)
  delete copy['cmd']
  return copy
}

/** mqtt-packet writes a list of one like a single value. */
function lists(properties: object): object {
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, [value].flat()]))
}
