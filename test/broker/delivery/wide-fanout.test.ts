import type { Packet } from 'mqtt-packet'
import { describe, expect, it, onTestFinished } from 'vitest'
import { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { type Clock, systemClock } from '../../../src/ports/clock'
import { inProcess } from '../../../src/transport/in-process'
import { FailingStore } from '../../persistence/failing-store'
import { InProcessClient } from '../../support/in-process-client'

const QUOTA_EXCEEDED = 0x97
/** Receivers in between: each slice reaches 128 of them at the most. */
const FILLERS = { 0: 4500, 1: 2300, 2: 2300 }

/** Once it is hasty, each look is a millisecond later than the last one, so that every slice is as short as it can be. */
class HastyClock implements Clock {
  isHasty = false
  private ahead = 0
  readonly wallTime = systemClock.wallTime
  readonly every = systemClock.every
  readonly after = systemClock.after

  now(): number {
    if (this.isHasty) this.ahead++
    return systemClock.now() + this.ahead
  }
}

/** `early` is the first receiver of `wide`, `late` the last one; both have `side` too. */
async function started(qos: 0 | 1 | 2, options: MqttBrokerOptions = {}, late: Parameters<typeof connect>[1] = {}) {
  const listener = inProcess()
  const clock = new HastyClock()
  const broker = await MqttBroker.start({ listeners: [listener], clock, ...options })
  onTestFinished(() => broker.stop())
  const on = (clientId: string, fields: Parameters<typeof connect>[1] = {}) =>
    connect(listener, { clientId, ...fields })
  const early = await on('early')
  await early.subscribe(qos, 'wide', 'side')
  const fillers = Array.from({ length: FILLERS[qos] }, async (_, n) => {
    const filler = await on(`filler ${n}`)
    await filler.subscribe(qos, 'wide')
    return filler
  })
  const all = await Promise.all(fillers)
  const last = await on('late', late)
  await last.subscribe(qos, 'wide', 'side')
  const publisher = await on('publisher')
  const other = await on('other')
  clock.isHasty = true
  /** Calls `act` when the first receiver has its message and the last one does not have it. */
  const midway = (act: () => unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      early.onPacket = (packet) => {
        if (packet.cmd !== 'publish' || packet.topic !== 'wide') return
        early.onPacket = () => undefined
        try {
          expect(topicsOf(last)).not.toContain('wide')
          act()
          resolve()
        } catch (error) {
          reject(error)
        }
      }
    })
  return { broker, listener, on, early, late: last, fillers: all, publisher, other, midway }
}

const connect = (
  listener: ReturnType<typeof inProcess>,
  fields: Parameters<typeof InProcessClient.connected>[1],
): Promise<InProcessClient> => InProcessClient.connected(listener, { protocolVersion: 5, ...fields })

const topicsOf = ({ received }: InProcessClient): string[] =>
  received.filter((packet) => packet.cmd === 'publish').map((packet) => (packet as { topic: string }).topic)

const kept = { clean: false, properties: { sessionExpiryInterval: 600 } } as const

describe.each([0, 1, 2] as const)('a message of QoS %i to more receivers than a slice is enough for', (qos) => {
  it('reaches each of them once, before what others publish meanwhile', async () => {
    const { broker, early, late, fillers, publisher, other, midway } = await started(qos)
    const acted = midway(() => {
      other.publish('side', qos, 7, { payload: 'other' })
      void broker.publish({ topic: 'side', payload: 'own', qos })
    })
    publisher.publish('wide', qos)
    await acted
    await late.has('publish', 3)
    await early.has('publish', 3)
    expect(topicsOf(late)).toEqual(['wide', 'side', 'side'])
    expect(topicsOf(early)).toEqual(['wide', 'side', 'side'])
    for (const filler of fillers) await filler.has('publish', 1)
  })

  it('reaches them before what its publisher sends behind it, and its acknowledgement comes first', async () => {
    const { late, publisher, midway } = await started(qos)
    const acted = midway(() => undefined)
    publisher.publish('wide', qos, 1)
    publisher.publish('side', qos, 2)
    publisher.publish('wide', qos, 3)
    publisher.send({ cmd: 'pingreq' })
    await acted
    await publisher.has('pingresp')
    await late.has('publish', 3)
    expect(topicsOf(late)).toEqual(['wide', 'side', 'wide'])
    const answers = publisher.received.slice(1).map((packet) => packet.messageId)
    expect(answers).toEqual(qos === 0 ? [undefined] : [1, 2, 3, undefined])
  })

  it('reaches a client before the answer to its UNSUBSCRIBE', async () => {
    const { late, publisher, midway } = await started(qos)
    const acted = midway(() => late.send({ cmd: 'unsubscribe', messageId: 5, unsubscriptions: ['wide'] }))
    publisher.publish('wide', qos)
    publisher.send({ cmd: 'pingreq' })
    await acted
    await late.has('unsuback')
    await publisher.has('pingresp')
    expect(late.history).toEqual(['connack', 'suback', 'wide', 'unsuback'])
  })

  it('comes before another such message, whoever publishes it', async () => {
    const { broker, late, publisher, other, midway } = await started(qos)
    const acted = midway(() => {
      other.publish('wide', qos, 7, { payload: 'second' })
      void broker.publish({ topic: 'wide', payload: 'third', qos })
      void broker.publish({ topic: 'side', payload: 'fourth', qos })
    })
    publisher.publish('wide', qos, 1, { payload: 'first' })
    await acted
    await late.has('publish', 4)
    const payloads = late.received.filter(({ cmd }) => cmd === 'publish').map((packet) => payloadOf(packet))
    expect(payloads[0]).toBe('first')
    expect(payloads.indexOf('third')).toBeLessThan(payloads.indexOf('fourth'))
    expect([...payloads].sort()).toEqual(['first', 'fourth', 'second', 'third'])
  })

  it('is retained from its beginning, and comes once to a client that subscribes meanwhile', async () => {
    const { late, on, publisher, midway } = await started(qos)
    const newcomer = await on('newcomer')
    const acted = midway(() => void newcomer.subscribe(qos, 'wide'))
    publisher.publish('wide', qos, 1, { retain: true })
    publisher.send({ cmd: 'pingreq' })
    await acted
    await publisher.has('pingresp')
    await newcomer.has('publish')
    await late.has('publish')
    expect(newcomer.received.at(-1)).toMatchObject({ topic: 'wide', retain: true })
    expect(late.received.at(-1)).toMatchObject({ topic: 'wide', retain: false })
  })

  it('reaches the application and one member of each shared group once, before what comes next', async () => {
    const { broker, on, publisher, other, midway } = await started(qos)
    const own: string[] = []
    await broker.subscribe('#', ({ topic }) => void own.push(topic))
    const members = [await on('member 1'), await on('member 2')]
    for (const member of members) await member.subscribe(qos, '$share/group/#')
    const acted = midway(() => other.publish('side', qos, 7))
    publisher.publish('wide', qos)
    publisher.send({ cmd: 'pingreq' })
    await acted
    await publisher.has('pingresp')
    await expect.poll(() => members.flatMap(topicsOf).length).toBe(2)
    expect(members.flatMap(topicsOf).sort()).toEqual(['side', 'wide'])
    expect(own).toEqual(['wide', 'side'])
  })

  it('is left out for a client that goes and leaves nothing behind', async () => {
    const { broker, late, publisher, midway } = await started(qos)
    const acted = midway(() => late.destroy())
    publisher.publish('wide', qos)
    publisher.send({ cmd: 'pingreq' })
    await acted
    await publisher.has('pingresp')
    await expect.poll(() => broker.clients.has('late')).toBe(false)
    expect(broker.statistics.queuedMessages).toBe(0)
  })

  it('comes before the Will of its publisher, and a Will may be such a message too', async () => {
    const { late, on, midway } = await started(qos)
    const will = { topic: 'wide', payload: Buffer.from('Will'), qos, retain: false }
    const publisher = await on('with a Will', { will })
    const acted = midway(() => publisher.destroy())
    publisher.publish('wide', qos, 1, { payload: 'message' })
    await acted
    await late.has('publish', 2)
    const payloads = late.received.filter(({ cmd }) => cmd === 'publish').map((packet) => payloadOf(packet))
    expect(payloads).toEqual(['message', 'Will'])
  })
})

const payloadOf = (packet: Packet): string => String((packet as { payload: Buffer }).payload)

describe.each([1, 2] as const)('a message of QoS %i to a great many receivers', (qos) => {
  it('waits once for a client that comes back in the midst of it', async () => {
    const { late, on, publisher, other, midway } = await started(qos, {}, kept)
    late.destroy()
    const back: Promise<InProcessClient>[] = []
    const acted = midway(() => {
      back.push(on('late', kept))
      other.publish('side', qos, 7)
    })
    publisher.publish('wide', qos)
    publisher.send({ cmd: 'pingreq' })
    await acted
    await publisher.has('pingresp')
    const again = await back[0]!
    await again.has('publish', 2)
    expect(topicsOf(again)).toEqual(['wide', 'side'])
  })

  it('is acknowledged once the store has kept all of it', async () => {
    const store = new FailingStore()
    const { fillers, publisher } = await started(qos, { store }, kept)
    store.wait()
    publisher.publish('wide', qos)
    await expect.poll(() => store.waits).toBeGreaterThan(0)
    // every non-durable receiver has it by then
    await Promise.all(fillers.map((filler) => filler.has('publish')))
    expect(publisher.history).toEqual(['connack'])
    store.goOn()
    await publisher.has(qos === 1 ? 'puback' : 'pubrec')
  })

  it('is not acknowledged as kept where the store has refused a part', async () => {
    const store = new FailingStore()
    const { publisher } = await started(qos, { store }, kept)
    store.failure = 'rejects later'
    publisher.publish('wide', qos)
    const answer = qos === 1 ? 'puback' : 'pubrec'
    await publisher.has(answer)
    expect(publisher.received.find(({ cmd }) => cmd === answer)).toMatchObject({ reasonCode: QUOTA_EXCEEDED })
    store.failure = undefined
  })

  it('is with all of them once the promise of the application resolves', async () => {
    const { broker, fillers, late } = await started(qos)
    await broker.publish({ topic: 'wide', payload: 'x', qos })
    expect(broker.statistics.sentMessages[`qos${qos}`]).toBe(FILLERS[qos] + 2)
    await late.has('publish')
    expect(fillers.length).toBe(FILLERS[qos])
  })

  it('is brought to its end by stop()', async () => {
    const { broker, fillers, late, publisher, midway } = await started(qos)
    const acted = midway(() => undefined)
    publisher.publish('wide', qos)
    await acted
    await broker.stop()
    expect(topicsOf(late)).toEqual(['wide'])
    expect(fillers.every((filler) => topicsOf(filler).length === 1)).toBe(true)
  })
})

it('rights that are gone when a client comes back hold for a message that is on its way', async () => {
  let isAllowed = true
  const authorizeSubscribe = (): boolean => isAllowed
  const { late, on, publisher, midway } = await started(1, { authorizeSubscribe }, kept)
  late.destroy()
  const back: Promise<InProcessClient>[] = []
  const acted = midway(() => {
    isAllowed = false
    back.push(on('late', kept))
  })
  publisher.publish('wide', 1)
  publisher.send({ cmd: 'pingreq' })
  await acted
  await publisher.has('pingresp')
  const again = await back[0]!
  again.send({ cmd: 'pingreq' })
  await again.has('pingresp')
  expect(topicsOf(again)).toEqual([])
})

it('a connection that authorizeDelivery publishes for in the midst of it gets all of it in order', async () => {
  const broker: { current?: MqttBroker } = {}
  const started1 = await started(1, {
    authorizeDelivery: ({ clientId }, { topic }) => {
      if (clientId === 'early' && topic === 'wide')
        void broker.current!.publish({ topic: 'side', payload: 'n', qos: 1 })
      return true
    },
  })
  broker.current = started1.broker
  const { late, publisher } = started1
  publisher.publish('wide', 1)
  await publisher.has('puback')
  await late.has('publish', 2)
  expect(topicsOf(late)).toEqual(['wide', 'side'])
})

it('a message to a great many receivers waits once for a client that goes in the midst of it', async () => {
  const { broker, late, on, publisher, midway } = await started(1, {}, kept)
  const acted = midway(() => late.destroy())
  publisher.publish('wide', 1)
  publisher.send({ cmd: 'pingreq' })
  await acted
  await publisher.has('pingresp')
  await expect.poll(() => broker.clients.has('late')).toBe(false)
  const again = await on('late', kept)
  await again.has('publish')
  expect(topicsOf(again)).toEqual(['wide'])
})
