import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InteropBroker, startInteropBroker, type Transport } from './broker'
import { ClientProcess } from './client-process'
import { eventually, uniqueName } from './client-suite'
import { missingCommand, skipped } from './foreign-clients'
import { connectionArguments, type MosquittoMessage, messageOf, mosquitto } from './mosquitto'

const missing = mosquitto.missing ?? missingCommand('mosquitto_rr', '--help')

describe.skipIf(skipped('Mosquitto in MQTT 5.0', missing))('the clients of Mosquitto in MQTT 5.0', () => {
  let interop: InteropBroker
  beforeAll(async () => {
    interop = await startInteropBroker()
  })
  afterAll(() => interop.stop())

  const connection = (transport: Transport) => connectionArguments(interop.target(5, transport))

  /** mosquitto_sub, once its subscriptions are acknowledged. */
  async function subscribed(filters: string[], ...args: string[]) {
    const clientId = uniqueName()
    const granted = interop.subscribed(clientId, filters.length)
    const messages: MosquittoMessage[] = []
    const topics = filters.flatMap((filter) => ['-t', filter])
    const process = new ClientProcess(
      'mosquitto_sub',
      [...connection('TLS'), '-i', clientId, '-q', '2', '-F', '%j', ...topics, ...args],
      (line) => messages.push(messageOf(line)),
    )
    await granted
    return { clientId, messages, process }
  }

  const publish = (...args: string[]) =>
    new ClientProcess('mosquitto_pub', [...connection('TCP'), '-q', '1', ...args]).succeeded()

  const payloads = (messages: readonly MosquittoMessage[]): string[] => messages.map(({ payload }) => payload)

  it('pass on every property of a message, user properties in their order', async () => {
    const topic = uniqueName()
    const { messages, process } = await subscribed([topic])
    const property = (...words: string[]) => ['-D', 'publish', ...words]
    await publish(
      ...['-t', topic, '-m', 'on'],
      ...property('payload-format-indicator', '1'),
      ...property('message-expiry-interval', '3600'),
      ...property('content-type', 'text/plain'),
      ...property('response-topic', 'answers/1'),
      ...property('correlation-data', 'c-7'),
      ...property('user-property', 'z', '1'),
      ...property('user-property', 'a', 'ü'),
      ...property('user-property', 'z', '2'),
    )
    await eventually(() => expect(messages).toHaveLength(1))
    expect(messages[0]!.properties).toEqual({
      'payload-format-indicator': 1,
      'message-expiry-interval': 3600,
      'content-type': 'text/plain',
      'response-topic': 'answers/1',
      'correlation-data': 'c-7',
      'user-properties': { a: 'ü', z: '2' },
    })
    // a JSON object with a name twice, as it was printed
    expect(process.lines[0]).toContain('"user-properties":{"z":"1","a":"ü","z":"2"}')
  })

  it.each<Transport>(['TCP', 'TLS'])('ask and are answered over %s, with mosquitto_rr', async (transport) => {
    const topic = uniqueName()
    const end = await interop.broker.subscribe(`${topic}/question`, ({ payload, properties }) => {
      const { responseTopic = '', correlationData } = properties
      const answer = payload.toString().toUpperCase()
      void interop.broker.publish({
        topic: responseTopic,
        payload: answer,
        qos: 1,
        properties: correlationData === undefined ? {} : { correlationData },
      })
    })
    const asked = ['-t', `${topic}/question`, '-e', `${topic}/answer`, '-m', 'why', '-q', '1', '-W', '10']
    const process = new ClientProcess('mosquitto_rr', [...connection(transport), ...asked])
    await process.succeeded()
    expect(process.lines).toEqual(['WHY'])
    end()
  })

  it('share a subscription: each message goes to one', async () => {
    const topic = uniqueName()
    const members = [await subscribed([`$share/group/${topic}`]), await subscribed([`$share/group/${topic}`])]
    const sent = Array.from({ length: 40 }, (_, i) => String(i))
    for (const payload of sent) await interop.broker.publish({ topic, payload, qos: 1 })
    const received = () => members.flatMap(({ messages }) => payloads(messages))
    await eventually(() => expect(received().sort((a, b) => Number(a) - Number(b))).toEqual(sent))
    for (const { messages } of members) expect(messages.length).toBeGreaterThan(0)
  })

  it('get the identifier of their subscription', async () => {
    const topic = uniqueName()
    const { messages } = await subscribed([`${topic}/+`], '-D', 'subscribe', 'subscription-identifier', '4711')
    await publish('-t', `${topic}/a`, '-m', 'on')
    await eventually(() => expect(messages).toHaveLength(1))
    expect(messages[0]!.properties).toEqual({ 'subscription-identifier': 4711 })
  })

  it('use a topic alias for what they repeat', async () => {
    const topic = uniqueName()
    const { messages } = await subscribed([topic])
    await publish('-t', topic, '-m', 'again', '--repeat', '5', '-D', 'publish', 'topic-alias', '3')
    await eventually(() => expect(payloads(messages)).toEqual(Array(5).fill('again')))
    expect(messages.map((message) => message.topic)).toEqual(Array(5).fill(topic))
  })

  it('leave a Will with properties and a delay', async () => {
    const topic = uniqueName()
    const watcher = await subscribed([topic])
    const will = ['--will-topic', topic, '--will-payload', 'gone', '-x', '60']
    const property = (...words: string[]) => ['-D', 'will', ...words]
    const broken = await subscribed(
      ['unused'],
      ...will,
      ...property('will-delay-interval', '10'),
      ...property('user-property', 'k', 'v'),
    )
    const left = interop.disconnected(broken.clientId)
    await broken.process.end('SIGKILL')
    await left
    interop.clock.advance(9_000)
    await publish('-t', topic, '-m', '9 seconds')
    interop.clock.advance(2_000)
    await eventually(() => expect(payloads(watcher.messages)).toEqual(['9 seconds', 'gone']))
    expect(watcher.messages[1]!.properties).toEqual({ 'user-properties': { k: 'v' } })
  })

  it('find their session within Session Expiry Interval, and nothing after it', async () => {
    const topic = uniqueName()
    const leave = async (expiry: string): Promise<string> => {
      const clientId = uniqueName()
      const left = interop.disconnected(clientId)
      const args = [...connection('TCP'), '-i', clientId, '-c', '-x', expiry, '-q', '1', '-t', topic, '-E']
      await new ClientProcess('mosquitto_sub', args).succeeded()
      await left
      return clientId
    }
    const [short, long] = [await leave('10'), await leave('60')]
    interop.clock.advance(11_000)
    await publish('-t', topic, '-m', 'queued')
    const back = (clientId: string, ...more: string[]) =>
      new ClientProcess('mosquitto_sub', [...connection('TCP'), '-i', clientId, '-c', '-x', '60', '-q', '1', ...more])
    const found = back(long, '-t', topic, '-C', '1')
    await found.succeeded()
    expect(found.lines).toEqual(['queued'])
    const granted = interop.subscribed(short, 1)
    const empty = back(short, '-t', topic)
    await granted
    await publish('-t', topic, '-m', 'present')
    await eventually(() => expect(empty.lines).toEqual(['present']))
  })
})
