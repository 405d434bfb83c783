import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { connectClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'

/** A broker that ends the connection of a client with more than one message queued. */
function strictBroker(options: MqttBrokerOptions): Promise<MqttBroker> {
  return startBroker({ queueOverflow: 'disconnect', limits: { maximumQueuedMessages: 1 }, ...options })
}

/** A client with a Will whose queue is full with the first message after `fill`, because it acknowledges nothing. */
function slowClient(broker: MqttBroker, clientId = 'slow'): Promise<RawClient> {
  return connectClient(broker, {
    clientId,
    protocolVersion: 5,
    properties: { receiveMaximum: 1 },
    will: { topic: `will/${clientId}`, payload: Buffer.from('the Will'), qos: 1, retain: false },
  })
}

async function fill(broker: MqttBroker, topic = 't'): Promise<void> {
  for (const payload of ['1', '2']) await broker.publish({ topic, payload, qos: 1 })
}

async function watch(broker: MqttBroker, ...filters: string[]): Promise<RawClient> {
  const watcher = await connectClient(broker, { clientId: 'watcher' })
  watcher.autoAcknowledge = true
  await watcher.subscribe(filters, 1)
  return watcher
}

async function texts(client: RawClient): Promise<string[]> {
  await client.quiet()
  return client.received.flatMap((packet) => (packet.cmd === 'publish' ? [packet.payload.toString()] : []))
}

describe('a Will that a message causes comes after it', () => {
  it('where authorizeDelivery publishes in the midst of the message', async () => {
    const broker = await strictBroker({
      authorizeDelivery: ({ clientId }, { payload }) => {
        if (clientId === 'watcher' && payload.toString() === '3') void broker.publish({ topic: 'u', payload: 'within' })
        return true
      },
    })
    const slow = await slowClient(broker)
    await slow.subscribe('t', 1)
    const watcher = await watch(broker, 't', 'u', 'will/#')
    await fill(broker)
    await broker.publish({ topic: 't', payload: '3', qos: 1 })
    await slow.closed()
    expect(await texts(watcher)).toEqual(['1', '2', 'within', '3', 'the Will'])
  })

  it('where what authorizeDelivery publishes fills the queue', async () => {
    const broker = await strictBroker({
      authorizeDelivery: ({ clientId }, { payload }) => {
        if (clientId === 'watcher' && payload.toString() === '3')
          void broker.publish({ topic: 't', payload: 'within', qos: 1 })
        return true
      },
    })
    const slow = await slowClient(broker)
    await slow.subscribe('t', 1)
    const watcher = await watch(broker, 'u', 't', 'will/#')
    await fill(broker)
    await broker.publish({ topic: 'u', payload: '3', qos: 1 })
    await slow.closed()
    expect(await texts(watcher)).toEqual(['1', '2', 'within', '3', 'the Will'])
  })

  it('where authorizeDelivery ends the connection of a member of a shared group', async () => {
    const broker = await strictBroker({
      authorizeDelivery: ({ clientId }, { payload }) => {
        if (clientId === 'watcher' && payload.toString() === '3') broker.clients.get('member')?.disconnect()
        return true
      },
    })
    const slow = await slowClient(broker)
    await slow.subscribe('t', 1)
    const member = await connectClient(broker, { clientId: 'member' })
    await member.subscribe('$share/g/s', 1)
    await broker.publish({ topic: 's', payload: 'not acknowledged', qos: 1 })
    const watcher = await watch(broker, 't', 'will/#')
    await fill(broker)
    await broker.publish({ topic: 't', payload: '3', qos: 1 })
    await slow.closed()
    expect(await texts(watcher)).toEqual(['1', '2', '3', 'the Will'])
  })

  it('where the application itself subscribes', async () => {
    const broker = await strictBroker({})
    const slow = await slowClient(broker)
    await slow.subscribe('t', 1)
    const heard: string[] = []
    await broker.subscribe('#', ({ payload }) => {
      heard.push(payload.toString())
      if (payload.toString() === '3') void broker.publish({ topic: 'u', payload: 'within' })
    })
    await fill(broker)
    await broker.publish({ topic: 't', payload: '3', qos: 1 })
    await slow.closed()
    await expect.poll(() => heard).toEqual(['1', '2', '3', 'within', 'the Will'])
  })

  it('and fills another queue, whose Will comes after that', async () => {
    const broker = await strictBroker({})
    const slow = await slowClient(broker)
    await slow.subscribe('t', 1)
    const other = await slowClient(broker, 'other')
    await other.subscribe(['o', 'will/slow'], 1)
    const watcher = await watch(broker, 't', 'will/#')
    await fill(broker)
    await fill(broker, 'o')
    await broker.publish({ topic: 't', payload: '3', qos: 1 })
    await slow.closed()
    await other.closed()
    await watcher.quiet()
    const topics = watcher.received.flatMap((packet) => (packet.cmd === 'publish' ? [packet.topic] : []))
    expect(topics).toEqual(['t', 't', 't', 'will/slow', 'will/other'])
  })
})

describe('a message in hand', () => {
  it('goes once to each of those that were subscribed when it came, whatever its receivers cause', async () => {
    let subscribed = false
    const heard: string[] = []
    const broker = await startBroker({
      authorizeDelivery: (_client, { topic }) => {
        if (topic === 't' && !subscribed) {
          subscribed = true
          void broker.subscribe('t', ({ payload }) => heard.push(payload.toString()))
        }
        return true
      },
    })
    const client = await connectClient(broker)
    await client.subscribe('t')
    await broker.publish({ topic: 't', payload: 'first' })
    await broker.publish({ topic: 't', payload: 'second' })
    expect(await texts(client)).toEqual(['first', 'second'])
    await expect.poll(() => heard).toEqual(['second'])
  })

  it.each([0, 1, 2] as const)('of QoS %d stays itself however deeply hooks publish', async (qos) => {
    const depths = 5
    const broker: MqttBroker = await startBroker({
      authorizeDelivery: ({ clientId }, { topic }) => {
        const depth = Number(topic.slice('depth/'.length))
        if (clientId === 'first' && depth < depths)
          void broker.publish({ topic: `depth/${depth + 1}`, payload: `${depth + 1}`, qos })
        return true
      },
    })
    const first = await connectClient(broker, { clientId: 'first' })
    const second = await connectClient(broker, { clientId: 'second', protocolVersion: 5 })
    for (const client of [first, second]) {
      client.autoAcknowledge = true
      await client.subscribe('depth/#', qos)
    }
    await broker.publish({ topic: 'depth/0', payload: '0', qos })
    await broker.publish({ topic: 'depth/5', payload: '5', qos })
    const all = ['5', '4', '3', '2', '1', '0', '5']
    expect(await texts(first)).toEqual(all)
    expect(await texts(second)).toEqual(all)
  })
})
