import { describe, expect, it } from 'vitest'
import type { MqttBroker, PublishOptions } from '../../src/index'
import { connectClient, startBroker } from '../support/broker'

/** What JavaScript can give, whatever the types say. */
const publish = (broker: MqttBroker, options: unknown): Promise<void> => broker.publish(options as PublishOptions)

const detached = (): Uint8Array => {
  const bytes = Uint8Array.of(1, 2, 3)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}
const detachedView = (): DataView => {
  const view = new DataView(new ArrayBuffer(3))
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] })
  return view
}
const throwing = (name: string, others: object = {}): object =>
  Object.defineProperty(others, name, {
    enumerable: true,
    get: () => {
      throw new RangeError('of the getter')
    },
  })
const sparse = Array.from({ length: 2 }) as unknown[]
delete sparse[0]
sparse[1] = ['a', 'b']
const longString = 'x'.repeat(65_536)
const invalid = 'GNATMQ_OPTION_INVALID'
const unknown = 'GNATMQ_OPTION_UNKNOWN'
const topicInvalid = 'GNATMQ_TOPIC_NAME_INVALID'
const tooLarge = 'GNATMQ_PACKET_TOO_LARGE'
const notUtf8 = 'GNATMQ_PAYLOAD_FORMAT_INVALID'

const refused: [title: string, code: string, words: string, options: unknown][] = [
  ['nothing', invalid, 'publish', undefined],
  ['null', invalid, 'publish', null],
  ['a string', invalid, 'publish', 'a'],
  ['an array', invalid, 'publish', ['a']],
  ['an unknown field', unknown, 'did you mean payload', { topic: 'a', paylod: 'x' }],
  ['a field in capitals', unknown, 'did you mean qos', { topic: 'a', QoS: 1 }],
  ['a field like no other', unknown, 'expiry', { topic: 'a', expiry: 1 }],
  ['a getter that throws', invalid, 'of the getter', throwing('payload', { topic: 'a' })],
  ['no topic', invalid, 'topic', {}],
  ['topic null', invalid, 'topic', { topic: null }],
  ['topic 5', invalid, 'topic', { topic: 5 }],
  ['an empty topic', topicInvalid, 'topic', { topic: '' }],
  ['a topic with a wildcard', topicInvalid, 'topic', { topic: 'a/#' }],
  ['a topic with U+0000', topicInvalid, 'topic', { topic: 'a\0' }],
  ['a topic with a lone surrogate', topicInvalid, 'topic', { topic: 'a\ud800' }],
  ['a topic of 65,536 bytes', topicInvalid, 'topic', { topic: longString }],
  ['a topic of too many levels', topicInvalid, 'topic', { topic: '/'.repeat(128) }],
  ['payload null', invalid, 'payload', { topic: 'a', payload: null }],
  ['payload {}', invalid, 'payload', { topic: 'a', payload: {} }],
  ['a payload of numbers in an array', invalid, 'payload', { topic: 'a', payload: [1, 2] }],
  ['payload 5', invalid, 'payload', { topic: 'a', payload: 5 }],
  ['payload true', invalid, 'payload', { topic: 'a', payload: true }],
  ['a function as payload', invalid, 'payload', { topic: 'a', payload: () => 'x' }],
  ['a Symbol as payload', invalid, 'payload', { topic: 'a', payload: Symbol('x') }],
  ['a promise as payload', invalid, 'payload', { topic: 'a', payload: Promise.resolve('x') }],
  [
    'what only looks like a Uint8Array',
    invalid,
    'payload',
    { topic: 'a', payload: Object.create(Uint8Array.prototype) },
  ],
  ['a payload with a lone surrogate', invalid, 'payload', { topic: 'a', payload: 'a\udc00' }],
  ['a Uint8Array whose buffer is gone', invalid, 'payload', { topic: 'a', payload: detached() }],
  ['a DataView whose buffer is gone', invalid, 'payload', { topic: 'a', payload: detachedView() }],
  ['an ArrayBuffer that is gone', invalid, 'payload', { topic: 'a', payload: detached().buffer }],
  ['a payload that no packet has room for', tooLarge, 'payload', { topic: 'a', payload: new ArrayBuffer(268_435_456) }],
  ['qos 3', invalid, 'qos', { topic: 'a', qos: 3 }],
  ['qos NaN', invalid, 'qos', { topic: 'a', qos: Number.NaN }],
  ["qos '1'", invalid, 'qos', { topic: 'a', qos: '1' }],
  ['qos null', invalid, 'qos', { topic: 'a', qos: null }],
  ['retain 1', invalid, 'retain', { topic: 'a', retain: 1 }],
  ['retain null', invalid, 'retain', { topic: 'a', retain: null }],
  ['properties null', invalid, 'properties', { topic: 'a', properties: null }],
  ['an array of properties', invalid, 'properties', { topic: 'a', properties: [] }],
  ['a getter in properties that throws', invalid, 'of the getter', { topic: 'a', properties: throwing('contentType') }],
]

const refusedProperties: [title: string, code: string, words: string, properties: unknown][] = [
  ['a misspelt name', unknown, 'did you mean contentType', { contenttype: 'x' }],
  ['a Topic Alias', unknown, 'topicAlias', { topicAlias: 1 }],
  ['payloadFormatIndicator 2', invalid, 'payloadFormatIndicator', { payloadFormatIndicator: 2 }],
  ['payloadFormatIndicator true', invalid, 'payloadFormatIndicator', { payloadFormatIndicator: true }],
  ['messageExpiryInterval 2 ** 33', invalid, 'messageExpiryInterval', { messageExpiryInterval: 2 ** 33 }],
  ['messageExpiryInterval 2 ** 32', invalid, 'messageExpiryInterval', { messageExpiryInterval: 2 ** 32 }],
  ['messageExpiryInterval -5', invalid, 'messageExpiryInterval', { messageExpiryInterval: -5 }],
  ['messageExpiryInterval NaN', invalid, 'messageExpiryInterval', { messageExpiryInterval: Number.NaN }],
  ['messageExpiryInterval 1.5', invalid, 'messageExpiryInterval', { messageExpiryInterval: 1.5 }],
  ["messageExpiryInterval '1'", invalid, 'messageExpiryInterval', { messageExpiryInterval: '1' }],
  ['messageExpiryInterval Infinity', invalid, 'messageExpiryInterval', { messageExpiryInterval: Infinity }],
  ['contentType 5', invalid, 'contentType', { contentType: 5 }],
  ['contentType of 65,536 bytes', invalid, 'contentType', { contentType: longString }],
  ['contentType with U+0000', invalid, 'contentType', { contentType: 'a\0' }],
  ['contentType with a lone surrogate', invalid, 'contentType', { contentType: '\ud800' }],
  ['responseTopic a/#', topicInvalid, 'responseTopic', { responseTopic: 'a/#' }],
  ['responseTopic +', topicInvalid, 'responseTopic', { responseTopic: '+' }],
  ['an empty responseTopic', topicInvalid, 'responseTopic', { responseTopic: '' }],
  ['responseTopic 5', invalid, 'responseTopic', { responseTopic: 5 }],
  ['correlationData that is a string', invalid, 'correlationData', { correlationData: 'x' }],
  ['correlationData of 65,536 bytes', invalid, 'correlationData', { correlationData: new Uint8Array(65_536) }],
  ['correlationData whose buffer is gone', invalid, 'correlationData', { correlationData: detached() }],
  ['userProperties as an object', invalid, 'userProperties', { userProperties: { a: 'b' } }],
  ['a user property without a value', invalid, 'userProperties', { userProperties: [['a']] }],
  ['a user property of three', invalid, 'userProperties', { userProperties: [['a', 'b', 'c']] }],
  ['a user property that is a string', invalid, 'userProperties', { userProperties: ['ab'] }],
  ['a number as user property', invalid, 'userProperties', { userProperties: [['a', 5]] }],
  ['a sparse array of user properties', invalid, 'userProperties', { userProperties: sparse }],
  ['a lone surrogate in a user property', invalid, 'userProperties', { userProperties: [['\udc00', 'b']] }],
  ['a user property of 65,536 bytes', invalid, 'userProperties', { userProperties: [['a', longString]] }],
  [
    'user properties that no packet has room for',
    tooLarge,
    'properties',
    { userProperties: Array.from({ length: 4_097 }, () => ['a', longString.slice(1)]) },
  ],
]

describe('broker.publish', () => {
  it('refuses what MQTT cannot carry with one MqttError, and sends nothing', async () => {
    const broker = await startBroker({ validatePayloadFormat: false })
    const seen: string[] = []
    await broker.subscribe('#', ({ topic }) => seen.push(topic))
    const client = await connectClient(broker, { protocolVersion: 5 })
    await client.subscribe('#', 2)
    const cases = [
      ...refused,
      ...refusedProperties.map(([title, code, words, properties]) => [
        title,
        code,
        words,
        { topic: 'a', payload: 'x', qos: 1, retain: true, properties },
      ]),
      ...['string', 'bytes'].map((title) => [
        `${title} that are not the UTF-8 that they claim to be`,
        notUtf8,
        'UTF-8',
        { topic: 'a', payload: Uint8Array.of(0xff), properties: { payloadFormatIndicator: 1 } },
      ]),
    ] as typeof refused
    const answers: unknown[] = []
    for (const [title, , , options] of cases)
      answers.push(
        await publish(broker, options).then(
          () => [title, 'resolved'],
          (error: { name: string; code: string; message: string }) => [title, error.name, error.code, error.message],
        ),
      )
    expect(answers).toEqual(
      cases.map(([title, code, words]) => [title, 'MqttError', code, expect.stringContaining(words)]),
    )
    expect(seen).toEqual([])
    expect(broker.statistics.retainedMessages).toBe(0)
    expect((await client.quiet()).filter(({ cmd }) => cmd === 'publish')).toEqual([])
  })

  it('keeps nothing where retainAvailable is false', async () => {
    const broker = await startBroker({ retainAvailable: false })
    await expect(broker.publish({ topic: 'a', payload: 'x', retain: true })).rejects.toMatchObject({
      code: 'GNATMQ_RETAIN_NOT_SUPPORTED',
    })
  })

  it('reads each field once', async () => {
    const broker = await startBroker()
    let topic = 0
    const options = {
      get topic() {
        return topic++ === 0 ? 'a' : 'a/#'
      },
    }
    const seen: string[] = []
    await broker.subscribe('#', (message) => seen.push(message.topic))
    await broker.publish(options)
    expect(seen).toEqual(['a'])
  })

  const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  const shared = new SharedArrayBuffer(8)
  new Uint8Array(shared).set(bytes)
  it.each<[string, NonNullable<PublishOptions['payload']>, Uint8Array]>([
    ['an empty string', '', new Uint8Array(0)],
    ['a string', 'Grüße 🦟', Buffer.from('Grüße 🦟')],
    ['a string with U+0000', 'a\0b', Buffer.from('a\0b')],
    ['a Buffer', Buffer.from(bytes), bytes],
    ['an empty Uint8Array', new Uint8Array(0), new Uint8Array(0)],
    ['a Uint8Array within its buffer', bytes.subarray(2, 5), Uint8Array.of(3, 4, 5)],
    ['an Int8Array', new Int8Array(bytes.buffer), bytes],
    ['a Uint8ClampedArray', new Uint8ClampedArray(bytes.buffer), bytes],
    ['a Uint16Array', new Uint16Array(bytes.buffer, 2, 2), Uint8Array.of(3, 4, 5, 6)],
    ['an Int16Array', new Int16Array(bytes.buffer), bytes],
    ['an Int32Array', new Int32Array(bytes.buffer), bytes],
    ['a Uint32Array', new Uint32Array(bytes.buffer), bytes],
    ['a Float32Array', new Float32Array(bytes.buffer), bytes],
    ['a Float64Array', new Float64Array(bytes.buffer), bytes],
    ['a BigInt64Array', new BigInt64Array(bytes.buffer), bytes],
    ['a BigUint64Array', new BigUint64Array(bytes.buffer), bytes],
    ['a DataView', new DataView(bytes.buffer, 1, 3), Uint8Array.of(2, 3, 4)],
    ['an empty DataView', new DataView(bytes.buffer, 1, 0), new Uint8Array(0)],
    ['an ArrayBuffer', bytes.buffer, bytes],
    ['a SharedArrayBuffer', shared, bytes],
    ['a Uint16Array over a SharedArrayBuffer', new Uint16Array(shared), bytes],
  ])('sends the bytes of %s', async (_title, payload, expected) => {
    const broker = await startBroker()
    const client = await connectClient(broker, { protocolVersion: 5 })
    await client.subscribe('a', 1)
    await broker.publish({ topic: 'a', payload, qos: 1 })
    const { packet } = await client.nextMessage()
    expect(Buffer.from(packet.payload as Buffer)).toEqual(Buffer.from(expected))
  })

  it('has copied the payload, the correlation data and the user properties when it returns', async () => {
    const broker = await startBroker()
    const payload = Buffer.from('before')
    const buffer = new ArrayBuffer(2)
    const correlationData = Buffer.from('one')
    const userProperties: [string, string][] = [['a', 'b']]
    const kept = [
      broker.publish({ topic: 'a', payload, retain: true, properties: { correlationData, userProperties } }),
      broker.publish({ topic: 'b', payload: buffer, retain: true }),
    ]
    payload.fill('x')
    correlationData.fill('x')
    userProperties[0]![1] = 'c'
    new Uint8Array(buffer).fill(9)
    await Promise.all(kept)
    const seen: unknown[] = []
    await broker.subscribe('#', ({ payload, properties }) => seen.push([payload.toString(), properties]))
    expect(seen).toEqual([
      ['before', { correlationData: Buffer.from('one'), userProperties: [['a', 'b']] }],
      ['\0\0', {}],
    ])
  })
})

describe('broker.subscribe and broker.messages', () => {
  it.each<[string, string, unknown, unknown]>([
    ['no handler', invalid, 'a', undefined],
    ['a handler that is none', invalid, 'a', { next: () => undefined }],
    ['null as handler', invalid, 'a', null],
    ['filter 5', invalid, 5, () => undefined],
    ['no filter', invalid, undefined, () => undefined],
    ['an empty filter', 'GNATMQ_TOPIC_FILTER_INVALID', '', () => undefined],
    ['a filter against section 4.7', 'GNATMQ_TOPIC_FILTER_INVALID', 'a#', () => undefined],
    ['a filter with a lone surrogate', 'GNATMQ_TOPIC_FILTER_INVALID', '\ud800', () => undefined],
    ['a shared subscription', 'GNATMQ_TOPIC_FILTER_INVALID', '$share/a/b', () => undefined],
  ])('subscribe rejects for %s', async (_title, code, filter, handler) => {
    const broker = await startBroker()
    const subscribe = (...given: unknown[]): Promise<unknown> => broker.subscribe(...(given as [string, () => void]))
    await expect(subscribe(filter, handler)).rejects.toMatchObject({ name: 'MqttError', code })
  })

  it.each<[string, string, unknown, unknown]>([
    ['filter 5', invalid, 5, {}],
    ['a filter against section 4.7', 'GNATMQ_TOPIC_FILTER_INVALID', 'a#', {}],
    ['options null', invalid, 'a', null],
    ['a misspelt option', unknown, 'a', { signall: new AbortController().signal }],
    ['a signal that is none', invalid, 'a', { signal: new AbortController() }],
    ['maximumQueuedMessages -1', invalid, 'a', { maximumQueuedMessages: -1 }],
    ['maximumQueuedMessages NaN', invalid, 'a', { maximumQueuedMessages: Number.NaN }],
    ["maximumQueuedMessages '5'", invalid, 'a', { maximumQueuedMessages: '5' }],
  ])('messages throws for %s', async (_title, code, filter, options) => {
    const broker = await startBroker()
    expect(() => broker.messages(filter as string, options as object)).toThrow(
      expect.objectContaining({ name: 'MqttError', code }),
    )
  })
})
