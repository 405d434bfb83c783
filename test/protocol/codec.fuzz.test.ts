import fc from 'fast-check'
import { generate, type IConnectPacket, type ISubscribePacket, type IUnsubscribePacket } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import type { ProtocolVersion, UserProperties } from '../../src/protocol/packet'
import { checkAckProperties, PublishProperties, scanPublishProperties } from '../../src/protocol/publish-properties'
import { bytes, decode, refusal, refusalOf, variable } from './packet-bytes'

// mqtt-packet writes, the codec reads. User Properties have names here that an object keeps in order.

const text = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((given) => !given.includes('\0'))
const topic = fc.string({ unit: fc.constantFrom('a', 'é', '😀', '/', ' '), minLength: 1, maxLength: 8 })
const filter = fc.constantFrom('a', '#', '+/a', '$share/g/a', '__proto__', 'a/+/b')
const data = fc.uint8Array({ maxLength: 200 }).map((given) => Buffer.from(given))
const uint16 = fc.nat(0xffff)
const uint32 = fc.nat(0xffffffff)
const identifier = fc.integer({ min: 1, max: 0xffff })
const pairs = fc
  .array(text, { minLength: 1, maxLength: 4 })
  .map((values) => values.map((value, at) => [`n${at}`, value] as const))

const willProperties = fc.record(
  {
    willDelayInterval: uint32,
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: uint32,
    contentType: text,
    responseTopic: topic,
    correlationData: data,
    userProperties: pairs,
  },
  { requiredKeys: [] },
)

const connectProperties = fc
  .record(
    {
      sessionExpiryInterval: uint32,
      receiveMaximum: identifier,
      maximumPacketSize: fc.integer({ min: 1, max: 0xffffffff }),
      topicAliasMaximum: uint16,
      requestResponseInformation: fc.boolean(),
      requestProblemInformation: fc.boolean(),
      userProperties: pairs,
      authenticationMethod: text,
      authenticationData: data,
    },
    { requiredKeys: [] },
  )
  .filter((given) => given.authenticationData === undefined || given.authenticationMethod !== undefined)

const connect = fc.record({
  version: fc.constantFrom<ProtocolVersion[]>(3, 4, 5),
  clean: fc.boolean(),
  keepAlive: uint16,
  clientId: text.filter((given) => given !== ''),
  username: fc.option(text, { nil: undefined }),
  password: fc.option(data, { nil: undefined }),
  will: fc.option(
    fc.record({
      topic,
      payload: data,
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      retain: fc.boolean(),
      properties: willProperties,
    }),
    { nil: undefined },
  ),
  properties: connectProperties,
})

/** User Properties as mqtt-packet wants them. */
function asObject<P extends { userProperties?: UserProperties }>({ userProperties, ...rest }: P) {
  return userProperties === undefined ? rest : { ...rest, userProperties: Object.fromEntries(userProperties) }
}

type Connect = typeof connect extends fc.Arbitrary<infer T> ? T : never

function connectBytes(given: Connect): Buffer {
  const written: IConnectPacket = {
    cmd: 'connect',
    protocolVersion: given.version,
    protocolId: given.version === 3 ? 'MQIsdp' : 'MQTT',
    clean: given.clean,
    keepalive: given.keepAlive,
    clientId: given.clientId,
  }
  if (given.version === 5) written.properties = asObject(given.properties)
  if (given.username !== undefined) {
    written.username = given.username
    if (given.password !== undefined) written.password = given.password
  }
  if (given.will !== undefined) {
    const { properties, ...will } = given.will
    written.will = given.version === 5 ? { ...will, properties: asObject(properties) } : will
  }
  return generate(written)
}

function expectedConnect(given: Connect): object {
  const five = given.version === 5
  const expected: Record<string, unknown> = {
    type: 1,
    protocolName: given.version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: given.version,
    clean: given.clean,
    keepAlive: given.keepAlive,
    clientId: given.clientId,
    properties: five ? given.properties : {},
  }
  if (given.username !== undefined) {
    expected['username'] = given.username
    if (given.password !== undefined) expected['password'] = given.password
  }
  if (given.will !== undefined) {
    const { willDelayInterval = 0, payloadFormatIndicator, ...rest } = given.will.properties
    const text = payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator: payloadFormatIndicator ? 1 : 0 }
    const properties = five ? { ...text, ...rest } : {}
    expected['will'] = { ...given.will, willDelayInterval: five ? willDelayInterval : 0, properties }
  }
  return expected
}

const subscription = fc.record({
  filter,
  qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
  noLocal: fc.boolean(),
  retainAsPublished: fc.boolean(),
  retainHandling: fc.constantFrom(0 as const, 1 as const, 2 as const),
})
type Subscription = typeof subscription extends fc.Arbitrary<infer T> ? T : never

const subscribe = fc.record({
  version: fc.constantFrom<ProtocolVersion[]>(3, 4, 5),
  packetIdentifier: identifier,
  subscriptions: fc.array(subscription, { minLength: 1, maxLength: 5 }),
  subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }),
  userProperties: pairs,
})

/** What the version carries of a subscription. */
const carried = (given: Subscription, version: ProtocolVersion): Subscription =>
  version === 5
    ? { ...given, noLocal: given.noLocal && !given.filter.startsWith('$share/') }
    : { filter: given.filter, qos: given.qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }

function subscribeBytes(given: typeof subscribe extends fc.Arbitrary<infer T> ? T : never): Buffer {
  const written: ISubscribePacket = {
    cmd: 'subscribe',
    messageId: given.packetIdentifier,
    subscriptions: given.subscriptions
      .map((each) => carried(each, given.version))
      .map((each) => ({
        topic: each.filter,
        qos: each.qos,
        nl: each.noLocal,
        rap: each.retainAsPublished,
        rh: each.retainHandling,
      })),
    properties: {
      subscriptionIdentifier: given.subscriptionIdentifier,
      userProperties: Object.fromEntries(given.userProperties),
    },
  }
  return generate(written, { protocolVersion: given.version })
}

describe('a packet that mqtt-packet writes', () => {
  it('is decoded to the same CONNECT', () => {
    fc.assert(
      fc.property(connect, (given) => {
        expect(decode(connectBytes(given), 4)).toEqual(expectedConnect(given))
      }),
      { numRuns: 1000 },
    )
  })

  it('is decoded to the same SUBSCRIBE', () => {
    fc.assert(
      fc.property(subscribe, (given) => {
        const { packetIdentifier, subscriptionIdentifier, userProperties, version } = given
        const properties = version === 5 ? { subscriptionIdentifier, userProperties } : {}
        const subscriptions = given.subscriptions.map((each) => carried(each, version))
        expect(decode(subscribeBytes(given), version)).toEqual({
          type: 8,
          packetIdentifier,
          subscriptions,
          ...properties,
        })
      }),
      { numRuns: 500 },
    )
  })

  it('is decoded to the same UNSUBSCRIBE', () => {
    const version = fc.constantFrom<ProtocolVersion[]>(3, 4, 5)
    fc.assert(
      fc.property(
        version,
        identifier,
        fc.array(filter, { minLength: 1, maxLength: 4 }),
        (level, messageId, filters) => {
          const written: IUnsubscribePacket = { cmd: 'unsubscribe', messageId, unsubscriptions: filters }
          const whole = generate(written, { protocolVersion: level })
          expect(decode(whole, level)).toEqual({ type: 10, packetIdentifier: messageId, filters })
        },
      ),
    )
  })

  it('is decoded to the same DISCONNECT and AUTH', () => {
    fc.assert(
      fc.property(uint32, text, pairs, data, (sessionExpiryInterval, reasonString, userProperties, given) => {
        const shared = { reasonString, userProperties: Object.fromEntries(userProperties) }
        const options = { protocolVersion: 5 }
        const disconnect = generate(
          { cmd: 'disconnect', reasonCode: 4, properties: { sessionExpiryInterval, ...shared } },
          options,
        )
        expect(decode(disconnect, 5)).toEqual({
          type: 14,
          reasonCode: 4,
          sessionExpiryInterval,
          reasonString,
          userProperties,
        })
        const method = { authenticationMethod: reasonString, authenticationData: given }
        const auth = generate({ cmd: 'auth', reasonCode: 0x19, properties: { ...method, ...shared } }, options)
        expect(decode(auth, 5)).toEqual({ type: 15, reasonCode: 0x19, reasonString, userProperties, ...method })
      }),
    )
  })
})

const reasons: Array<number | string> = ['accepted', 0x81, 0x82, 0x84, 0x90, 0x94]

/** Puts the right Remaining Length before a mutated body, so that the walk goes deep. */
function mutate(whole: Buffer, changes: ReadonlyArray<readonly [number, number]>, cut: number): Buffer {
  let bodyStart = 1
  while (whole[bodyStart]! > 0x7f) bodyStart += 1
  const body = Buffer.from(whole.subarray(bodyStart + 1))
  for (const [at, value] of changes) if (body.length > 0) body[at % body.length] = value
  const kept = body.subarray(0, body.length - (cut % (body.length + 1)))
  return bytes(whole[0]!, variable(kept.length), kept)
}

const edgeByte = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 3, 0x7f, 0x80, 0xff, 31, 38, 17, 21, 22, 33))
const changes = fc.array(fc.tuple(fc.nat(400), edgeByte), { maxLength: 4 })
const cut = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(20) })

describe('bytes that are damaged', () => {
  it('are decoded or refused with a Reason Code, as CONNECT', () => {
    fc.assert(
      fc.property(connect, changes, cut, (given, change, shorter) => {
        expect(reasons).toContain(refusal(mutate(connectBytes(given), change, shorter), 4))
      }),
      { numRuns: 5000 },
    )
  })

  it('are decoded or refused with a Reason Code, as SUBSCRIBE', () => {
    fc.assert(
      fc.property(subscribe, changes, cut, (given, change, shorter) => {
        expect(reasons).toContain(refusal(mutate(subscribeBytes(given), change, shorter), given.version))
      }),
      { numRuns: 3000 },
    )
  })

  it('are decoded or refused with a Reason Code, as anything', () => {
    const version = fc.constantFrom<ProtocolVersion[]>(3, 4, 5)
    const body = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.array(edgeByte, { maxLength: 20 }))
    fc.assert(
      fc.property(fc.nat(255), version, body, (first, level, given) => {
        const whole = bytes(first, variable(given.length), Buffer.from(given))
        expect(reasons).toContain(refusal(whole, level))
      }),
      { numRuns: 20_000 },
    )
  })

  it('are scanned or refused with a Reason Code, as properties', () => {
    const found = new PublishProperties()
    const propertyByte = fc.oneof(fc.constantFrom(0, 1, 2, 3, 8, 9, 11, 31, 35, 38), fc.nat(255))
    fc.assert(
      fc.property(fc.array(propertyByte, { maxLength: 30 }), (given) => {
        const content = Buffer.from(given)
        expect(reasons).toContain(refusalOf(() => scanPublishProperties(content, 0, content.length, found)))
        expect(reasons).toContain(refusalOf(() => checkAckProperties(content, 0, content.length, 5)))
      }),
      { numRuns: 20_000 },
    )
  })
})

describe('a packet that the walk accepts', () => {
  it('is never refused by mqtt-packet', () => {
    // a refusal of the parser's own begins with these words
    const parsersOwn = /cannot be parsed/
    fc.assert(
      fc.property(connect, subscribe, changes, (given, request, change) => {
        for (const [whole, version] of [
          [mutate(connectBytes(given), change, 0), 4],
          [mutate(subscribeBytes(request), change, 0), request.version],
        ] as const) {
          try {
            decode(whole, version)
          } catch (error) {
            expect((error as Error).message).not.toMatch(parsersOwn)
          }
        }
      }),
      { numRuns: 5000 },
    )
  })
})
