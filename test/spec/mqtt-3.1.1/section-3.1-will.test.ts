import { describe, expect, it } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'

const will = { topic: 'will', payload: 'gone' }

async function watcherOf(broker: MqttBroker): Promise<RawClient> {
  const watcher = await connectClient(broker)
  await watcher.subscribe('will', 2)
  return watcher
}

describe('MQTT 3.1.1 section 3.1.2.5, Will', () => {
  it.each<[string, (client: RawClient) => void]>([
    ['is closed by the client without DISCONNECT', (client) => client.end()],
    ['breaks', (client) => client.destroy()],
    ['is closed for a malformed packet', (client) => client.sendBytes('f0 00')],
    ['is closed for a protocol violation', (client) => client.sendConnect()],
  ])('[MQTT-3.1.2-8] the Will is published when the connection %s', async (_how, end) => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    const client = await connectClient(broker, { will })
    expect(await watcher.quiet()).toEqual([])
    end(client)
    expect(await watcher.nextMessage()).toMatchObject({ topic: 'will', text: 'gone', qos: 0, retain: false })
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-8] the Will is published when the application closes the connection', async () => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    await connectClient(broker, { clientId: 'closed', will })
    broker.clients.get('closed')!.disconnect(0x98)
    expect(await watcher.nextMessage()).toMatchObject({ text: 'gone' })
  })

  it('[MQTT-3.1.2-8] the Will of a CONNECT that was refused is not published', async () => {
    const broker = await startBroker({ authenticate: ({ clientId }) => clientId !== 'refused' })
    const watcher = await watcherOf(broker)
    const client = await openClient(broker)
    await client.connect({ clientId: 'refused', will })
    await client.closed()
    expect(await watcher.quiet()).toEqual([])
  })

  it.each([0, 1, 2] as const)('[MQTT-3.1.2-9] a Will of QoS %i is published with that QoS', async (qos) => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    const client = await connectClient(broker, { will: { ...will, qos } })
    client.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'gone', qos })
  })

  it('[MQTT-3.1.2-9] a Will Message may be empty, and any bytes', async () => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    const payloads = [Buffer.alloc(0), Buffer.from([0, 0xff, 0xc0, 0])]
    for (const payload of payloads) {
      const client = await connectClient(broker, { will: { topic: 'will', payload } })
      client.destroy()
      expect((await watcher.next('publish')).payload).toEqual(payload)
    }
  })

  it('[MQTT-3.1.2-10] a Will that was published is not published again', async () => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    const first = await connectClient(broker, { clientId: 'c', clean: false, will })
    first.destroy()
    await watcher.nextMessage()
    const second = await connectClient(broker, { clientId: 'c', clean: false })
    second.destroy()
    await clientGone(broker, 'c')
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-10] DISCONNECT removes the Will from a session that is kept', async () => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    const first = await connectClient(broker, { clientId: 'c', clean: false, will })
    await first.disconnect()
    const second = await connectClient(broker, { clientId: 'c', clean: false })
    second.destroy()
    await clientGone(broker, 'c')
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-12] without the Will flag nothing is published', async () => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('#', 0)
    const client = await connectClient(broker, { clientId: 'c' })
    client.destroy()
    await clientGone(broker, 'c')
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-16] without Will Retain nothing is retained, and what was stays', async () => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    await watcher.publish('will', 'before', { qos: 1, retain: true })
    await watcher.nextMessage()
    const client = await connectClient(broker, { will: { ...will, retain: false } })
    client.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'gone', retain: false })
    const late = await watcherOf(broker)
    expect(await late.nextMessage()).toMatchObject({ text: 'before', retain: true })
  })

  it('[MQTT-3.1.2-17] with Will Retain the Will is the retained message of its topic', async () => {
    const broker = await startBroker()
    const watcher = await watcherOf(broker)
    const client = await connectClient(broker, { will: { ...will, qos: 1, retain: true } })
    client.destroy()
    expect(await watcher.nextMessage()).toMatchObject({ text: 'gone', retain: false })
    const late = await watcherOf(broker)
    expect(await late.nextMessage()).toMatchObject({ text: 'gone', qos: 1, retain: true })
  })
})
