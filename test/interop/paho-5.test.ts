import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InteropBroker, startInteropBroker } from './broker'
import { eventually, uniqueName } from './client-suite'
import { skipped } from './foreign-clients'
import { pahoClient, pahoMissing } from './paho'

interface PahoMessage {
  topic: string
  payload: string
  properties: Record<string, unknown>
}

describe.skipIf(skipped("Paho's Python client in MQTT 5.0", pahoMissing))("Paho's Python client in MQTT 5.0", () => {
  let interop: InteropBroker
  beforeAll(async () => {
    interop = await startInteropBroker()
  })
  afterAll(() => interop.stop())

  const target = () => interop.target(5, 'TLS')

  async function subscribed(filters: string[], orders: object = {}) {
    const clientId = uniqueName()
    const granted = interop.subscribed(clientId, filters.length)
    const messages: PahoMessage[] = []
    const process = pahoClient({ ...target(), clientId, filters, qos: 2, ...orders }, (line) => {
      messages.push(JSON.parse(line))
    })
    await granted
    return { clientId, messages, process }
  }

  const publish = (...messages: object[]) =>
    pahoClient({ ...target(), publish: messages.map((message) => ({ qos: 1, payload: 'on', ...message })) }).succeeded()

  it('passes on every property of a message, user properties in their order', async () => {
    const topic = uniqueName()
    const { messages } = await subscribed([topic], { subscribeProperties: { SubscriptionIdentifier: 4711 } })
    const properties = {
      PayloadFormatIndicator: 1,
      MessageExpiryInterval: 3600,
      ContentType: 'text/plain',
      ResponseTopic: 'answers/1',
      CorrelationData: 'c-7',
      UserProperty: [
        ['z', '1'],
        ['a', 'ü'],
        ['z', '2'],
      ],
    }
    await publish({ topic, properties })
    await eventually(() => expect(messages).toHaveLength(1))
    const correlationData = Buffer.from('c-7').toString('hex')
    expect(messages[0]!.properties).toEqual({
      ...properties,
      CorrelationData: correlationData,
      SubscriptionIdentifier: [4711],
    })
  })

  it('uses topic aliases', async () => {
    const topic = uniqueName()
    const { messages } = await subscribed([topic])
    const properties = { TopicAlias: 9 }
    await publish({ topic, payload: '1', properties }, { topic: '', payload: '2', properties })
    await eventually(() =>
      expect(messages.map((message) => [message.topic, message.payload])).toEqual([
        [topic, '1'],
        [topic, '2'],
      ]),
    )
  })

  it('shares a subscription: each message goes to one', async () => {
    const topic = uniqueName()
    const members = [await subscribed([`$share/group/${topic}`]), await subscribed([`$share/group/${topic}`])]
    const sent = Array.from({ length: 40 }, (_, i) => String(i))
    await publish(...sent.map((payload) => ({ topic, payload })))
    const received = () => members.flatMap(({ messages }) => messages.map(({ payload }) => payload))
    await eventually(() => expect(received().sort((a, b) => Number(a) - Number(b))).toEqual(sent))
    for (const { messages } of members) expect(messages.length).toBeGreaterThan(0)
  })

  it('asks and is answered', async () => {
    const topic = uniqueName()
    const end = await interop.broker.subscribe(`${topic}/question`, ({ properties }) => {
      const { responseTopic = '', correlationData } = properties
      const echoed = correlationData === undefined ? {} : { correlationData }
      void interop.broker.publish({ topic: responseTopic, payload: 'because', qos: 1, properties: echoed })
    })
    const { messages } = await subscribed([`${topic}/answer`])
    const properties = { ResponseTopic: `${topic}/answer`, CorrelationData: 'c-8' }
    await publish({ topic: `${topic}/question`, properties })
    await eventually(() => expect(messages.map(({ payload }) => payload)).toEqual(['because']))
    expect(messages[0]!.properties['CorrelationData']).toBe(Buffer.from('c-8').toString('hex'))
    end()
  })

  it('leaves a Will with properties and a delay', async () => {
    const topic = uniqueName()
    const watcher = await subscribed([topic])
    const properties = { WillDelayInterval: 10, UserProperty: [['k', 'v']] }
    const will = { topic, payload: 'gone', qos: 1, properties }
    const broken = await subscribed(['unused'], { will, connectProperties: { SessionExpiryInterval: 60 } })
    const left = interop.disconnected(broken.clientId)
    await broken.process.end('SIGKILL')
    await left
    interop.clock.advance(9_000)
    await publish({ topic, payload: '9 seconds' })
    interop.clock.advance(2_000)
    await eventually(() => expect(watcher.messages.map(({ payload }) => payload)).toEqual(['9 seconds', 'gone']))
    expect(watcher.messages[1]!.properties['UserProperty']).toEqual([['k', 'v']])
  })
})
