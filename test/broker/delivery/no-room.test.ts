import { describe, expect, it, vi } from 'vitest'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { clientGone, connectClient, startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'
import { stores } from '../../support/stores'

const Success = 0
const NoMatchingSubscribers = 0x10
const QuotaExceeded = 0x97

/** A client with a durable session that subscribes and leaves. `waiting` messages wait for it alone. */
async function absent(broker: MqttBroker, clientId: string, filter: string, waiting = 0): Promise<void> {
  const client = await connectClient(broker, {
    ...{ clientId, clean: false, protocolVersion: 5 },
    properties: { sessionExpiryInterval: 3600 },
  })
  await client.subscribe([filter, `only/${clientId}`], 2)
  await client.disconnect()
  await clientGone(broker, clientId)
  for (let n = 0; n < waiting; n++) await broker.publish({ topic: `only/${clientId}`, payload: `${n}`, qos: 1 })
}

async function present(broker: MqttBroker, clientId: string, filter: string, qos: 0 | 1 | 2): Promise<RawClient> {
  const client = await connectClient(broker, { clientId, protocolVersion: 5 })
  await client.subscribe(filter, qos)
  return client
}

/** What a publisher of MQTT 5.0 gets for QoS 1 and for QoS 2. */
async function answers(broker: MqttBroker, retain = false): Promise<(number | undefined)[]> {
  const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
  const codes: (number | undefined)[] = []
  for (const qos of [1, 2] as const) {
    const { messageId } = publisher.sendPublish('a', 'x', { qos, retain })
    const packet = await publisher.next(qos === 1 ? 'puback' : 'pubrec')
    codes.push((packet as { reasonCode?: number }).reasonCode ?? 0)
    // an exchange that was refused is over: its identifier is free
    if (qos === 2 && codes[1]! < 0x80) await publisher.release(messageId!)
  }
  return codes
}

type Scene = [what: string, code: number, prepare: (broker: MqttBroker) => Promise<unknown>]

const scenes: Scene[] = [
  ['nobody subscribes', NoMatchingSubscribers, async () => undefined],
  ['the one receiver has room', Success, (broker) => absent(broker, 'one', 'a')],
  ['the one receiver is full', QuotaExceeded, (broker) => absent(broker, 'one', 'a', 2)],
  [
    'one of two receivers is full',
    Success,
    async (broker) => {
      await absent(broker, 'one', 'a', 2)
      await absent(broker, 'two', 'a')
    },
  ],
  [
    'both receivers are full',
    QuotaExceeded,
    async (broker) => {
      await absent(broker, 'one', 'a', 2)
      await absent(broker, 'two', 'a', 2)
    },
  ],
  ['all receivers have QoS 0', Success, (broker) => present(broker, 'here', 'a', 0)],
  [
    'one receiver is full and another has QoS 0',
    QuotaExceeded,
    async (broker) => {
      await absent(broker, 'one', 'a', 2)
      await present(broker, 'here', 'a', 0)
    },
  ],
  [
    'one receiver is full and another is sent it at once',
    Success,
    async (broker) => {
      await absent(broker, 'one', 'a', 2)
      await present(broker, 'here', 'a', 2)
    },
  ],
  [
    'one receiver is full and the application has it',
    QuotaExceeded,
    async (broker) => {
      await absent(broker, 'one', 'a', 2)
      await broker.subscribe('a', () => undefined)
    },
  ],
  ['the one member of a group is full', QuotaExceeded, (broker) => absent(broker, 'one', '$share/g/a', 2)],
  [
    'one of two members of a group is full',
    Success,
    async (broker) => {
      await absent(broker, 'one', '$share/g/a', 2)
      await absent(broker, 'two', '$share/g/a')
    },
  ],
  [
    'all members of a group are full',
    QuotaExceeded,
    async (broker) => {
      await absent(broker, 'one', '$share/g/a', 2)
      await absent(broker, 'two', '$share/g/a', 2)
    },
  ],
  [
    'one group is full and another is not',
    Success,
    async (broker) => {
      await absent(broker, 'one', '$share/g/a', 2)
      await absent(broker, 'two', '$share/h/a')
    },
  ],
]

describe('a publisher of MQTT 5.0 is answered', () => {
  it.each(scenes)('where %s, with %i', async (_, code, prepare) => {
    const broker = await startBroker({ limits: { maximumQueuedMessages: 2 } })
    await prepare(broker)
    expect(await answers(broker)).toEqual([code, code])
  })

  it.each<[string, MqttBrokerOptions, number]>([
    ['the oldest message goes', { queueOverflow: 'drop-oldest' }, Success],
    ['the connection goes', { queueOverflow: 'disconnect' }, QuotaExceeded],
    ['all sessions together are full', { limits: { maximumTotalQueuedMessages: 2 } }, QuotaExceeded],
    ['all sessions together have too many bytes', { limits: { maximumTotalQueuedBytes: 18 } }, QuotaExceeded],
  ])('where a queue is full and %s', async (_, options, code) => {
    const broker = await startBroker({ limits: { maximumQueuedMessages: 2 }, ...options })
    await absent(broker, 'one', 'a', 2)
    expect(await answers(broker)).toEqual([code, code])
  })

  it('with 0x97 although the message is retained: no subscriber keeps it', async () => {
    const broker = await startBroker({ limits: { maximumQueuedMessages: 2 } })
    await absent(broker, 'one', 'a', 2)
    expect(await answers(broker, true)).toEqual([QuotaExceeded, QuotaExceeded])
    const late = await present(broker, 'late', 'a', 1)
    expect((await late.nextMessage()).text).toBe('x')
  })

  it('for its own message, whatever is published while that is on its way', async () => {
    const broker = await startBroker({ limits: { maximumQueuedMessages: 2 } })
    await absent(broker, 'one', 'a', 2)
    await absent(broker, 'other', 'b')
    broker.on('published', ({ topic }) => {
      if (topic === 'a') void broker.publish({ topic: 'b', payload: 'y', qos: 1 })
    })
    expect(await answers(broker)).toEqual([QuotaExceeded, QuotaExceeded])
  })

  it('and with 0 where its receiver takes no packet of that size: it counts as delivered [MQTT-3.1.2-25]', async () => {
    const broker = await startBroker()
    const small = await connectClient(broker, {
      clientId: 's',
      protocolVersion: 5,
      properties: { maximumPacketSize: 20 },
    })
    await small.subscribe('a', 2)
    const publisher = await connectClient(broker, { clientId: 'p', protocolVersion: 5 })
    const { messageId } = publisher.sendPublish('a', 'x'.repeat(100), { qos: 1 })
    expect(await publisher.next('puback')).toMatchObject({ messageId, reasonCode: Success })
  })
})

it('a QoS 2 message that found no room is a new one when it is sent again under its identifier', async () => {
  const broker = await startBroker({ limits: { maximumQueuedMessages: 1 } })
  await absent(broker, 'one', 'a', 1)
  const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
  publisher.sendPublish('a', 'x', { qos: 2, messageId: 7 })
  expect(await publisher.next('pubrec')).toMatchObject({ messageId: 7, reasonCode: QuotaExceeded })
  const client = await connectClient(broker, { clientId: 'one', clean: false })
  await client.acknowledge((await client.nextMessage()).packet)
  publisher.sendPublish('a', 'again', { qos: 2, messageId: 7 })
  expect(await publisher.next('pubrec')).toMatchObject({ messageId: 7, reasonCode: Success })
  await publisher.release(7)
  expect((await client.nextMessage()).text).toBe('again')
})

it('a publisher of MQTT 3.1.1 is answered as ever, and what is lost is counted', async () => {
  const broker = await startBroker({ limits: { maximumQueuedMessages: 2 } })
  await absent(broker, 'one', 'a', 2)
  const publisher = await connectClient(broker, { clientId: 'publisher' })
  await publisher.publish('a', 'x', { qos: 1 })
  await publisher.publish('a', 'x', { qos: 2 })
  expect(broker.statistics.droppedMessages).toBe(2)
})

describe.each(stores())('with $name, sessions that nobody comes back for', ({ make }) => {
  it('give way to clients that are there, also what the store alone has of them', async () => {
    const broker = await startBroker({ store: make(), limits: { maximumTotalQueuedMessages: 3000 } })
    await absent(broker, 'left', 'a')
    await Promise.all(Array.from({ length: 3000 }, (_, n) => broker.publish({ topic: 'a', payload: `${n}`, qos: 1 })))
    const live = await connectClient(broker, {
      protocolVersion: 5,
      clientId: 'live',
      properties: { receiveMaximum: 1 },
    })
    await live.subscribe('b', 1)
    const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
    const codes = new Set<number>()
    for (let n = 0; n < 1800; n += 20) {
      for (let k = 0; k < 20; k++) publisher.sendPublish('b', `${n + k}`, { qos: 1 })
      for (let k = 0; k < 20; k++)
        codes.add(((await publisher.next('puback')) as { reasonCode?: number }).reasonCode ?? 0)
    }
    expect([...codes]).toEqual([Success])
    expect(broker.statistics.queuedMessages).toBeLessThanOrEqual(3000 + 3000 / 64)
    for (let n = 0; n < 1800; n++) {
      const { text, packet } = await live.nextMessage()
      expect(text).toBe(`${n}`)
      live.send({ cmd: 'puback', messageId: packet.messageId! })
    }
    const back = await connectClient(broker, { clientId: 'left', clean: false })
    const { text } = await back.nextMessage()
    expect(Number(text)).toBeGreaterThanOrEqual(1750)
  })

  it('give way after a restart too', async () => {
    const broker = await startBroker({ store: make(), limits: { maximumTotalQueuedMessages: 640 } })
    await absent(broker, 'left', 'a', 0)
    await Promise.all(Array.from({ length: 640 }, (_, n) => broker.publish({ topic: 'a', payload: `${n}`, qos: 1 })))
    await broker.stop()
    await broker.start()
    const live = await connectClient(broker, {
      protocolVersion: 5,
      clientId: 'live',
      properties: { receiveMaximum: 1 },
    })
    await live.subscribe('b', 1)
    const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
    // the first that find no room have the others read
    await vi.waitFor(async () => {
      for (let n = 0; n < 40; n++) {
        publisher.sendPublish('b', 'x', { qos: 1 })
        expect(await publisher.next('puback')).toMatchObject({ reasonCode: Success })
      }
    })
    expect(broker.statistics.queuedMessages).toBeLessThanOrEqual(650)
    const back = await connectClient(broker, { clientId: 'left', clean: false })
    expect(Number((await back.nextMessage()).text)).toBeGreaterThanOrEqual(20)
  })
})
