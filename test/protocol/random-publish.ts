import fc from 'fast-check'
import { generate, type IPublishPacket, type UserProperties } from 'mqtt-packet'
import type { ProtocolVersion } from '../../src/protocol/packet'

// PUBLISH packets as a client may send them, written by mqtt-packet.

const character = fc.constantFrom('a', 'b', 'Z', '/', '$', ' ', 'é', '€', '😀')
const topic = fc.string({ unit: character, minLength: 1, maxLength: 150 })
const text = fc.string({ unit: character, maxLength: 140 })
// mqtt-packet loses a repeated User Property whose first value is empty
const word = fc.string({ unit: character, minLength: 1, maxLength: 140 })
const binary = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))

const userProperties = fc
  .dictionary(
    fc.string({ unit: character, minLength: 1, maxLength: 6 }),
    fc.oneof(text, fc.array(word, { minLength: 1, maxLength: 3 })),
    { maxKeys: 3, noNullPrototype: true },
  )
  .filter((properties) => Object.keys(properties).length > 0)

const properties = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffffffff })),
    topicAlias: fc.integer({ min: 1, max: 65535 }),
    responseTopic: topic,
    correlationData: binary,
    userProperties: userProperties as fc.Arbitrary<UserProperties>,
    contentType: text,
  },
  { requiredKeys: [] },
)

export const protocolVersions: fc.Arbitrary<ProtocolVersion> = fc.constantFrom(3, 4, 5)

export interface RandomPublish {
  readonly version: ProtocolVersion
  readonly packet: IPublishPacket
  readonly bytes: Buffer
}

export const randomPublish: fc.Arbitrary<RandomPublish> = fc
  .record({
    version: protocolVersions,
    topic,
    payload: binary,
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    dup: fc.boolean(),
    retain: fc.boolean(),
    messageId: fc.integer({ min: 1, max: 65535 }),
    properties,
  })
  .map(({ version, topic, payload, qos, dup, retain, messageId, properties }) => {
    const packet: IPublishPacket = { cmd: 'publish', topic, payload, qos, dup: dup && qos > 0, retain }
    if (qos > 0) packet.messageId = messageId
    if (version === 5 && Object.keys(properties).length > 0)
      packet.properties = properties as NonNullable<IPublishPacket['properties']>
    return { version, packet, bytes: generate(packet, { protocolVersion: version }) }
  })
