import { describe, expect, it, vi } from 'vitest'
import { connectClient, openClient, startBroker } from '../support/broker'
import { nextEvent } from '../support/broker-event'

const patience = { timeout: 5000, interval: 10 }
const topics = ['$SYS', '$SYS/broker/uptime', '$SYS/']

describe('a client that publishes to $SYS', () => {
  it.each(topics)('is refused with 0x87 in MQTT 5.0, and stays: %s', async (topic) => {
    const broker = await startBroker()
    const reader = await connectClient(broker)
    await reader.subscribe(['$SYS/#', 'end'])
    const client = await connectClient(broker, { protocolVersion: 5 })
    const told = nextEvent(broker, 'clientError')
    client.sendPublish(topic, 'forged')
    expect((await told)[0]).toMatchObject({ code: 'GNATMQ_NOT_AUTHORIZED', reasonCode: 0x87 })
    expect((await client.publish(topic, 'forged', { qos: 1 }))?.reasonCode).toBe(0x87)
    expect(await client.publish(topic, 'forged', { qos: 2 })).toMatchObject({ cmd: 'pubrec', reasonCode: 0x87 })
    expect((await client.publish(topic, 'forged', { qos: 1, retain: true }))?.reasonCode).toBe(0x87)
    await client.publish('end', 'x')
    expect((await reader.nextMessage()).topic).toBe('end')
    expect(broker.statistics.retainedMessages).toBe(0)
  })

  it.each(topics)('is acknowledged and not heard in MQTT 3.1.1: %s', async (topic) => {
    const broker = await startBroker()
    const reader = await connectClient(broker)
    await reader.subscribe(['$SYS/#', 'end'])
    const client = await connectClient(broker)
    for (const qos of [0, 1, 2] as const) await client.publish(topic, 'forged', { qos, retain: qos === 1 })
    await client.publish('end', 'x')
    expect((await reader.nextMessage()).topic).toBe('end')
    expect(broker.statistics.retainedMessages).toBe(0)
  })

  it('is refused under a Topic Alias too, and no hook can allow it', async () => {
    const asked: string[] = []
    const broker = await startBroker({
      authorizePublish: (_client, { topic }) => {
        asked.push(topic)
        return true
      },
    })
    const client = await connectClient(broker, { protocolVersion: 5 })
    for (const topic of ['$SYS/a', '', '']) {
      const puback = await client.publish(topic, 'forged', { qos: 1, properties: { topicAlias: 1 } })
      expect(puback?.reasonCode).toBe(0x87)
    }
    expect(asked).toEqual([])
  })

  it('is refused at CONNECT with a Will for it', async () => {
    const broker = await startBroker()
    const will = { topic: '$SYS/a', payload: Buffer.from('forged'), qos: 0, retain: false } as const
    const client = await openClient(broker)
    expect((await client.connect({ protocolVersion: 5, will })).reasonCode).toBe(0x87)
    const older = await openClient(broker)
    expect((await older.connect({ will })).returnCode).toBe(5)
  })

  it.each(['$SYSTEM/a', '$sys/a', 'a/$SYS', '$SY', '$other'])(
    'may publish to %s, which is something else',
    async (topic) => {
      const broker = await startBroker()
      const reader = await connectClient(broker)
      await reader.subscribe(topic)
      const client = await connectClient(broker, { protocolVersion: 5 })
      await client.publish(topic, 'x', { qos: 1 })
      await vi.waitFor(() => expect(reader.received.at(-1)).toMatchObject({ cmd: 'publish', topic }), patience)
    },
  )
})

describe('the application', () => {
  it('may publish to $SYS', async () => {
    const broker = await startBroker()
    const reader = await connectClient(broker)
    await reader.subscribe('$SYS/#')
    await broker.publish({ topic: '$SYS/uptime', payload: '7' })
    expect(await reader.nextMessage()).toMatchObject({ topic: '$SYS/uptime', text: '7' })
  })
})
